#include "supervisor/sandbox/git_config.h"

#include <algorithm>
#include <iterator>

namespace sharkcage::sandbox {
namespace {

constexpr std::size_t kMaxText = 1u << 20;

enum class Value { kAny, kUrl, kRemote };

struct Allowed {
  std::string_view section;
  bool named;  // has a subsection, of any name
  std::string_view key;
  Value value = Value::kAny;
};

// What runs no program, whatever its value is (git-config(1)). Everything else is refused.
constexpr Allowed kAllowed[] = {
    {"advice", false, "*"},
    {"branch", true, "description"},
    {"branch", true, "merge"},
    {"branch", true, "pushremote", Value::kRemote},
    {"branch", true, "rebase"},
    {"branch", true, "remote", Value::kRemote},
    {"branch", false, "autosetupmerge"},
    {"branch", false, "autosetuprebase"},
    {"branch", false, "sort"},
    {"color", false, "ui"},
    {"commit", false, "verbose"},
    {"core", false, "abbrev"},
    {"core", false, "autocrlf"},
    {"core", false, "bare"},
    {"core", false, "compression"},
    {"core", false, "eol"},
    {"core", false, "filemode"},
    {"core", false, "ignorecase"},
    {"core", false, "logallrefupdates"},
    {"core", false, "longpaths"},
    {"core", false, "precomposeunicode"},
    {"core", false, "quotepath"},
    {"core", false, "repositoryformatversion"},
    {"core", false, "safecrlf"},
    {"core", false, "sharedrepository"},
    {"core", false, "sparsecheckout"},
    {"core", false, "sparsecheckoutcone"},
    {"core", false, "symlinks"},
    {"core", false, "untrackedcache"},
    {"core", false, "whitespace"},
    {"extensions", false, "objectformat"},
    {"extensions", false, "partialclone"},
    {"extensions", false, "refstorage"},
    {"feature", false, "manyfiles"},
    {"fetch", false, "prune"},
    {"fetch", false, "prunetags"},
    {"gc", false, "auto"},
    {"index", false, "skiphash"},
    {"index", false, "version"},
    {"init", false, "defaultbranch"},
    {"merge", false, "conflictstyle"},
    {"merge", false, "ff"},
    {"pull", false, "ff"},
    {"pull", false, "rebase"},
    {"push", false, "autosetupremote"},
    {"push", false, "default"},
    {"push", false, "followtags"},
    {"remote", false, "pushdefault", Value::kRemote},
    {"remote", true, "fetch"},
    {"remote", true, "mirror"},
    {"remote", true, "partialclonefilter"},
    {"remote", true, "promisor"},
    {"remote", true, "prune"},
    {"remote", true, "push"},
    {"remote", true, "pushurl", Value::kUrl},
    {"remote", true, "skipdefaultupdate"},
    {"remote", true, "skipfetchall"},
    {"remote", true, "tagopt"},
    {"remote", true, "url", Value::kUrl},
    {"user", false, "email"},
    {"user", false, "name"},
};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_name(char c) {
  return is_letter(c) || (c >= '0' && c <= '9') || c == '-';
}
bool is_space(char c) {
  return c == ' ' || c == '\t';
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  std::optional<std::vector<GitSetting>> parse() {
    while (!rest_.empty()) {
      skip_spaces();
      if (at_end_of_line()) {
        next_line();
      } else if (!(rest_.front() == '[' ? section() : setting())) {
        return std::nullopt;
      }
    }
    return std::move(settings_);
  }

 private:
  bool at_end_of_line() const {
    return rest_.empty() || rest_.front() == '\n' || rest_.front() == '#' || rest_.front() == ';';
  }
  void skip_spaces() {
    while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
  }
  void next_line() { rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size() - 1) + 1); }
  // The end of a line's content: nothing but a comment may follow.
  bool end_line() {
    skip_spaces();
    if (!at_end_of_line()) return false;
    if (!rest_.empty()) next_line();
    return true;
  }
  std::string name() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_name);
    const auto length = static_cast<std::size_t>(end - rest_.begin());
    std::string text = lower(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return text;
  }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // [section] or [section "subsection"]
  bool section() {
    take('[');
    section_ = name();
    subsection_.clear();
    if (section_.empty()) return false;
    if (take(']')) return end_line();
    if (!take(' ') || !take('"')) return false;
    for (;;) {
      if (rest_.empty() || rest_.front() == '\n') return false;
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') break;
      if (c == '\\') {
        if (rest_.empty() || (rest_.front() != '\\' && rest_.front() != '"')) return false;
        c = rest_.front();
        rest_.remove_prefix(1);
      }
      subsection_ += c;
    }
    return !subsection_.empty() && take(']') && end_line();
  }

  // key, or key = value
  bool setting() {
    if (section_.empty() || !is_letter(rest_.front())) return false;
    GitSetting setting{section_, subsection_, name(), {}};
    skip_spaces();
    if (take('=')) {
      skip_spaces();
      if (!value(setting.value)) return false;
    } else if (!end_line()) {
      return false;
    }
    settings_.push_back(std::move(setting));
    return true;
  }

  // To the end of the line, or of the lines that it goes on in.
  bool value(std::string& out) {
    bool quoted = false;
    std::size_t kept = 0;  // without spaces at the end
    for (;;) {
      if (!quoted && at_end_of_line()) {
        out.resize(kept);
        if (!rest_.empty()) next_line();
        return true;
      }
      if (rest_.empty() || rest_.front() == '\n') return false;
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') {
        quoted = !quoted;
        kept = out.size();
        continue;
      }
      const bool escaped = c == '\\';
      if (escaped && !escape(c)) return false;
      if (escaped && c == '\0') continue;  // the line goes on
      out += c;
      if (quoted || escaped || !is_space(c)) kept = out.size();
    }
  }

  // What follows a backslash; '\0' for the end of a line.
  bool escape(char& c) {
    if (rest_.empty()) return false;
    constexpr std::string_view kFrom = "\n\\\"ntb";
    constexpr std::string_view kTo{"\0\\\"\n\t\b", 6};
    const std::size_t at = kFrom.find(rest_.front());
    if (at == std::string_view::npos) return false;
    c = kTo[at];
    rest_.remove_prefix(1);
    return true;
  }

  std::string_view rest_;
  std::string section_;
  std::string subsection_;
  std::vector<GitSetting> settings_;
};

// No "transport::address", which runs git-remote-transport, and no option for a transport's
// program.
bool is_plain_url(const std::string& url) {
  if (url.empty() || url.front() == '-' || url.find("::") != std::string::npos) return false;
  if (std::any_of(url.begin(), url.end(), [](char c) { return c >= 0 && c < ' '; })) return false;
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return true;  // a path, or host:path
  static constexpr std::string_view kSchemes[] = {"https", "http", "ssh", "git", "file"};
  const std::string name = lower(url.substr(0, scheme));
  // "ssh://-oProxyCommand=…": git refuses it as well.
  return std::find(std::begin(kSchemes), std::end(kSchemes), name) != std::end(kSchemes) &&
         !url.substr(scheme + 3).starts_with("-");
}

bool is_allowed(const GitSetting& setting) {
  for (const Allowed& allowed : kAllowed) {
    if (allowed.section != setting.section || allowed.named == setting.subsection.empty()) continue;
    if (allowed.key != "*" && allowed.key != setting.key) continue;
    return allowed.value == Value::kAny || is_plain_url(setting.value);
  }
  return false;
}

std::string name_of(const GitSetting& setting) {
  return setting.section + "." + (setting.subsection.empty() ? "" : setting.subsection + ".") +
         setting.key;
}

}  // namespace

std::optional<std::vector<GitSetting>> parse_git_config(std::string_view text) {
  if (text.size() > kMaxText || text.find('\0') != std::string_view::npos ||
      text.find('\r') != std::string_view::npos) {
    return std::nullopt;
  }
  return Parser(text).parse();
}

std::string refused_git_setting(std::string_view text) {
  const auto settings = parse_git_config(text);
  if (!settings) return "its syntax";
  for (const GitSetting& setting : *settings) {
    if (!is_allowed(setting)) return name_of(setting);
  }
  return {};
}

}  // namespace sharkcage::sandbox
