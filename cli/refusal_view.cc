#include "cli/refusal_view.h"

#include <array>
#include <string_view>

#include "cli/style.h"

namespace sharkcage::cli {
namespace {

// Of one outcome in one line; the rest is in `sc audit --blocked`.
constexpr std::size_t kMaxInShort = 3;
// A path in a line of the log; the whole of it is in --json.
constexpr std::size_t kMaxName = 200;

struct Words {
  std::string_view operation;
  std::string_view verb;    // behind "tried to "
  std::string_view member;  // what it was tried on
  std::string_view second;  // what leads to `to`
};

// docs/audit.md has the same list.
constexpr std::array<Words, 12> kWords{{
    {"read", "read", "path", ""},
    {"list", "list", "path", ""},
    {"stat", "look at", "path", ""},
    {"access", "look for", "path", ""},
    {"write", "write", "path", ""},
    {"create", "create", "path", ""},
    {"delete", "delete", "path", ""},
    {"rename", "rename", "path", " to "},
    {"link", "link", "path", " as "},
    {"execute", "run", "path", ""},
    {"connect", "connect to", "address", " by "},
    {"bind", "listen on", "address", ""},
}};

struct Limit {
  std::string_view name;
  std::string_view words;
  // Around its value, where that is known.
  std::string_view before;
  std::string_view behind;
};

constexpr std::array<Limit, 8> kLimits{{
    {"memory", "the memory limit", "the memory limit of ", ""},
    {"pids", "the limit of processes", "the limit of ", ""},
    {"cpu", "the limit of processor time", "the limit of ", " of processor time"},
    {"file size", "the limit of file size", "the limit of ", " a file"},
    {"output", "the limit of output", "the limit of ", " of output"},
    {"wall", "the time limit", "the time limit of ", ""},
    {"open files", "the limit of open files", "the limit of ", " open files"},
    {"tmp", "the size of a private directory in memory", "the limit of ",
     " for a private directory in memory"},
}};

// Both ends of a long name tell what it is; cut between characters.
std::string shortened(const std::string& text) {
  if (text.size() <= kMaxName) return text;
  const auto inside = [&](std::size_t at) {
    return (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  std::size_t head = kMaxName / 2;
  while (head > 0 && inside(head)) --head;
  std::size_t tail = text.size() - kMaxName / 2;
  while (tail < text.size() && inside(tail)) ++tail;
  return text.substr(0, head) + "…" + text.substr(tail);
}

std::string with_tilde(const std::string& path, const std::string& home) {
  if (home.size() < 2 || !path.starts_with(home)) return path;
  if (path.size() == home.size()) return "~";
  return path[home.size()] == '/' ? "~" + path.substr(home.size()) : path;
}

std::string named(const Json& refusal, std::string_view member, const std::string& home) {
  const std::string text = text_of(refusal, std::string(member).c_str());
  return shortened(member == "address" ? text : with_tilde(text, home));
}

const Words* words_of(const std::string& operation) {
  for (const Words& words : kWords) {
    if (words.operation == operation) return &words;
  }
  return nullptr;
}

// `value`: how much it is, in words, or empty.
std::string limit_words(const std::string& limit, const std::string& value) {
  for (const Limit& known : kLimits) {
    if (known.name != limit) continue;
    if (value.empty()) return std::string(known.words);
    return std::string(known.before) + value + std::string(known.behind);
  }
  const std::string name = limit.empty() ? "a limit" : "the limit \"" + shortened(limit) + '"';
  return value.empty() ? name : name + " of " + value;
}

// Without "tried to"; empty for what is not of the documented shape.
std::string action_of(const Json& refusal, const std::string& home) {
  const Words* words = words_of(text_of(refusal, "operation"));
  if (words == nullptr) return {};
  const std::string object = named(refusal, words->member, home);
  if (object.empty()) return {};
  std::string text = std::string(words->verb) + ' ' + object;
  const std::string to = words->second.empty() ? std::string() : named(refusal, "to", home);
  if (!to.empty()) text += std::string(words->second) + to;
  // With its file only where the program is what is wrong, whatever it connects to.
  if (!to.empty() && words->operation == "connect") text += ", which may not use the network";
  return text;
}

}  // namespace

std::string refusal_text(const Json& refusal, const std::string& home) {
  if (refusal.is_string()) return "tried: " + shortened(refusal.get<std::string>());
  const std::string action = action_of(refusal, home);
  if (!action.empty()) return "tried to " + action;
  const std::string operation = text_of(refusal, "operation");
  const std::string call = text_of(refusal, "call");
  if (operation == "system call" && !call.empty()) {
    return "used a refused system call: " + shortened(call);
  }
  if (operation == "unknown") {
    return "may have been refused what is not known: " + shortened(text_of(refusal, "reason"));
  }
  if (operation == "limit") {
    return "hit " + limit_words(text_of(refusal, "limit"), text_of(refusal, "value"));
  }
  return "tried: " + shortened(json_line(refusal));
}

std::string refusal_sentence(const Json& refusal, const std::string& home,
                             const std::string& when) {
  std::string note = shortened(text_of(refusal, "program"));
  const std::int64_t count = number_of(refusal, "count", 1);
  const bool at_least = refusal.is_object() && refusal.value("at_least", Json()) == true;
  if (count > 1 || at_least) {
    note += (note.empty() ? "" : ", ") + std::string(at_least ? "at least " : "");
    note += count == 1 ? "once" : counted(static_cast<std::uint64_t>(count), "time");
  }
  if (!when.empty()) note += (note.empty() ? "" : ", ") + when;
  const std::string text = refusal_text(refusal, home);
  return note.empty() ? text : text + " (" + note + ')';
}

std::string refusals_in_short(const Json& payload, const std::string& home) {
  const Json& refused = refusals_of(payload);
  std::string out;
  for (std::size_t i = 0; i < refused.size() && i < kMaxInShort; ++i) {
    const std::string text = refusal_text(refused[i], home);
    constexpr std::string_view kTried = "tried to ";
    out += (out.empty() ? "" : ", ");
    out += text.starts_with(kTried) ? text.substr(kTried.size()) : text;
  }
  std::size_t more = refused.size() > kMaxInShort ? refused.size() - kMaxInShort : 0;
  const std::int64_t uncounted = number_of(payload, "refused_more");
  if (uncounted > 0) more += static_cast<std::size_t>(uncounted);
  if (more > 0) out += " and " + std::to_string(more) + " more";
  return out;
}

const Json& refusals_of(const Json& payload) {
  static const Json kNone = Json::array();
  if (!payload.is_object()) return kNone;
  const auto found = payload.find("refused");
  return found != payload.end() && found->is_array() ? *found : kNone;
}

}  // namespace sharkcage::cli
