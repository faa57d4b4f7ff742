// The egress for programs outside of every sandbox: off, or by a port and a token of one client.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "common/fd.h"
#include "tests/integration/http_server.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A port that nobody has now.
unsigned free_port() {
  const HttpServer server;
  return static_cast<unsigned>(std::stoul(server.port()));
}

class OutsideClients : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "curl is not installed";
  }
  void start(const std::string& skill, const Json& more = Json::object()) {
    Json config = {{"egress_clients", {{"gateway", {{"port", port_}, {"skill", skill}}}}}};
    config.update(more);
    instance_.configure(config.dump());
    instance_.start();
  }
  std::string file() const { return instance_.places().run_dir + "/egress-gateway.proxy"; }
  std::string proxy() const {
    std::string url = read_file(file(), 256);
    url.pop_back();
    return url;
  }
  // Outside of any sandbox.
  Output fetch(const std::string& by, const std::string& host) const {
    return instance_.shell("exec curl -sSf --max-time 30 --noproxy '' -x '" + by + "' http://" +
                           host + "/");
  }
  std::string here() const { return "localhost:" + server_.port(); }
  std::string without_token() const { return "http://127.0.0.1:" + std::to_string(port_); }

  HttpServer server_;
  HttpServer other_;
  const unsigned port_ = free_port();
  Instance instance_;
};

// Otherwise a misspelt name would deny nothing, and nobody would notice.
TEST_F(OutsideClients, StatusTellsOfNamesThatAreNoSkill) {
  start("wether", {{"network",
                    {{"skills",
                      {{"wether", {{"deny_hosts", {"a.example"}}}},
                       {"agent", {{"deny_hosts", {"a.example"}}}}}}}}});
  const std::string said = instance_.sc({"status"}).out;
  EXPECT_THAT(said, HasSubstr("network.skills names wether, and there is no such skill"));
  EXPECT_THAT(said, HasSubstr("egress_clients.gateway.skill names wether"));
  EXPECT_THAT(said, HasSubstr("gateway on port " + std::to_string(port_) + ", as wether, which"));
  EXPECT_EQ(instance_.status().at("unknown_names").size(), 2u);
}

TEST_F(OutsideClients, ThereIsNoneUnlessConfigured) {
  instance_.start();
  EXPECT_THAT(instance_.status().at("egress_clients"), IsEmpty());
  for (const auto& entry : std::filesystem::directory_iterator(instance_.places().run_dir)) {
    EXPECT_NE(entry.path().extension(), ".proxy");
  }
}

TEST_F(OutsideClients, ReachWhatTheirSkillMay) {
  start("agent", {{"services", {{"here", here()}}}});
  struct stat status {};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_THAT(instance_.sc({"status"}).out, HasSubstr(", as agent, proxy in " + file()));
  const Output reached = fetch(proxy(), here());
  EXPECT_EQ(reached.out, "hello\n") << reached.err;
  EXPECT_THAT(fetch(proxy(), "localhost:" + other_.port()).err, HasSubstr("403"));
  EXPECT_THAT(fetch(proxy(), "169.254.169.254").err, HasSubstr("403"));
  EXPECT_THAT(fetch(without_token(), here()).err, HasSubstr("407"));
  const std::string guessed =
      "http://" + std::string(48, 'a') + ":x@127.0.0.1:" + std::to_string(port_);
  EXPECT_THAT(fetch(guessed, here()).err, HasSubstr("407"));
  EXPECT_EQ(server_.connections(), 1);
  EXPECT_EQ(other_.connections(), 0);
  EXPECT_TRUE(instance_.blocked_has("egress client gateway"));
  EXPECT_FALSE(instance_.blocked_has(proxy().substr(7, 48))) << "the token is in the log";
}

TEST_F(OutsideClients, HaveATokenThatTheirUserAloneCanRead) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const passwd* nobody = ::getpwnam("nobody");
  if (nobody == nullptr) GTEST_SKIP() << "there is no user nobody";
  const uid_t uid = nobody->pw_uid;
  instance_.configure(Json{
      {"egress_clients", {{"gateway", {{"port", port_}, {"skill", "agent"}, {"user", "nobody"}}}}}}
                          .dump());
  instance_.start();
  struct stat status {};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, uid);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const std::string path = file();
  instance_.stop();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(OutsideClients, AreNoCallsNorAreCallsTheirs) {
  start("agent", {{"services", {{"here", here()}}}});
  const std::string token = proxy().substr(7, 48);
  const Output inside =
      instance_.run({"curl", "-sSf", "--max-time", "30", "--noproxy", "", "-x",
                     "http://" + token + ":x@127.0.0.1:18800", "http://" + here()});
  EXPECT_THAT(inside.err, HasSubstr("407"));
  const std::string call = instance_.run({"sh", "-c", "echo -n $http_proxy"}).out;
  const std::string stolen = call.substr(0, call.rfind(':')) + ":" + std::to_string(port_);
  EXPECT_THAT(fetch(stolen, here()).err, HasSubstr("407"));
  EXPECT_EQ(server_.connections(), 0);
}

TEST_F(OutsideClients, LoseWhatIsRevoked) {
  start("weather");
  EXPECT_THAT(fetch(proxy(), here()).err, HasSubstr("403"));
  instance_.approve_skill(
      "weather",
      Json::array({{{"capability", "network.internal"}, {"scope", {here()}}, {"reason", "test"}}}));
  EXPECT_EQ(fetch(proxy(), here()).out, "hello\n");
  EXPECT_EQ(instance_.status().at("egress_clients")[0].at("approved"), true);
  ASSERT_EQ(instance_.sc({"revoke", "weather"}).status, 0);
  EXPECT_THAT(fetch(proxy(), here()).err, HasSubstr("403"));
  EXPECT_EQ(server_.connections(), 1);
}

TEST_F(OutsideClients, AreServedByANewEgress) {
  start("agent", {{"services", {{"here", here()}}}});
  const auto egress = instance_.status().at("processes").at("egress").at("pid").get<pid_t>();
  ASSERT_EQ(::kill(egress, SIGKILL), 0);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  Output output;
  do {
    output = fetch(proxy(), here());
  } while (output.status != 0 && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(output.out, "hello\n") << output.err;
}

TEST_F(OutsideClients, AMistakeInTheConfigurationIsNamed) {
  const auto refused = [&](const Json& client) {
    instance_.configure(Json{{"egress_clients", {{"gateway", client}}}}.dump());
    return instance_.start_in_vain().err;
  };
  EXPECT_THAT(refused({{"port", 0}, {"skill", "agent"}}), HasSubstr("egress_clients.gateway.port"));
  EXPECT_THAT(refused({{"port", port_}}), HasSubstr("egress_clients.gateway.skill: missing"));
  EXPECT_THAT(refused({{"port", port_}, {"skill", "A b"}}), HasSubstr("gateway.skill: not a name"));
  EXPECT_THAT(refused({{"port", std::stoul(server_.port())}, {"skill", "agent"}}),
              HasSubstr("cannot listen on 127.0.0.1:" + server_.port()));
  EXPECT_THAT(refused({{"port", port_}, {"skill", "agent"}, {"user", "no-such-user-here"}}),
              HasSubstr("there is no user no-such-user-here"));
}

}  // namespace
}  // namespace sharkcage::testing
