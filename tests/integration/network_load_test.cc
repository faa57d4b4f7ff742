// The network when it is asked for too much, and when the process that carries it dies.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "tests/integration/http_server.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

class NetworkUnderLoad : public ::testing::Test {
 protected:
  NetworkUnderLoad() { instance_.start(); }
  void SetUp() override {
    if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "curl is not installed";
  }

  void approve(const std::vector<std::string>& programs) const {
    instance_.approve_skill(
        "caller",
        Json::array({{{"capability", "network.internal"},
                      {"scope", {"localhost:" + server_.port()}},
                      {"reason", "test"}},
                     {{"capability", "system.exec"}, {"scope", programs}, {"reason", "test"}}}));
  }
  std::string url() const { return "http://localhost:" + server_.port() + "/"; }

  pid_t egress() const {
    return instance_.status().at("processes").at("egress").at("pid").get<pid_t>();
  }
  // Returns how long it was away.
  std::chrono::steady_clock::duration kill_egress() const {
    const pid_t before = egress();
    const auto killed = std::chrono::steady_clock::now();
    EXPECT_EQ(::kill(before, SIGKILL), 0);
    for (;;) {
      const pid_t now = egress();
      const auto away = std::chrono::steady_clock::now() - killed;
      if ((now != 0 && now != before) || away > kPatience) return away;
    }
  }

  HttpServer server_;
  Instance instance_;
};

TEST_F(NetworkUnderLoad, ManyRefusedAttemptsAreFewRecordsAndNoneIsLost) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "python3 is not installed";
  approve({"python3"});
  constexpr int kAttempts = 2000;
  const std::string script = R"(
import os, socket
user = os.environ['ALL_PROXY'].split('//')[1].split('@')[0].split(':')[0].encode()
for i in range(2000):
    s = socket.create_connection(('127.0.0.1', 18800))
    s.sendall(b'\5\1\2' + bytes([1, len(user)]) + user + b'\1x' + b'\5\1\0\3\x0cevil.example\1\xbb')
    while s.recv(4096):
        pass
    s.close()
print('done')
)";
  const Output output = instance_.sc({"run", "--skill", "caller", "--", "python3", "-c", script});
  EXPECT_EQ(output.out, "done\n") << output.err;
  std::int64_t count = 0;
  std::size_t records = 0;
  // What the egress has counted it tells when the call has ended, behind the client's back.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (count < kAttempts && std::chrono::steady_clock::now() < deadline) {
    count = 0;
    records = 0;
    for (const Json& record : instance_.records("connection")) {
      const Json& payload = record.at("payload");
      if (record.at("decision") != "block" || payload.at("host") != "evil.example") continue;
      ++records;
      count += payload.value("count", std::int64_t{1});
      EXPECT_EQ(payload.contains("count"), payload.contains("first"));
      EXPECT_EQ(record.at("skill"), "caller");
      EXPECT_NE(record.at("call"), "");
    }
  }
  EXPECT_EQ(count, kAttempts);
  EXPECT_LE(records, 12u);  // at once, after 5, 15, 35 … seconds and at the end
  const Output audit = instance_.sc({"audit", "--blocked"});
  EXPECT_THAT(audit.out, HasSubstr("caller tried to reach evil.example:443"));
  EXPECT_THAT(audit.out, HasSubstr(" times)"));
}

TEST_F(NetworkUnderLoad, AnEgressThatIsKilledAgainAndAgainIsBackSoon) {
  for (int i = 0; i < 8; ++i) {
    // A second is promised; the rest is for a machine that is busy with other tests.
    EXPECT_LE(kill_egress(), std::chrono::seconds(5)) << "kill " << i;
  }
  EXPECT_EQ(instance_.status().at("processes").at("egress").at("restarts"), 8);
  approve({"curl"});
  EXPECT_EQ(instance_.sc({"run", "--skill", "caller", "--", "curl", "-sSf", url()}).out, "hello\n");
}

TEST_F(NetworkUnderLoad, AWarmSandboxHasItsNetworkAgainWhenTheEgressIsBack) {
  approve({"sh", "curl"});
  const auto call = [&] {
    const std::string script =
        "[ -e \"$HOME/marker\" ] && echo warm; : >\"$HOME/marker\"; curl -sSf " + url() +
        "; curl -sSf --noproxy '*' " + url();
    return instance_.sc(
        {"run", "--session", "long", "--skill", "caller", "--", "sh", "-c", script});
  };
  const Output first = call();
  EXPECT_EQ(first.out, "hello\nhello\n") << first.err;
  for (int i = 0; i < 3; ++i) {
    kill_egress();
    const Output again = call();
    EXPECT_EQ(again.out, "warm\nhello\nhello\n") << again.err;
  }
}

TEST_F(NetworkUnderLoad, ATransferEndsWithTheEgressAndTheLogSaysSo) {
  HttpServer endless("HTTP/1.0 200 OK\r\nContent-Length: 1000000", HttpServer::After::kHold);
  instance_.approve_skill(
      "caller",
      Json::array({{{"capability", "network.internal"},
                    {"scope", {"localhost:" + endless.port()}},
                    {"reason", "test"}},
                   {{"capability", "system.exec"}, {"scope", {"curl"}}, {"reason", "test"}}}));
  Process curl = instance_.spawn("sc", {"run", "--skill", "caller", "--", "curl", "-sS", "-N",
                                        "http://localhost:" + endless.port() + "/"});
  curl.wait_for("hello\n");
  kill_egress();
  const Output output = curl.finish();
  EXPECT_NE(output.status, 0) << "half a file must not look like a whole one";
  bool ended = false;
  for (const Json& record : instance_.records("connection")) {
    if (record.at("reason") != "the egress died") continue;
    ended = true;
    EXPECT_EQ(record.at("payload").at("phase"), "close");
    EXPECT_EQ(record.at("skill"), "caller");
  }
  EXPECT_TRUE(ended);
  bool told = false;
  for (const Json& record : instance_.records("supervisor")) {
    told = told || record.at("reason") == "egress signal 9; it is started again";
  }
  EXPECT_TRUE(told);
}

}  // namespace
}  // namespace sharkcage::testing
