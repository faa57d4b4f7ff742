// Golden tests: golden/NAME.input.json is a DeriveInput, golden/NAME.policy.json the canonical
// policy that it must give, byte by byte. To write them anew after a change that is meant:
//   SHARKCAGE_WRITE_GOLDEN=1 build/debug/bin/capabilities_test --gtest_filter='*Golden*'
#include "capabilities/derive.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "common/fd.h"
#include "common/hash.h"
#include "fixture.h"

namespace sharkcage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Access access_of(const Json& value) {
  return value == "rw" ? Access::kReadWrite : Access::kReadOnly;
}

DeriveInput input_from_json(const Json& json) {
  DeriveInput input;
  if (const auto subject = json.find("subject"); subject != json.end()) {
    subject->at("skill").get_to(input.subject.skill);
    subject->at("content_digest").get_to(input.subject.content_digest);
    subject->at("paths").get_to(input.subject.paths);
    input.subject.effects = effects_from_json(subject->at("effects"));
    input.subject.limits = subject->value("limits", Json());
    input.subject.deny_hosts = subject->value("deny_hosts", std::vector<std::string>{});
  }
  const Json& session = json.at("session");
  session.at("workspace").get_to(input.session.workspace);
  input.session.workspace_access = access_of(session.at("access"));
  session.at("home").get_to(input.session.home);
  input.services = json.value("services", std::map<std::string, std::string>{});
  input.deny_hosts = json.value("deny_hosts", std::vector<std::string>{});
  input.limits = limits_from_json(json.value("limits", Json::object()), {}, "limits");
  for (const Json& path : json.value("protected", Json::array())) {
    ProtectedPath entry;
    path.at("path").get_to(entry.path);
    entry.real = path.value("real", entry.path);
    entry.exists = path.value("exists", true);
    entry.open_children = path.value("open_children", std::vector<std::string>{});
    entry.write_only = path.value("write_only", false);
    entry.system = path.value("system", false);
    input.protected_.push_back(entry);
  }
  return input;
}

std::string golden(const std::string& name) {
  return std::string(GOLDEN_DIR) + "/" + name;
}
Json golden_json(const std::string& name) {
  return parse_json(read_file(golden(name), 1u << 20), name);
}

class Derive : public testing::TestWithParam<std::string> {
 protected:
  static DeriveInput input(const std::string& name) {
    return input_from_json(golden_json(name + ".input.json"));
  }
};

TEST_P(Derive, GoldenPolicy) {
  const std::string file = golden(GetParam() + ".policy.json");
  const Policy policy = derive(input(GetParam()));
  const std::string text = canonical_json(policy.to_json()) + "\n";
  if (std::getenv("SHARKCAGE_WRITE_GOLDEN") != nullptr) {
    write_file_atomically(file, text, 0644);
  }
  const std::string expected = read_file(file, 1u << 20);
  EXPECT_EQ(text, expected);
  EXPECT_EQ(policy.digest(), sha256_hex(expected.substr(0, expected.size() - 1)));
  EXPECT_EQ(policy_from_json(policy.to_json()).digest(), policy.digest());
}

INSTANTIATE_TEST_SUITE_P(Inputs, Derive,
                         testing::Values("agent", "agent-services", "no-grants", "network", "files",
                                         "exec", "limits"),
                         [](const auto& param_info) {
                           std::string name = param_info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_F(Derive, TheOrderOfGrantsDoesNotMatter) {
  DeriveInput mixed = input("files");
  const std::string digest = derive(mixed).digest();
  std::mt19937 random(7);
  for (int i = 0; i < 50; ++i) {
    std::shuffle(mixed.subject.effects.files.begin(), mixed.subject.effects.files.end(), random);
    std::shuffle(mixed.subject.paths.begin(), mixed.subject.paths.end(), random);
    std::shuffle(mixed.protected_.begin(), mixed.protected_.end(), random);
    EXPECT_EQ(derive(mixed).digest(), digest);
  }
}

TEST_F(Derive, WithoutAGrantThereIsNoNetworkNoFileNoProgramNoVariable) {
  const Policy policy = derive(input("no-grants"));
  EXPECT_FALSE(policy.network());
  EXPECT_TRUE(policy.files.empty());
  EXPECT_FALSE(policy.exec.any);
  EXPECT_TRUE(policy.exec.programs.empty());
  EXPECT_TRUE(policy.environment.empty());
}

// Invariant 7: what an operator added for the baseline is not for skills, nor a skill's for the
// baseline.
TEST_F(Derive, ServicesAreTheBaselinesAndEffectsTheSkills) {
  DeriveInput skill = input("network");
  skill.services = {{"ha", "ha.lan:8123"}};
  for (const HostRule& rule : derive(skill).hosts) EXPECT_NE(rule.host, "ha.lan");

  DeriveInput agent = skill;
  agent.subject.skill = std::string(kAgent);
  const Policy policy = derive(agent);
  EXPECT_THAT(policy.hosts, ElementsAre(HostRule{"ha.lan", 8123, true}));
  EXPECT_TRUE(policy.environment.empty());
  EXPECT_TRUE(policy.files.empty());
  EXPECT_TRUE(policy.skills.empty());
}

TEST_F(Derive, AManifestCannotRaiseALimit) {
  DeriveInput greedy = input("no-grants");
  greedy.limits.pids = 10;
  greedy.subject.limits = {{"pids", 1000}, {"memory", "1G"}, {"wall", "300d"}};
  const Policy policy = derive(greedy);
  EXPECT_EQ(policy.limits.pids, 10u);
  EXPECT_EQ(policy.limits.memory, 1ull << 30);
  EXPECT_EQ(policy.limits.wall, greedy.limits.wall);
}

// Invariant 5, also when the world has changed since the approval.
TEST_F(Derive, AGrantThatHasComeToOpenAProtectedPathBlocks) {
  DeriveInput input = Derive::input("files");
  ProtectedPath moved;
  moved.path = "/home/u/.ssh";
  moved.real = "/home/u/notes/keys";
  moved.exists = true;
  input.protected_.push_back(moved);
  EXPECT_THAT(complaint_of([&] { derive(input); }),
              testing::AllOf(HasSubstr("/home/u/notes"), HasSubstr("/home/u/.ssh"),
                             HasSubstr("sc revoke")));
}

TEST_F(Derive, AWorkspaceThatMustNotBeOneBlocks) {
  DeriveInput input = Derive::input("agent");
  for (const char* workspace : {"/home/u", "/home", "/", "/home/u/.ssh", "/etc"}) {
    input.session.workspace = workspace;
    EXPECT_THROW(derive(input), UserError) << workspace;
  }
}

TEST_F(Derive, WhatIsProtectedInTheWorkspaceIsHidden) {
  DeriveInput input = Derive::input("agent");
  input.session.workspace = "/home/u/.config";
  ProtectedPath cloud;
  cloud.path = cloud.real = "/home/u/.config/gcloud";
  cloud.exists = true;
  ProtectedPath absent = cloud;
  absent.path = absent.real = "/home/u/.config/gh";
  absent.exists = false;
  input.protected_.push_back(cloud);
  input.protected_.push_back(absent);
  EXPECT_THAT(derive(input).hidden, ElementsAre("/home/u/.config/gcloud"));
}

TEST_F(Derive, EveryDenyListOfTheSubjectCounts) {
  DeriveInput input = Derive::input("network");
  input.deny_hosts = {"Ads.Example."};
  input.network.deny_hosts = {"b.example:80"};
  input.subject.deny_hosts = {"*.c.example"};
  EXPECT_THAT(derive(input).deny_hosts, ElementsAre("*.c.example", "ads.example", "b.example:80"));
  input.subject.deny_hosts = {"c example"};
  EXPECT_THAT(complaint_of([&] { derive(input); }),
              HasSubstr(input.subject.skill + ": deny_hosts"));
  input.subject.deny_hosts = {};
  input.network.deny_hosts = {"b example"};
  EXPECT_THAT(complaint_of([&] { derive(input); }),
              HasSubstr("network.skills." + input.subject.skill + ".deny_hosts"));
}

TEST_F(Derive, AToolThatIsNotToHaveTheNetworkHasNone) {
  DeriveInput input = Derive::input("network");
  ASSERT_TRUE(derive(input).network());
  input.network.granted = false;
  EXPECT_FALSE(derive(input).network());
}

TEST_F(Derive, ProgramsOfTheNetworkAreThoseThatNoCommandCanWrite) {
  DeriveInput input = Derive::input("network");
  input.session.workspace = "/home/u/project";
  input.session.home = "/home/u";
  input.subject.effects.files = {{"/opt/rw", Access::kReadWrite}, {"/opt/ro", Access::kReadOnly}};
  input.subject.effects.exec.programs = {"/srv/bin/tool"};
  input.network.programs = {"/usr/bin/curl", "/home/u/bin/curl", "/home/u/project/curl",
                            "/opt/rw/curl",  "/opt/ro/curl",     "/tmp/curl",
                            "/srv/bin/tool", "/srv/bin/other",   "/usr/bin/curl"};
  const Policy policy = derive(input);
  EXPECT_FALSE(policy.network_rule.any);
  EXPECT_THAT(policy.network_rule.programs,
              ElementsAre("/opt/ro/curl", "/srv/bin/tool", "/usr/bin/curl"));
  EXPECT_EQ(policy_from_json(policy.to_json()).network_rule, policy.network_rule);
  input.network.programs = {"/home/u/bin/curl"};
  EXPECT_FALSE(derive(input).network()) << "none is left, which must not mean all";
  input.network.programs = std::vector<std::string>{};
  EXPECT_FALSE(derive(input).network());
  input.network.programs.reset();
  EXPECT_TRUE(derive(input).network_rule.any);
}

TEST_F(Derive, AMalformedConfigurationBlocks) {
  DeriveInput input = Derive::input("agent");
  input.services = {{"x", "http://x"}};
  EXPECT_THAT(complaint_of([&] { derive(input); }), HasSubstr("services.x"));
  input.services.clear();
  input.deny_hosts = {"bad host"};
  EXPECT_THAT(complaint_of([&] { derive(input); }), HasSubstr("deny_hosts"));
}

}  // namespace
}  // namespace sharkcage
