// Directories of skills, found by what lies in them or names them. What a lookup costs depends on
// the path or the text that is looked at, hardly on how many directories there are.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sharkcage {

struct SkillPlace {
  std::string skill;
  std::string path;  // absolute, normal form
  bool operator==(const SkillPlace&) const = default;
};

// One thread; lookups alone may come from several.
class SkillPlaces {
 public:
  SkillPlaces() = default;
  explicit SkillPlaces(const std::vector<SkillPlace>& places);

  void add(const std::string& skill, const std::string& path);
  // Undoes one `add` of the same.
  void remove(const std::string& skill, const std::string& path);

  // The deepest directory that is `path` (in normal form) or holds it, with the first of its skills
  // by name; an empty one where there is none.
  SkillPlace around(std::string_view path) const;

  // The first skill by name with this very directory; empty for none.
  std::string at(std::string_view path) const;

  // Whether `text` contains the path of a directory of a skill other than `skill`, or "skills/",
  // the last part of such a path and "/".
  bool another_is_named(std::string_view text, std::string_view skill) const;

  // Skills with a directory that ends in "/" and `folder`, by name.
  std::vector<std::string> with_folder(std::string_view folder) const;

  // Directories of `skill`. Looks at all of them.
  std::vector<std::string> of(std::string_view skill) const;

 private:
  using Names = std::multiset<std::string, std::less<>>;
  bool begins_with_another(std::string_view text, std::string_view skill) const;

  std::map<std::string, Names, std::less<>> by_path_;
  std::map<std::string, Names, std::less<>> by_folder_;
};

// The last part of a path in normal form.
std::string_view folder_of(std::string_view path);

}  // namespace sharkcage
