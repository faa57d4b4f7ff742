// Reading the log, also from another process while the supervisor writes it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "audit/record.h"

namespace sharkcage::audit {

// Which records: all conditions that are set must hold.
struct Query {
  bool blocked = false;  // see is_blocked
  std::optional<std::string> skill;
  std::optional<std::string> tool;
  std::optional<std::string> session;
  std::optional<std::chrono::system_clock::time_point> since;
  std::uint64_t after_seq = 0;         // only records beyond this one: how a follower goes on
  std::optional<std::uint64_t> tail;   // of what matches, the newest so many
  std::optional<std::uint64_t> limit;  // of what matches (after `tail`), the oldest so many
};

// Reads one log. Writes nothing and creates no file. One thread at a time.
class Reader {
 public:
  // Throws UserError when there is no log yet, or it is not a log, or may not be read.
  explicit Reader(const std::string& database);
  ~Reader();
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;

  // Calls `each` for every matching record, oldest first, until it returns false. All of them
  // belong to one state of the log. A payload that is no longer JSON (somebody edited the file) is
  // shown as
  // {"unreadable": "…"}. Returns how many were passed. Throws UserError when the file is damaged.
  std::uint64_t read(const Query& query, const std::function<bool(const Record&)>& each);

  // The newest sequence number, 0 for an empty log.
  std::uint64_t last_seq();

  // True when the database may have changed since the last call; costs no read of the table. A
  // follower asks this after a change of the files (inotify(7)) or at intervals.
  bool changed();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sharkcage::audit
