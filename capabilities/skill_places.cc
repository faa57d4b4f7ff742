#include "capabilities/skill_places.h"

#include <algorithm>
#include <iterator>

namespace sharkcage {
namespace {

constexpr std::string_view kSkillsFolder = "skills/";

template <typename Map>
void drop(Map& map, const std::string& key, const std::string& name) {
  const auto found = map.find(key);
  if (found == map.end()) return;
  const auto entry = found->second.find(name);
  if (entry != found->second.end()) found->second.erase(entry);
  if (found->second.empty()) map.erase(found);
}

}  // namespace

std::string_view folder_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

SkillPlaces::SkillPlaces(const std::vector<SkillPlace>& places) {
  for (const SkillPlace& place : places) add(place.skill, place.path);
}

void SkillPlaces::add(const std::string& skill, const std::string& path) {
  by_path_[path].insert(skill);
  by_folder_[std::string(folder_of(path))].insert(skill);
}

void SkillPlaces::remove(const std::string& skill, const std::string& path) {
  drop(by_path_, path, skill);
  drop(by_folder_, std::string(folder_of(path)), skill);
}

SkillPlace SkillPlaces::around(std::string_view path) const {
  while (!path.empty()) {
    const auto found = by_path_.find(path);
    if (found != by_path_.end()) return {*found->second.begin(), found->first};
    if (path == "/") break;
    path = path.substr(0, std::max<std::size_t>(path.rfind('/'), 1));
  }
  return {};
}

std::string SkillPlaces::at(std::string_view path) const {
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? std::string() : *found->second.begin();
}

bool SkillPlaces::another_is_named(std::string_view text, std::string_view skill) const {
  for (std::size_t at = text.find('/'); at != std::string_view::npos; at = text.find('/', at + 1)) {
    if (begins_with_another(text.substr(at), skill)) return true;
  }
  for (std::size_t at = text.find(kSkillsFolder); at != std::string_view::npos;
       at = text.find(kSkillsFolder, at + 1)) {
    const std::string_view rest = text.substr(at + kSkillsFolder.size());
    const std::size_t end = rest.find('/');
    if (end == std::string_view::npos) break;
    const auto found = by_folder_.find(rest.substr(0, end));
    if (found == by_folder_.end()) continue;
    for (const std::string& name : found->second) {
      if (name != skill) return true;
    }
  }
  return false;
}

// Whether one of the paths is how `text` begins. The greatest path that is not greater than the
// text is such a beginning, or else all of them are beginnings of what it has in common with the
// text.
bool SkillPlaces::begins_with_another(std::string_view text, std::string_view skill) const {
  while (!text.empty()) {
    const auto next = by_path_.upper_bound(text);
    if (next == by_path_.begin()) return false;
    const auto& [path, names] = *std::prev(next);
    const auto [end, _] = std::mismatch(text.begin(), text.end(), path.begin(), path.end());
    const auto common = static_cast<std::size_t>(end - text.begin());
    if (common < path.size()) {
      text = text.substr(0, common);
      continue;
    }
    for (const std::string& name : names) {
      if (name != skill) return true;
    }
    if (common == 0) return false;
    text = text.substr(0, common - 1);
  }
  return false;
}

std::vector<std::string> SkillPlaces::with_folder(std::string_view folder) const {
  const auto found = by_folder_.find(folder);
  if (found == by_folder_.end()) return {};
  std::vector<std::string> names(found->second.begin(), found->second.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::vector<std::string> SkillPlaces::of(std::string_view skill) const {
  std::vector<std::string> paths;
  for (const auto& [path, names] : by_path_) {
    if (names.contains(skill)) paths.push_back(path);
  }
  return paths;
}

}  // namespace sharkcage
