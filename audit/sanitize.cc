#include "audit/sanitize.h"

#include <cmath>
#include <cstdint>

#include "audit/redact.h"
#include "common/bytes.h"
#include "common/hash.h"

namespace sharkcage::audit {
namespace {

constexpr std::uint64_t kMaxSafeInteger = (std::uint64_t{1} << 53) - 1;

// How much of a payload is kept.
struct Keep {
  std::size_t string_bytes;
  std::size_t members;
  std::size_t depth;
};
constexpr Keep kWhole{SIZE_MAX, SIZE_MAX, kMaxDepth};
constexpr Keep kSome{512, 32, 6};
constexpr Keep kLittle{128, 8, 3};

// Text fields are strings in the record: bytes that are no text stand in it as the JSON text of
// their wire form, {"b64":"…"}.
std::string as_text(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  return bytes_to_json(bytes).dump();
}

// At most `max` bytes of UTF-8 text, cut between characters, with a note.
std::string cut_text(std::string text, std::size_t max) {
  if (text.size() <= max) return text;
  const std::string note = "… (cut, " + std::to_string(text.size()) + " bytes)";
  std::size_t end = max > note.size() ? max - note.size() : 0;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  return text + note;
}

class Cleaner {
 public:
  Cleaner(const Redact& redact, Keep keep) : redact_(redact), keep_(keep) {}

  Json clean(const Json& value, std::size_t depth = 0) const {
    switch (value.type()) {
      case Json::value_t::object:
        return clean_object(value, depth);
      case Json::value_t::array:
        return clean_array(value, depth);
      case Json::value_t::string:
        return clean_string(value.get_ref<const std::string&>());
      case Json::value_t::number_unsigned: {
        const auto number = value.get<std::uint64_t>();
        return number > kMaxSafeInteger ? Json(std::to_string(number)) : value;
      }
      case Json::value_t::number_integer: {
        const auto number = value.get<std::int64_t>();
        const auto limit = static_cast<std::int64_t>(kMaxSafeInteger);
        return number > limit || number < -limit ? Json(std::to_string(number)) : value;
      }
      case Json::value_t::number_float:
        return clean_float(value.get<double>());
      case Json::value_t::binary: {
        const auto& bytes = value.get_binary();
        return {{"b64", cut_text(base64_encode(
                                     {reinterpret_cast<const char*>(bytes.data()), bytes.size()}),
                                 keep_.string_bytes)}};
      }
      case Json::value_t::boolean:
        return value;
      default:
        return nullptr;
    }
  }

 private:
  Json clean_string(const std::string& text) const {
    const std::string safe = redact_(text);
    if (is_utf8(safe)) return cut_text(safe, keep_.string_bytes);
    if (safe.size() <= keep_.string_bytes) return bytes_to_json(safe);
    return {{"b64", base64_encode(std::string_view(safe).substr(0, keep_.string_bytes))},
            {"cut", safe.size()}};
  }

  // Doubles that hold whole numbers beyond 2^53 stay numbers: their form is defined (RFC 8785,
  // 3.2.2.3), only integers types lose digits.
  static Json clean_float(double number) {
    if (std::isfinite(number)) return number;
    return std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
  }

  Json clean_object(const Json& value, std::size_t depth) const {
    if (depth >= keep_.depth) return "(cut, nested too deep)";
    Json out = Json::object();
    for (const auto& [key, member] : value.items()) {
      if (out.size() >= keep_.members) {
        out["(cut)"] = std::to_string(value.size()) + " members";
        break;
      }
      const std::string name = cut_text(as_text(redact_(key)), keep_.string_bytes);
      out[name] =
          member.is_string() && is_secret_name(key) ? Json(kRedacted) : clean(member, depth + 1);
    }
    return out;
  }

  Json clean_array(const Json& value, std::size_t depth) const {
    if (depth >= keep_.depth) return "(cut, nested too deep)";
    Json out = Json::array();
    for (const auto& element : value) {
      if (out.size() >= keep_.members) {
        out.push_back("(cut, " + std::to_string(value.size()) + " elements)");
        break;
      }
      out.push_back(clean(element, depth + 1));
    }
    return out;
  }

  const Redact& redact_;
  Keep keep_;
};

// The canonical payload, whole if it fits, else with the "cut" note: how large it was and its
// digest, so that whoever has the original can tell that it is this one. "refused" stays in every
// case, for
// `--blocked` depends on it.
std::string clean_payload(const Json& payload, const Redact& redact) {
  const Json object = payload.is_object() ? Json() : Json{{"value", payload}};
  const Json& source = payload.is_object() ? payload : object;
  const std::string whole = canonical_json(Cleaner(redact, kWhole).clean(source));
  if (whole.size() <= kMaxPayload) return whole;

  const Json note{{"bytes", whole.size()}, {"sha256", sha256_hex(whole)}};
  const auto refused = source.find("refused");
  for (const Keep& keep : {kSome, kLittle}) {
    const Cleaner cleaner(redact, keep);
    Json part = cleaner.clean(source);
    if (refused != source.end()) part["refused"] = cleaner.clean(*refused, 1);
    part["cut"] = note;
    std::string text = canonical_json(part);
    if (text.size() <= kMaxPayload) return text;
  }
  Json least{{"cut", note}};
  if (refused != source.end() && refused->is_array() && !refused->empty()) {
    least["refused"] = Json::array({"(cut)"});
  }
  return canonical_json(least);
}

}  // namespace

std::string sanitize(Record& record, const Redact& redact) {
  record.reason = redact(record.reason);
  for (std::string* field :
       {&record.kind, &record.session, &record.agent, &record.skill, &record.tool, &record.call,
        &record.decision, &record.reason, &record.policy}) {
    *field = cut_text(as_text(*field), kMaxField);
  }
  return clean_payload(record.payload, redact);
}

}  // namespace sharkcage::audit
