#include "capabilities/skill_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace sharkcage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Places = std::vector<SkillPlace>;

TEST(SkillPlaces, FindTheDeepestDirectoryAroundAPath) {
  const SkillPlaces places(Places{{"a", "/s/a"}, {"b", "/s/a/b"}});
  EXPECT_EQ(places.around("/s/a"), (SkillPlace{"a", "/s/a"}));
  EXPECT_EQ(places.around("/s/a/x/y"), (SkillPlace{"a", "/s/a"}));
  EXPECT_EQ(places.around("/s/a/b/y").skill, "b");
  EXPECT_EQ(places.around("/s/ab").skill, "");
  EXPECT_EQ(places.around("/s").skill, "");
  EXPECT_EQ(places.around("/").skill, "");
  EXPECT_EQ(places.around("").skill, "");
  EXPECT_EQ(SkillPlaces(Places{{"all", "/"}}).around("/x").skill, "all");
}

TEST(SkillPlaces, KnowTheDirectoryItselfAndItsFolder) {
  SkillPlaces places(Places{{"b", "/s/one"}, {"a", "/s/one"}, {"a", "/t/one"}});
  EXPECT_EQ(places.at("/s/one"), "a");
  EXPECT_EQ(places.at("/s"), "");
  EXPECT_THAT(places.with_folder("one"), ElementsAre("a", "b"));
  EXPECT_THAT(places.with_folder("two"), IsEmpty());
  EXPECT_THAT(places.of("a"), ElementsAre("/s/one", "/t/one"));
  places.remove("a", "/s/one");
  EXPECT_EQ(places.at("/s/one"), "b");
  EXPECT_THAT(places.with_folder("one"), ElementsAre("a", "b"));
  places.remove("a", "/t/one");
  places.remove("a", "/t/one");
  EXPECT_THAT(places.with_folder("one"), ElementsAre("b"));
}

TEST(SkillPlaces, SayWhetherATextNamesAnotherSkill) {
  const SkillPlaces places(Places{{"a", "/s/a"}, {"b", "/s/a/b"}, {"c", "/elsewhere/kit"}});
  EXPECT_FALSE(places.another_is_named("cat /s/a/x", "a"));
  EXPECT_TRUE(places.another_is_named("cat /s/a/x", "b"));
  EXPECT_TRUE(places.another_is_named("cat /s/a/b/x", "a"));
  EXPECT_TRUE(places.another_is_named("cat /s/a/b/x", "b"));
  EXPECT_TRUE(places.another_is_named("x='/s/a'", "c"));
  EXPECT_TRUE(places.another_is_named("ls skills/kit/", "a"));
  EXPECT_FALSE(places.another_is_named("ls skills/kit/", "c"));
  EXPECT_FALSE(places.another_is_named("ls skills/kit", "a"));
  EXPECT_TRUE(places.another_is_named("ls skills/x/skills/kit/y", "a"));
  EXPECT_FALSE(places.another_is_named("", "a"));
  EXPECT_FALSE(places.another_is_named("///", "a"));
}

// The plain definition, word for word.
bool names_another(const std::vector<SkillPlace>& places, const std::string& text,
                   const std::string& skill) {
  for (const auto& place : places) {
    if (place.skill == skill) continue;
    const std::string folder = place.path.substr(place.path.rfind('/') + 1);
    if (text.find(place.path) != std::string::npos ||
        text.find("skills/" + folder + "/") != std::string::npos) {
      return true;
    }
  }
  return false;
}

SkillPlace around(const std::vector<SkillPlace>& places, const std::string& path) {
  SkillPlace best;
  for (const auto& place : places) {
    const bool holds = path == place.path || path.starts_with(place.path + "/");
    const bool deeper = place.path.size() > best.path.size();
    const bool first = place.path == best.path && place.skill < best.skill;
    if (holds && (deeper || first)) best = place;
  }
  return best;
}

TEST(SkillPlaces, AgreeWithThePlainDefinition) {
  std::mt19937 random(7);
  const auto pick = [&](std::size_t count) { return random() % count; };
  const auto text_of = [&](std::size_t length) {
    static const std::vector<std::string> pieces = {"/",  "a",   "b",      "ab",      "/a",
                                                    "/b", "/ab", "skills", "skills/", " "};
    std::string text;
    for (std::size_t i = 0; i < length; ++i) text += pieces[pick(pieces.size())];
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<SkillPlace> list;
    for (std::size_t i = pick(6); i > 0; --i) {
      std::string path;
      for (std::size_t depth = 1 + pick(3); depth > 0; --depth) {
        path += std::vector<std::string>{"/a", "/b", "/ab", "/ba"}[pick(4)];
      }
      list.push_back({std::string(1, static_cast<char>('p' + pick(3))), path});
    }
    const SkillPlaces places(list);
    const std::string text = text_of(1 + pick(8));
    EXPECT_EQ(places.another_is_named(text, "p"), names_another(list, text, "p")) << text;
    const std::string path = "/a/b" + std::vector<std::string>{"", "/a", "/ab/b", "a"}[pick(4)];
    EXPECT_EQ(places.around(path), around(list, path)) << path;
  }
}

}  // namespace
}  // namespace sharkcage
