#include "supervisor/git_identities.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>

#include "common/bytes.h"
#include "common/fd.h"
#include "supervisor/file_rights.h"
#include "supervisor/sandbox/git_config.h"

namespace sharkcage {
namespace {

// In the order in which git reads them: the second one counts more.
constexpr std::array<const char*, 2> kNames = {"/.config/git/config", "/.gitconfig"};
constexpr std::size_t kMaxFile = 256u << 10;
constexpr std::size_t kMaxValue = 256;

std::string state_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  std::string state;
  for (const auto number :
       {static_cast<std::int64_t>(status.st_dev), static_cast<std::int64_t>(status.st_ino),
        static_cast<std::int64_t>(status.st_size), static_cast<std::int64_t>(status.st_ctim.tv_sec),
        static_cast<std::int64_t>(status.st_ctim.tv_nsec)}) {
    state += std::to_string(number) + ' ';
  }
  return state;
}

// Never waits, as for a FIFO that came in its place.
std::string content_of(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  try {
    return read_fd(file.get(), kMaxFile, path);
  } catch (const std::exception&) {
    return {};
  }
}

// What an editor or git can show as one line.
bool is_usable(const std::string& value) {
  return value.size() <= kMaxValue && is_utf8(value) &&
         std::none_of(value.begin(), value.end(),
                      [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

// The next line of `text`, which loses it.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string_view without_spaces(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t");
  return start == std::string_view::npos ? std::string_view() : text.substr(start);
}

// What stands behind "[user]" in its line, or nothing for the start of another section.
std::optional<std::string_view> after_header(std::string_view line) {
  constexpr std::string_view kUser = "user";
  line = without_spaces(line.substr(1));
  const bool user = line.size() > kUser.size() &&
                    std::equal(kUser.begin(), kUser.end(), line.begin(),
                               [](char wanted, char c) { return wanted == (c | 0x20); });
  if (!user) return std::nullopt;
  line = without_spaces(line.substr(kUser.size()));
  if (!line.starts_with(']')) return std::nullopt;
  return line.substr(1);
}

void take_settings(const std::string& lines, GitIdentity& identity) {
  const auto settings = sandbox::parse_git_config("[user]\n" + lines);
  if (!settings) return;
  for (const sandbox::GitSetting& setting : *settings) {
    if (!is_usable(setting.value)) continue;
    if (setting.key == "name") identity.name = setting.value;
    if (setting.key == "email") identity.email = setting.value;
  }
}

}  // namespace

void read_git_identity(std::string_view text, GitIdentity& identity) {
  bool inside = false;
  std::string lines;
  while (!text.empty()) {
    std::string_view line = take_line(text);
    if (without_spaces(line).starts_with('[')) {
      take_settings(lines, identity);
      lines.clear();
      const auto rest = after_header(without_spaces(line));
      inside = rest.has_value();
      line = rest.value_or("");
    }
    if (inside) lines.append(line).append("\n");
  }
  take_settings(lines, identity);
}

const GitIdentity& GitIdentities::of(const Account& account, const std::string& home) {
  static const GitIdentity kNone;
  if (!source_.from_home) return source_.fixed;
  if (home.empty()) return kNone;
  Known& known = known_[{account.uid, home}];
  std::array<std::string, kFiles> state;
  for (std::size_t i = 0; i < kFiles; ++i) state[i] = state_of(home + kNames[i]);
  if (state == known.state) return known.identity;
  const FileRights rights(account.uid, account.gid, privileged_);
  known.identity = {};
  for (std::size_t i = 0; i < kFiles; ++i) {
    if (!state[i].empty()) read_git_identity(content_of(home + kNames[i]), known.identity);
  }
  known.state = std::move(state);
  return known.identity;
}

}  // namespace sharkcage
