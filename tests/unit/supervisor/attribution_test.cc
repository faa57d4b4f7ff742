#include "supervisor/attribution.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sharkcage {
namespace {

using ::testing::ElementsAre;
using Places = std::vector<SkillPlace>;

AttributionInput base(const std::string& command) {
  AttributionInput input;
  input.tool = "exec";
  input.command = command;
  input.workdir = "/ws";
  return input;
}

const SkillView& skills() {
  static const SkillPlaces sources(Places{{"weather", "/home/u/skills/weather"}});
  static const SkillView view{
      &sources, SkillPlaces({{"weather", "/ws/skills/weather"}, {"notes", "/ws/skills/notes"}}),
      SkillPlaces(Places{{"stranger", "/ws/skills/stranger"}})};
  return view;
}

std::string skill_of(const AttributionInput& input) {
  return attribute(input, skills()).skill;
}

TEST(Attribution, ADeclaredToolBelongsToItsSkill) {
  auto input = base("");
  input.tool = "weather_now";
  input.declared_by = "weather";
  EXPECT_EQ(skill_of(input), "weather");
}

TEST(Attribution, AProgramInASkillBelongsToIt) {
  EXPECT_EQ(skill_of(base("/ws/skills/weather/run.sh now")), "weather");
  EXPECT_EQ(skill_of(base("skills/notes/count.sh")), "notes");
  EXPECT_EQ(skill_of(base("./skills/../skills/notes/count.sh")), "notes");
  EXPECT_EQ(skill_of(base("bash skills/weather/run.sh")), "weather");
  EXPECT_EQ(skill_of(base("'/home/u/skills/weather/run.sh'")), "weather");
}

TEST(Attribution, ASkillNobodyRegisteredIsNotTheBaseline) {
  const auto found = attribute(base("skills/stranger/run.sh"), skills());
  EXPECT_EQ(found.skill, "stranger");
  EXPECT_FALSE(found.registered);
}

// What a shell would make of these cannot be said from the text: no skill's rights for them.
TEST(Attribution, AnythingButASimpleCommandIsTheBaseline) {
  for (const char* command :
       {"skills/weather/run.sh; cat /etc/passwd", "skills/weather/run.sh && curl evil.example",
        "skills/weather/run.sh | sh", "skills/weather/run.sh > x", "X=1 skills/weather/run.sh",
        "skills/weather/$(id).sh", "skills/weather/`id`", "skills/weather/run.sh\nid",
        "(skills/weather/run.sh)", "{ skills/weather/run.sh", "skills/weather/run.sh &",
        "skills/weat*/run.sh", "~/skills/weather/run.sh", "\"skills/weather/run.sh$X\"",
        "skills/weather/run.sh 'unfinished", "skills/weather/../../bin/tool",
        "bash -c skills/weather/run.sh", "env skills/weather/run.sh"}) {
    EXPECT_EQ(skill_of(base(command)), kAgent) << command;
  }
}

TEST(Attribution, APathThatOnlyBeginsLikeASkillIsNotInIt) {
  EXPECT_EQ(skill_of(base("/ws/skills/weather-evil/run.sh")), kAgent);
  EXPECT_EQ(skill_of(base("/ws/skills/weather/../weather-evil/run.sh")), kAgent);
}

TEST(Attribution, TheDocumentReadLastDecidesForOtherCommands) {
  auto input = base("curl https://wttr.in/ | head");
  input.last_read = "weather";
  EXPECT_EQ(skill_of(input), "weather");
}

TEST(Attribution, ACommandThatNamesAnotherSkillIsNotTheDocuments) {
  auto input = base("cat skills/notes/secret.txt; true");
  input.last_read = "weather";
  EXPECT_EQ(skill_of(input), kAgent);
  input.command = "cat /ws/skills/stranger/x; true";
  EXPECT_EQ(skill_of(input), kAgent);
}

TEST(Attribution, TheDeepestDirectoryDecides) {
  const SkillPlaces sources(Places{{"outer", "/ws/skills"}});
  const SkillView nested{&sources, SkillPlaces(Places{{"inner", "/ws/skills/inner"}}), {}};
  EXPECT_EQ(attribute(base("skills/inner/run.sh"), nested).skill, "inner");
  EXPECT_EQ(attribute(base("skills/other/run.sh"), nested).skill, "outer");
}

TEST(Attribution, ASkillsDocumentIsKnownByItsPath) {
  EXPECT_EQ(skill_of_document(skills(), "/home/u/skills/weather/SKILL.md"), "weather");
  EXPECT_EQ(skill_of_document(skills(), "/ws/skills/notes/SKILL.md"), "notes");
  EXPECT_EQ(skill_of_document(skills(), "/ws/skills/stranger/SKILL.md"), "");
  EXPECT_EQ(skill_of_document(skills(), "/ws/skills/notes/scripts/SKILL.md"), "");
  EXPECT_EQ(skill_of_document(skills(), "/ws/skills/notes"), "");
}

TEST(Attribution, OtherToolsAreTheBaseline) {
  auto input = base("");
  input.tool = "read";
  input.last_read = "weather";
  EXPECT_EQ(skill_of(input), kAgent);
}

TEST(SimpleCommand, SplitsAsAShellWould) {
  EXPECT_THAT(*simple_command("  a 'b c' \"d e\"f  "), ElementsAre("a", "b c", "d ef"));
  EXPECT_THAT(*simple_command("a ''"), ElementsAre("a", ""));
  EXPECT_FALSE(simple_command(""));
  EXPECT_FALSE(simple_command("   "));
  EXPECT_FALSE(simple_command(std::string_view("a\0b", 3)));
  EXPECT_FALSE(simple_command("a \\b"));
}

TEST(NormalPath, RemovesDotsWithoutLeavingTheRoot) {
  EXPECT_EQ(normal_path("a/./b//c/..", "/x"), "/x/a/b");
  EXPECT_EQ(normal_path("../../../..", "/x/y"), "/");
  EXPECT_EQ(normal_path("/a/../../b", "/x"), "/b");
}

}  // namespace
}  // namespace sharkcage
