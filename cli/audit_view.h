// Audit records in words.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "audit/record.h"

namespace sharkcage::cli {

// How records are shown.
struct View {
  bool colours = false;
  std::chrono::system_clock::time_point now = {};
  std::string home = {};  // written as "~" in refused paths; empty: none is
  // Of `--blocked`: which accesses are shown, alone (without it all, and records of none, too); and
  // which sentences.
  std::function<bool(const Json& access)> matches = {};
  std::function<bool(const std::string& sentence)> wanted = {};
};

// What was accessed: what an outcome lists as refused, or where a connection went, in the same form
// and with the `resolved` address.
Json accesses_of(const audit::Record& record);

// "weather tried to reach evil.example:443 — not approved". Raw: not yet made printable.
std::string describe(const audit::Record& record, const std::string& home = {});

// A line: sequence number, time, decision, sentence. Without a line end; printable.
std::string audit_line(const audit::Record& record, const View& view);

// The same for `--blocked`: a line for each access that an outcome lists as refused ("weather tried
// to read ~/.aws/credentials (cat, 3 times)"), one for any other record, with tool and session
// behind it where there is a session.
std::vector<std::string> blocked_lines(const audit::Record& record, const View& view);

// The inverse of audit::Record::to_json, for records that came over the wire. Members that are
// absent or of another type stay empty.
audit::Record record_from_json(const Json& value);

}  // namespace sharkcage::cli
