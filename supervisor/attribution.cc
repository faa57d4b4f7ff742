#include "supervisor/attribution.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sharkcage {
namespace {

// Programs that run the file named by their first operand.
constexpr std::array<std::string_view, 9> kInterpreters = {
    "sh", "bash", "dash", "zsh", "python3", "node", "python", "perl", "ruby"};

// The registered skill in whose directory `path` lies, the deepest directory deciding; empty for
// none.
std::string registered_around(const SkillView& skills, std::string_view path) {
  const SkillPlace source = skills.sources->around(path);
  const SkillPlace copy = skills.copies.around(path);
  return copy.path.size() > source.path.size() ? copy.skill : source.skill;
}

// The file that a simple command runs: its program, or the script it gives to an interpreter.
std::string program_of(const std::vector<std::string>& words, const std::string& workdir) {
  const std::string& program = words.front();
  const std::string name = program.substr(program.rfind('/') + 1);
  const bool interpreter =
      std::find(kInterpreters.begin(), kInterpreters.end(), name) != kInterpreters.end();
  if (interpreter && words.size() > 1 && !words[1].empty() && words[1].front() != '-') {
    return normal_path(words[1], workdir);
  }
  return program.find('/') == std::string::npos ? std::string() : normal_path(program, workdir);
}

// The command's text contains the directory of a skill other than `skill`.
bool names_another(const SkillView& skills, const std::string& command, const std::string& skill) {
  return skills.sources->another_is_named(command, skill) ||
         skills.copies.another_is_named(command, skill) ||
         skills.unregistered.another_is_named(command, skill);
}

}  // namespace

std::string normal_path(std::string_view path, std::string_view base) {
  std::string whole(path);
  if (whole.empty() || whole.front() != '/') whole = std::string(base) + "/" + whole;
  std::vector<std::string_view> parts;
  const std::string_view view = whole;
  for (std::size_t at = 0; at < view.size();) {
    const std::size_t end = std::min(view.find('/', at), view.size());
    const std::string_view part = view.substr(at, end - at);
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    at = end + 1;
  }
  std::string out;
  for (const auto part : parts) out.append("/").append(part);
  return out.empty() ? "/" : out;
}

bool lies_in(std::string_view path, std::string_view folder) {
  if (folder == "/") return true;
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

std::string skill_of_document(const SkillView& skills, std::string_view path) {
  static constexpr std::string_view kDocument = "/SKILL.md";
  if (!path.ends_with(kDocument)) return {};
  path.remove_suffix(kDocument.size());
  const std::string source = skills.sources->at(path);
  return source.empty() ? skills.copies.at(path) : source;
}

std::optional<std::vector<std::string>> simple_command(std::string_view command) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    switch (c) {
      case ' ':
      case '\t':
        if (in_word) words.push_back(std::exchange(word, {}));
        in_word = false;
        break;
      case '\'': {
        const std::size_t end = command.find('\'', i + 1);
        if (end == std::string_view::npos) return std::nullopt;
        word.append(command.substr(i + 1, end - i - 1));
        in_word = true;
        i = end;
        break;
      }
      case '"': {
        const std::size_t end = command.find('"', i + 1);
        if (end == std::string_view::npos) return std::nullopt;
        const std::string_view inside = command.substr(i + 1, end - i - 1);
        if (inside.find_first_of("$`\\!") != std::string_view::npos) return std::nullopt;
        word.append(inside);
        in_word = true;
        i = end;
        break;
      }
      case '\\':
      case '$':
      case '`':
      case '|':
      case '&':
      case ';':
      case '(':
      case ')':
      case '{':
      case '}':
      case '<':
      case '>':
      case '*':
      case '?':
      case '[':
      case ']':
      case '#':
      case '!':
      case '\n':
      case '\r':
      case '\0':
        return std::nullopt;
      case '~':
        if (!in_word) return std::nullopt;
        [[fallthrough]];
      default:
        word += c;
        in_word = true;
    }
  }
  if (in_word) words.push_back(std::move(word));
  // NAME=value before the program is an assignment, not a program.
  if (words.empty() || words.front().empty() || words.front().find('=') != std::string::npos) {
    return std::nullopt;
  }
  return words;
}

Attribution attribute(const AttributionInput& input, const SkillView& skills) {
  if (!input.declared_by.empty()) return {input.declared_by, true, "declared-tool"};
  if (input.tool != "exec") return {std::string(kAgent), true, "baseline"};
  if (const auto words = simple_command(input.command)) {
    const std::string program = program_of(*words, input.workdir);
    if (!program.empty()) {
      const std::string skill = registered_around(skills, program);
      if (!skill.empty()) return {skill, true, "program"};
      const SkillPlace stranger = skills.unregistered.around(program);
      if (!stranger.skill.empty()) return {stranger.skill, false, "program"};
    }
  }
  if (!input.last_read.empty() && !names_another(skills, input.command, input.last_read)) {
    return {input.last_read, true, "document"};
  }
  return {std::string(kAgent), true, "baseline"};
}

}  // namespace sharkcage
