#include "supervisor/attribution.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sharkcage {
namespace {

// Programs that run the file named by their first operand.
constexpr std::array<std::string_view, 9> kInterpreters = {"sh",   "bash",   "dash", "zsh", "python3",
                                                           "node", "python", "perl", "ruby"};

const SkillPath* skill_around(const std::vector<SkillPath>& skills, std::string_view path) {
  const SkillPath* best = nullptr;
  for (const auto& skill : skills) {
    if (lies_in(path, skill.path) && (best == nullptr || skill.path.size() > best->path.size())) {
      best = &skill;
    }
  }
  return best;
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
bool names_another(const AttributionInput& input, const std::string& skill) {
  const auto names = [&](const SkillPath& other) {
    if (other.skill == skill) return false;
    const std::string folder = other.path.substr(other.path.rfind('/') + 1);
    return input.command.find(other.path) != std::string::npos ||
           input.command.find("skills/" + folder + "/") != std::string::npos;
  };
  return std::any_of(input.registered.begin(), input.registered.end(), names) ||
         std::any_of(input.unregistered.begin(), input.unregistered.end(), names);
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

std::string skill_of_document(const std::vector<SkillPath>& skills, std::string_view path) {
  for (const auto& skill : skills) {
    if (path == skill.path + "/SKILL.md") return skill.skill;
  }
  return {};
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

Attribution attribute(const AttributionInput& input) {
  if (!input.declared_by.empty()) return {input.declared_by, true, "declared-tool"};
  if (input.tool != "exec") return {std::string(kAgent), true, "baseline"};
  if (const auto words = simple_command(input.command)) {
    const std::string program = program_of(*words, input.workdir);
    if (!program.empty()) {
      if (const auto* skill = skill_around(input.registered, program)) {
        return {skill->skill, true, "program"};
      }
      if (const auto* skill = skill_around(input.unregistered, program)) {
        return {skill->skill, false, "program"};
      }
    }
  }
  if (!input.last_read.empty() && !names_another(input, input.last_read)) {
    return {input.last_read, true, "document"};
  }
  return {std::string(kAgent), true, "baseline"};
}

}  // namespace sharkcage
