// Invariant 6: bytes leave only through the egress, and only to what was approved.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>

#include "tests/integration/http_server.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

class Network : public ::testing::Test {
 protected:
  Network() { instance_.start(); }
  void SetUp() override {
    if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "curl is not installed";
  }

  void approve(const std::string& skill, const std::string& destination,
               const std::vector<std::string>& programs = {"curl"}) const {
    instance_.approve_skill(
        skill,
        Json::array(
            {{{"capability", "network.internal"}, {"scope", {destination}}, {"reason", "test"}},
             {{"capability", "system.exec"}, {"scope", programs}, {"reason", "test"}}}));
  }
  static std::vector<std::string> fetch_command(const std::string& skill, const std::string& url) {
    return {"run", "--skill", skill, "--", "curl", "-sSf", "--max-time", "30", url};
  }
  Output fetch(const std::string& skill, const std::string& url) const {
    return instance_.sc(fetch_command(skill, url));
  }
  std::vector<Json> connections(const std::string& decision) const {
    std::vector<Json> out;
    for (auto& record : instance_.records("connection")) {
      if (record.at("decision") == decision) out.push_back(std::move(record));
    }
    return out;
  }

  HttpServer server_;
  Instance instance_;
};

TEST_F(Network, AnApprovedServerIsReachedAndNoOther) {
  HttpServer other;
  approve("caller", "localhost:" + server_.port());
  const Output reached = fetch("caller", "http://localhost:" + server_.port() + "/");
  EXPECT_EQ(reached.out, "hello\n") << reached.err;
  EXPECT_EQ(server_.connections(), 1);

  const auto expect_refused = [&](const std::string& url) {
    const Output refused = fetch("caller", url);
    EXPECT_NE(refused.status, 0) << url;
    EXPECT_EQ(refused.out, "") << url;
  };
  expect_refused("http://localhost:" + other.port() + "/");
  expect_refused("http://127.0.0.2:" + server_.port() + "/");
  expect_refused("http://169.254.169.254/latest/meta-data/");
  expect_refused("http://example.com/");
  EXPECT_EQ(connections("block").size(), 4u);
  EXPECT_TRUE(instance_.blocked_has("\"port\":" + other.port()));
  EXPECT_TRUE(instance_.blocked_has("169.254.169.254"));
  // The sandbox's own loopback, where nobody listens.
  expect_refused("http://127.0.0.1:" + other.port() + "/");
  expect_refused("http://[::1]:" + other.port() + "/");
  EXPECT_EQ(other.connections(), 0);
  EXPECT_EQ(server_.connections(), 1);
  EXPECT_GE(connections("allow").size(), 1u);
}

TEST_F(Network, AnApprovedLoopbackAddressIsTheMachines) {
  approve("caller", "127.0.0.1:" + server_.port());
  const Output reached = fetch("caller", "http://127.0.0.1:" + server_.port() + "/");
  EXPECT_EQ(reached.out, "hello\n") << reached.err;
}

// They take the proxy from their environment, and what it says is what they say.
TEST_F(Network, ProgramsThatSpeakHttpToAProxyReachWhatIsApproved) {
  const std::string here = "localhost:" + server_.port();
  const std::string python =
      "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1]).read().decode())";
  const std::vector<std::vector<std::string>> programs = {
      {"wget", "-qO-", "--tries=1"}, {"python3", "-c", python}, {"curl", "-sSfp"}};
  int ran = 0;
  for (const auto& program : programs) {
    SCOPED_TRACE(program[0]);
    if (::access(("/usr/bin/" + program[0]).c_str(), X_OK) != 0) continue;
    const std::string skill = "by-" + program[0];
    approve(skill, here, {program[0]});
    std::vector<std::string> command = {"run", "--skill", skill, "--"};
    command.insert(command.end(), program.begin(), program.end());
    command.push_back("http://" + here + "/");
    const Output reached = instance_.sc(command);
    EXPECT_EQ(reached.out, "hello\n") << reached.err;
    command.back() = "http://evil.example/";
    const Output refused = instance_.sc(command);
    EXPECT_NE(refused.status, 0);
    EXPECT_EQ(refused.out, "");
    ++ran;
  }
  EXPECT_GE(ran, 1);
  EXPECT_EQ(connections("block").size(), static_cast<std::size_t>(ran));
  EXPECT_TRUE(instance_.blocked_has("evil.example"));
}

// A page that says why, with the status of a proxy that refuses.
TEST_F(Network, ARefusalTellsTheProgramWhy) {
  approve("caller", "localhost:" + server_.port());
  const Output refused = instance_.sc({"run", "--skill", "caller", "--", "curl", "-sS", "-w",
                                       "%{http_code}", "--max-time", "30", "http://evil.example/"});
  EXPECT_THAT(refused.out, HasSubstr("sharkcage: evil.example:80"));
  EXPECT_THAT(refused.out, ::testing::EndsWith("403"));
}

TEST_F(Network, TheProxyIsTheOnlyWay) {
  approve("caller", "localhost:" + server_.port());
  const auto curl = [&](std::vector<std::string> options, const std::string& url) {
    std::vector<std::string> command = {"run",  "--skill", "caller",     "--",
                                        "curl", "-sS",     "--max-time", "30"};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back(url);
    return instance_.sc(command).status;
  };
  HttpServer other;
  EXPECT_NE(curl({"--noproxy", "*"}, "http://127.0.0.1:" + other.port() + "/"), 0);
  const std::string url = "http://localhost:" + server_.port() + "/";
  const std::string token = "00112233445566778899aabbccddeeff";
  EXPECT_NE(curl({"--noproxy", "", "--proxy", "socks5h://127.0.0.1:18800"}, url), 0);
  EXPECT_NE(curl({"--noproxy", "", "--proxy", "socks5h://" + token + "@127.0.0.1:18800"}, url), 0);
  EXPECT_EQ(other.connections(), 0);
  EXPECT_EQ(server_.connections(), 0);
}

TEST_F(Network, WithoutAnApprovalThereIsNone) {
  const std::string script =
      "cat /proc/net/dev | grep -c :; curl -sS --max-time 30 http://127.0.0.1:" + server_.port() +
      "/; curl -sS --max-time 30 --proxy socks5h://x@127.0.0.1:18800 http://localhost:" +
      server_.port() + "/; env";
  const Output output = instance_.run({"/bin/sh", "-c", script});
  EXPECT_THAT(output.out, ::testing::StartsWith("1\n"))
      << "there is more than a loopback interface";
  EXPECT_THAT(output.out, ::testing::Not(HasSubstr("hello")));
  EXPECT_THAT(output.out, ::testing::Not(HasSubstr("18800")))
      << "proxy variables without a network";
  EXPECT_EQ(server_.connections(), 0);
}

TEST_F(Network, TwoSkillsAtOnceReachEachItsOwnServer) {
  HttpServer other;
  approve("first", "localhost:" + server_.port());
  approve("second", "localhost:" + other.port());
  const std::string mine = "http://localhost:" + server_.port() + "/";
  const std::string theirs = "http://localhost:" + other.port() + "/";
  Process a = instance_.spawn("sc", fetch_command("first", mine));
  Process b = instance_.spawn("sc", fetch_command("second", theirs));
  Process c = instance_.spawn("sc", fetch_command("first", theirs));
  Process d = instance_.spawn("sc", fetch_command("second", mine));
  EXPECT_EQ(a.finish().out, "hello\n");
  EXPECT_EQ(b.finish().out, "hello\n");
  EXPECT_NE(c.finish().status, 0);
  EXPECT_NE(d.finish().status, 0);
  EXPECT_EQ(server_.connections(), 1);
  EXPECT_EQ(other.connections(), 1);
}

TEST_F(Network, WorksAgainAfterTheEgressDied) {
  approve("caller", "localhost:" + server_.port());
  const auto egress = instance_.status().at("processes").at("egress").at("pid").get<pid_t>();
  ASSERT_EQ(::kill(egress, SIGKILL), 0);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  Output output;
  do {
    output = fetch("caller", "http://localhost:" + server_.port() + "/");
  } while (output.status != 0 && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(output.out, "hello\n") << output.err;
}

}  // namespace
}  // namespace sharkcage::testing
