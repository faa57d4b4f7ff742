#include "capabilities/network_programs.h"

#include <gmock/gmock.h>

#include "fixture.h"

namespace sharkcage {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

using NetworkPrograms = Scratch;

TEST_F(NetworkPrograms, AreRealPathsOfFiles) {
  const std::string tool = write("tool",
                                 "\x7f"
                                 "ELF",
                                 0755);
  link(tool, "alias");
  EXPECT_THAT(network_programs({at("alias"), tool}, "f"), ElementsAre(tool));
  EXPECT_THAT(network_programs({"env"}, "f"),
              ElementsAre(std::filesystem::canonical("/usr/bin/env").string()));
  EXPECT_TRUE(network_programs({}, "f").empty());
}

TEST_F(NetworkPrograms, MustBeThere) {
  write("data", "x", 0644);
  for (const std::string& word :
       {at("none"), at("data"), std::string("no-such-program"), std::string("../bin/env")}) {
    EXPECT_THAT(complaint_of([&] {
                  network_programs({"env", word}, "config: network.programs");
                }),
                testing::AllOf(HasSubstr("config: network.programs: "), HasSubstr(word)))
        << word;
  }
}

// The kernel executes the interpreter, and that is what connects.
TEST_F(NetworkPrograms, AreNoScripts) {
  const std::string script = write("script", "#!/usr/bin/env python3\nprint()\n", 0755);
  EXPECT_THAT(complaint_of([&] { network_programs({script}, "f"); }),
              testing::AllOf(HasSubstr("is a script"), HasSubstr("/usr/bin/env python3")));
}

TEST_F(NetworkPrograms, WithGitComesWhatItConnectsWith) {
  if (!std::filesystem::exists("/usr/lib/git-core/git-remote-http")) GTEST_SKIP() << "no git here";
  EXPECT_THAT(network_programs({"git"}, "f"), Contains("/usr/lib/git-core/git-remote-http"));
}

TEST_F(NetworkPrograms, AreResolvedWhereverTheConfigurationNamesThem) {
  NetworkConfig network;
  network.skills["weather"].programs = std::vector<std::string>{"env"};
  resolve_network_programs(network, "f");
  EXPECT_FALSE(network.programs);
  EXPECT_EQ(network.reach_of("weather").programs->at(0).front(), '/');
  network.skills["weather"].programs = std::vector<std::string>{"no-such-program"};
  EXPECT_THAT(complaint_of([&] { resolve_network_programs(network, "f"); }),
              HasSubstr("f.skills.weather.programs"));
}

}  // namespace
}  // namespace sharkcage
