#include "capabilities/effects.h"

#include <gmock/gmock.h>

#include "fixture.h"

namespace sharkcage {
namespace {

using testing::HasSubstr;

class EffectsTest : public Scratch {
 protected:
  EffectsTest() {
    make_directory("home/.ssh");
    make_directory("home/notes");
    write("home/todo.txt", "x");
    write("bin/tool", "#!/bin/sh\n", 0755);
    write("bin/data", "x", 0644);
    link("tool", "bin/alias");
    ground_.home = at("home");
    ground_.search = {at("nothere"), at("bin")};
    refresh();
  }
  void refresh() {
    ProtectionInput input;
    input.home = at("home");
    ground_.protected_ = protected_paths(input);
  }
  Effects of(const std::string& capability, const std::vector<std::string>& scope) {
    return resolve({{capability, scope, "r"}}, catalogue_, ground_);
  }
  std::string refused(const std::string& capability, const std::string& word) {
    return complaint_of([&] { of(capability, {word}); });
  }
  Catalogue catalogue_;
  Ground ground_;
};

using Resolve = EffectsTest;

TEST_F(Resolve, FilesBecomeRealPaths) {
  link(at("home/notes"), "home/shortcut");
  const Effects read = of("system.files.read", {"~/shortcut", "~/todo.txt"});
  EXPECT_EQ(read.files, (std::vector<FileGrant>{{at("home/notes"), Access::kReadOnly},
                                                {at("home/todo.txt"), Access::kReadOnly}}));
  EXPECT_EQ(of("system.files.write", {"~/notes"}).files.at(0).access, Access::kReadWrite);
}

// Also where there is nothing yet, and behind links.
TEST_F(Resolve, WhatNoApprovalGrantsIsKnownBefore) {
  link(at("home/.ssh"), "home/keys");
  const std::vector<CapabilityRequest> asked = {
      {"system.exec", {"tool"}, "r"},
      {"system.files.read", {"~/notes", "~/.aws/none", "~/later"}, "r"},
      {"system.files.write", {"~/keys"}, "r"}};
  const auto sentences = never_granted(asked, catalogue_, ground_);
  ASSERT_EQ(sentences.size(), 2u);
  EXPECT_THAT(sentences[0], HasSubstr("capabilities[1].scope[1]: system.files.read: to read "));
  EXPECT_THAT(sentences[0], HasSubstr(".aws"));
  EXPECT_THAT(sentences[1], HasSubstr("capabilities[2].scope[0]: system.files.write: to write "));
  EXPECT_THAT(sentences[1], HasSubstr(at("home/.ssh")));
}

TEST_F(Resolve, ProgramsThatAreNotHereAreToldBeforeAnybodyApproves) {
  const std::vector<CapabilityRequest> asked = {
      {"system.exec", {"/bin/sh", "crul", "/no/such/program"}, "test"}};
  const auto sentences = missing_programs(asked, catalogue_, ground_);
  ASSERT_EQ(sentences.size(), 2u);
  EXPECT_THAT(sentences[0], HasSubstr("no program \"crul\" in "));
  EXPECT_THAT(sentences[1], HasSubstr("\"/no/such/program\""));
}

TEST_F(Resolve, AGrantOverCredentialsIsRefusedNamingBoth) {
  for (const char* word :
       {"~", "/", "~/.ssh", "~/.ssh/id_rsa", "~/.config", "/etc", "/proc/self"}) {
    EXPECT_THAT(
        refused("system.files.read", word),
        testing::AllOf(HasSubstr(std::string("\"") + word + "\""), HasSubstr("protected path /")))
        << word;
  }
  EXPECT_THAT(refused("system.files.read", "~"), HasSubstr(at("home/.")));
  EXPECT_THAT(refused("system.files.write", "/usr/bin"), HasSubstr("/usr/bin"));
}

TEST_F(Resolve, ALinkToCredentialsIsNoWayAround) {
  link(at("home/.ssh"), "home/innocent");
  EXPECT_THAT(refused("system.files.read", "~/innocent"), HasSubstr(at("home/.ssh")));
  link("/", "home/everything");
  EXPECT_THAT(refused("system.files.read", "~/everything"), HasSubstr("protected path"));
}

TEST_F(Resolve, CredentialsBehindALinkAreCoveredAtTheirTarget) {
  make_directory("vault/keys");
  std::filesystem::remove(at("home/.ssh"));
  link(at("vault/keys"), "home/.ssh");
  refresh();
  EXPECT_THAT(
      refused("system.files.read", at("vault")),
      testing::AllOf(HasSubstr(at("home/.ssh")), HasSubstr("which is " + at("vault/keys"))));
}

TEST_F(Resolve, AMissingOrOddPathIsRefused) {
  EXPECT_THAT(refused("system.files.read", "~/nowhere"), HasSubstr("Create " + at("home/nowhere")));
  ASSERT_EQ(::mkfifo(at("home/pipe").c_str(), 0600), 0);
  EXPECT_THAT(refused("system.files.read", "~/pipe"), HasSubstr("neither a file nor a directory"));
}

TEST_F(Resolve, ProgramsAreLookedUpOnTheFixedPathOnly) {
  EXPECT_EQ(of("system.exec", {"tool"}).exec.programs, std::vector<std::string>{at("bin/tool")});
  EXPECT_EQ(of("system.exec", {"alias", "tool"}).exec.programs,
            std::vector<std::string>{at("bin/tool")});
  EXPECT_EQ(of("system.exec", {at("bin/tool")}).exec.programs,
            std::vector<std::string>{at("bin/tool")});
  EXPECT_THAT(refused("system.exec", "data"), HasSubstr("no program \"data\" in " + at("nothere")));
  EXPECT_THAT(refused("system.exec", "sh"), HasSubstr("no program"));
  EXPECT_THAT(refused("system.exec", at("bin")), HasSubstr("no program"));
  const Effects any = of("system.exec", {});
  EXPECT_TRUE(any.exec.any);
  EXPECT_TRUE(any.exec.programs.empty());
}

TEST_F(Resolve, TheSystemsOwnProgramsAreFound) {
  ground_.search = Ground{}.search;
  const Effects effects = of("system.exec", {"grep", "sort", "sh"});
  ASSERT_EQ(effects.exec.programs.size(), 3u);
  for (const std::string& program : effects.exec.programs) {
    EXPECT_EQ(std::filesystem::canonical(program), program);
  }
}

TEST_F(Resolve, NetworksKeepInsideAndOutsideApart) {
  EXPECT_EQ(of("network.external", {"wttr.in:443"}).hosts,
            (std::vector<HostRule>{{"wttr.in", 443, false}}));
  EXPECT_EQ(of("network.internal", {"localhost:8123"}).hosts,
            (std::vector<HostRule>{{"localhost", 8123, true}}));
  EXPECT_THAT(refused("network.external", "127.0.0.1:80"), HasSubstr("network.internal"));
}

// Also one that was recorded by a version that understood it.
TEST_F(Resolve, ARuleThatCannotBeParsedStopsTheApprovalAndIsNamed) {
  for (const char* rule : {"a b.example", "0177.0.0.1", "https://a.example", "*.com", "a:b:c"}) {
    EXPECT_THAT(refused("network.external", rule),
                testing::AllOf(HasSubstr("network.external: \""), HasSubstr(rule)))
        << rule;
  }
}

TEST_F(Resolve, ServicesBringTheirHostsAndVariables) {
  const Effects home = of("home.read", {"light.*"});
  EXPECT_EQ(home.hosts, (std::vector<HostRule>{{"homeassistant.local", 8123, true}}));
  EXPECT_EQ(home.environment, (std::vector<std::string>{"HA_TOKEN", "HA_URL"}));
  const Effects cost = of("cost.api", {"openrouter"});
  EXPECT_EQ(cost.hosts, (std::vector<HostRule>{{"openrouter.ai", 443, false}}));
  EXPECT_EQ(cost.environment, std::vector<std::string>{"OPENROUTER_API_KEY"});
  EXPECT_EQ(of("data.memory", {}), Effects{});
}

TEST_F(Resolve, ALostCapabilityIsAnError) {
  EXPECT_THAT(complaint_of([&] { of("acme.gone", {}); }),
              HasSubstr("not in the catalogue any more"));
}

TEST_F(Resolve, StoredEffectsComeBackUnchanged) {
  Effects effects = of("home.read", {});
  effects.files = {{"/a", Access::kReadOnly}, {"/b", Access::kReadWrite}};
  effects.exec.programs = {"/usr/bin/grep"};
  EXPECT_EQ(effects_from_json(effects.to_json()), effects);
  EXPECT_THROW(effects_from_json(Json::object()), UserError);
}

}  // namespace
}  // namespace sharkcage
