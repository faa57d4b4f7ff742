#include "supervisor/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sharkcage {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Policy policy() {
  Policy out;
  out.home = "/home/u";
  out.environment = {"WEATHER_KEY"};
  return out;
}

TEST(Environment, DropsVariablesThatRunCode) {
  EnvironmentInput input;
  for (const char* name : {"LD_PRELOAD", "LD_AUDIT", "NODE_OPTIONS", "PYTHONPATH", "BASH_ENV",
                           "PERL5OPT", "GIT_SSH_COMMAND", "SHARKCAGE_CALL", "SHARKCAGE_TICKET"}) {
    input.host[name] = "/tmp/evil";
  }
  input.host["COLOUR"] = "blue";
  const auto built = build_environment(input, policy());
  EXPECT_THAT(built.variables, Contains("COLOUR=blue"));
  EXPECT_EQ(built.dropped.size(), 9u);
  for (const auto& variable : built.variables) EXPECT_THAT(variable, Not(HasSubstr("evil")));
}

TEST(Environment, TheHostCannotPointTheProxyOrTheHomeElsewhere) {
  EnvironmentInput input;
  input.host = {{"HOME", "/evil"}, {"ALL_PROXY", "http://evil"}, {"https_proxy", "http://evil"}};
  input.token = "t0ken";
  const auto built = build_environment(input, policy());
  EXPECT_THAT(built.variables, Contains("HOME=/home/u"));
  EXPECT_THAT(built.variables, Contains("ALL_PROXY=socks5h://t0ken:x@127.0.0.1:18800"));
  EXPECT_THAT(built.variables, Contains("https_proxy=http://t0ken:x@127.0.0.1:18800"));
  for (const auto& variable : built.variables) EXPECT_THAT(variable, Not(HasSubstr("evil")));
}

TEST(Environment, WhatIsApprovedOfThisMachineIsBehindTheProxy) {
  EnvironmentInput input;
  input.token = "t0ken";
  Policy approved = policy();
  EXPECT_THAT(build_environment(input, approved).variables,
              Contains("NO_PROXY=localhost,127.0.0.1,::1,[::1]"));
  approved.hosts = {{"127.0.0.1", 8123, true}};
  EXPECT_THAT(build_environment(input, approved).variables,
              Contains("NO_PROXY=localhost,::1,[::1]"));
  approved.hosts.push_back({"*.localhost", 8123, true});
  EXPECT_THAT(build_environment(input, approved).variables, Contains("NO_PROXY=::1,[::1]"));
  approved.hosts.push_back({"::1", 8123, true});
  EXPECT_THAT(build_environment(input, approved).variables, Contains("no_proxy="));
}

// Programs rely on what a shell sets (make's $(PWD)), and not every command has one.
TEST(Environment, TellsTheWorkingDirectory) {
  EnvironmentInput input;
  input.host["PWD"] = "/elsewhere";
  input.workdir = "/home/u/w";
  EXPECT_THAT(build_environment(input, policy()).variables, Contains("PWD=/home/u/w"));
}

TEST(Environment, WithoutANetworkThereIsNoProxy) {
  const auto built = build_environment({}, policy());
  for (const auto& variable : built.variables) EXPECT_THAT(variable, Not(HasSubstr("PROXY")));
  EXPECT_THAT(built.variables, Contains("NPM_CONFIG_FETCH_RETRIES=0"));
}

TEST(Environment, OnlyApprovedVariablesCome) {
  EnvironmentInput input;
  input.approved = {{"WEATHER_KEY", "k"}, {"AWS_SECRET_ACCESS_KEY", "s"}};
  const auto built = build_environment(input, policy());
  EXPECT_THAT(built.variables, Contains("WEATHER_KEY=k"));
  EXPECT_THAT(built.variables, Not(Contains(StartsWith("AWS"))));
}

}  // namespace
}  // namespace sharkcage
