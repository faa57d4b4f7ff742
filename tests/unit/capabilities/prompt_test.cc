#include "capabilities/prompt.h"

#include <gmock/gmock.h>

#include "common/bytes.h"
#include "fixture.h"

namespace sharkcage {
namespace {

using testing::HasSubstr;
using testing::Not;

Prompt prompt_of(const std::vector<CapabilityRequest>& asked, const std::string& name = "weather",
                 bool changed = false) {
  Manifest manifest;
  manifest.name = name;
  return approval_prompt(manifest, asked, changed, Limits{}, Catalogue());
}

TEST(Prompt, SaysInPlainWordsWhatIsGranted) {
  const Prompt prompt = prompt_of({{"network.external", {"wttr.in:443"}, "fetch forecasts"},
                                   {"system.exec", {"curl"}, "call wttr.in"}});
  EXPECT_EQ(prompt.title, "Skill weather asks for 2 permissions");
  EXPECT_EQ(prompt.description,
            "[dangerous] run programs: curl – it says: call wttr.in\n"
            "[medium] reach hosts on the internet: wttr.in:443 – it says: fetch forecasts");
  EXPECT_EQ(prompt.severity, "critical");
}

TEST(Prompt, SeverityFollowsTheHighestRisk) {
  EXPECT_EQ(prompt_of({}).severity, "info");
  EXPECT_EQ(prompt_of({{"data.meals", {}, ""}}).severity, "info");
  EXPECT_EQ(prompt_of({{"data.meals", {}, ""}, {"fleet.dispatch", {}, ""}}).severity, "warning");
  EXPECT_EQ(prompt_of({{"system.files.read", {"/x"}, ""}}).severity, "critical");
  EXPECT_EQ(prompt_of({{"not.known", {}, ""}}).severity, "critical");
}

TEST(Prompt, NamesInterpretersForWhatTheyAre) {
  EXPECT_THAT(prompt_of({{"system.exec", {"grep", "python3"}, ""}}).description,
              HasSubstr("python3: anything that this interpreter can do"));
  EXPECT_THAT(prompt_of({{"system.exec", {"grep"}, ""}}).description,
              Not(HasSubstr("interpreter")));
  EXPECT_THAT(prompt_of({{"system.exec", {}, ""}}).description, HasSubstr("run programs: any"));
}

TEST(Prompt, DoesNotPromiseWhatNobodyEnforces) {
  EXPECT_THAT(prompt_of({{"home.control", {"light.*"}, ""}}).description,
              HasSubstr("the service must enforce this"));
}

TEST(Prompt, TellsTheLimitsAsTheyHold) {
  Manifest manifest;
  manifest.name = "weather";
  manifest.limits = Json::parse(
      R"({"memory": "64G", "cpus": 0.5, "pids": 1, "wall": "90s", "open_files": 8000})");
  Limits configured;
  const Prompt prompt =
      approval_prompt(manifest, {{"data.meals", {}, ""}}, false, configured, Catalogue());
  EXPECT_THAT(prompt.description,
              testing::EndsWith("\nHeld to 8 GiB of memory (it asks for 64 GiB), 0.5 processors, "
                                "1 process, 4096 open files (it asks for 8000), 90 seconds"));
}

TEST(Prompt, FitsTheHostAndHidesNothingSilently) {
  std::vector<CapabilityRequest> asked;
  for (int i = 0; i < 60; ++i) {
    asked.push_back({"data.meals", {}, std::string(500, 'x')});
  }
  asked.push_back(
      {"system.exec", std::vector<std::string>(64, "some-program"), std::string(512, 'y')});
  const Prompt prompt = prompt_of(asked, std::string(64, 'n'), true);
  EXPECT_LE(prompt.title.size(), 80u);
  EXPECT_LE(prompt.description.size(), 512u);
  EXPECT_THAT(prompt.title, HasSubstr("asks for 61 permissions"));
  EXPECT_TRUE(prompt.description.starts_with("[dangerous] run programs: some-program"))
      << prompt.description;
  EXPECT_THAT(prompt.description, HasSubstr("and 61 more"));  // of the programs
  EXPECT_THAT(prompt.description, HasSubstr("more, see: sc skill show"));
}

TEST(Prompt, StaysInItsLimitsForEveryLength) {
  for (std::size_t length = 1; length < 1024; length += 7) {
    const std::string word = "ä" + std::string(length, 'w');
    for (const std::size_t count : {1u, 2u, 5u}) {
      std::vector<CapabilityRequest> asked(count, {"system.files.read", {word, word}, word});
      const Prompt prompt = prompt_of(asked, std::string(64, 'n'));
      ASSERT_LE(prompt.description.size(), 512u) << length;
      ASSERT_TRUE(is_utf8(prompt.description)) << length;
      ASSERT_FALSE(prompt.description.empty());
    }
  }
}

TEST(Prompt, HostileTextIsMadeVisible) {
  const Prompt prompt = prompt_of({{"system.exec", {"a\x1b[2Jb"}, "x\ny"}});
  EXPECT_THAT(prompt.description, HasSubstr("a\\x1b[2Jb"));
  EXPECT_THAT(prompt.description, HasSubstr("x\\ny"));
}

}  // namespace
}  // namespace sharkcage
