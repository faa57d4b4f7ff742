#include "capabilities/skill_index.h"

#include <utility>

namespace sharkcage {

void SkillIndex::put(const std::string& name, Entry entry) {
  erase(name);
  places_.add(name, entry.source);
  for (const std::string& tool : entry.tools) by_tool_[tool].insert(name);
  entries_[name] = std::move(entry);
}

void SkillIndex::erase(const std::string& name) {
  ++generation_;
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  places_.remove(name, found->second.source);
  for (const std::string& tool : found->second.tools) {
    const auto declaring = by_tool_.find(tool);
    if (declaring == by_tool_.end()) continue;
    declaring->second.erase(name);
    if (declaring->second.empty()) by_tool_.erase(declaring);
  }
  entries_.erase(found);
}

SkillIndex::Entry* SkillIndex::find(const std::string& name) {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second;
}

std::string SkillIndex::declaring(std::string_view tool) const {
  const auto found = by_tool_.find(tool);
  return found == by_tool_.end() ? std::string() : *found->second.begin();
}

}  // namespace sharkcage
