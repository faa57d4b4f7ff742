// What the registry knows, in memory, so that a call's way costs the same with ten skills and with
// ten thousand. Small facts of every skill; manifests and approvals of those that were asked for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/skill_places.h"
#include "capabilities/skills.h"

namespace sharkcage {

// One thread.
class SkillIndex {
 public:
  // The approval, or how it came that there is none.
  struct Grant {
    bool revoked = false;
    std::optional<Approval> approval;
  };
  struct Entry {
    std::string source;
    std::vector<std::string> tools;      // that its manifest declares
    std::shared_ptr<const Skill> skill;  // once read
    std::shared_ptr<const Grant> grant;  // once read
  };

  // Replaces what was known under `name`, and forgets what was read of it.
  void put(const std::string& name, Entry entry);
  void erase(const std::string& name);
  // Null when there is no such skill.
  Entry* find(const std::string& name);

  // The first skill by name that declares `tool`; empty for none.
  std::string declaring(std::string_view tool) const;
  // The source directories.
  const SkillPlaces& places() const { return places_; }
  // Another number after every change.
  std::uint64_t generation() const { return generation_; }

 private:
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::set<std::string>, std::less<>> by_tool_;
  SkillPlaces places_;
  std::uint64_t generation_ = 1;
};

}  // namespace sharkcage
