#include "audit/record.h"

#include <algorithm>
#include <charconv>

#include "common/errors.h"
#include "common/hash.h"
#include "common/text.h"

namespace sharkcage::audit {

std::string Head::text() const {
  return std::to_string(seq) + ":" + hash;
}

Head parse_head(std::string_view text) {
  Head head;
  const std::size_t colon = text.find(':');
  const std::string_view hash =
      colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  const bool digits = std::all_of(hash.begin(), hash.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
  const auto end = std::from_chars(text.data(), text.data() + text.size(), head.seq);
  if (hash.size() != kNoHash.size() || !digits || end.ec != std::errc{} ||
      end.ptr != text.data() + colon) {
    throw UserError("\"" + printable(text.substr(0, 100)) + "\" is not a head of the audit log",
                    "Give it as SEQ:HASH, the way \"sc audit verify\" prints it: a number, a colon "
                    "and 64 lower-case hexadecimal digits.");
  }
  head.hash = hash;
  return head;
}

Json Record::to_json() const {
  return {{"seq", seq},         {"version", version},     {"time", time},     {"kind", kind},
          {"session", session}, {"agent", agent},         {"skill", skill},   {"tool", tool},
          {"call", call},       {"decision", decision},   {"reason", reason}, {"policy", policy},
          {"payload", payload}, {"prev_hash", prev_hash}, {"hash", hash}};
}

std::string canonical_form(const Record& record) {
  Json value = record.to_json();
  value.erase("hash");
  return canonical_json(value);
}

std::string hash_of(const Record& record) {
  return sha256_hex(canonical_form(record));
}

bool is_blocked(const Record& record) {
  if (record.decision == "block") return true;
  if (!record.payload.is_object()) return false;
  const auto refused = record.payload.find("refused");
  return refused != record.payload.end() && refused->is_array() && !refused->empty();
}

}  // namespace sharkcage::audit
