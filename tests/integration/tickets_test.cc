// Nothing runs without the verdict it belongs to: attacks on call tokens and tickets.
#include "supervisor/tickets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <thread>

#include "tests/integration/host.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

class Tickets : public ::testing::Test {
 protected:
  Tickets() { instance_.start(); }

  // What every attack tries to run, and whether it ran.
  std::string effect() const { return "touch " + mark(); }
  std::string mark() const { return instance_.workspace() + "/mark"; }
  bool ran() const { return std::filesystem::exists(mark()); }

  // The request is refused as blocked, the reason is in the log's blocked part, and nothing ran.
  void expect_blocked(const std::string& reason, const std::function<void()>& request) {
    const rpc::Error error = error_of(request);
    EXPECT_EQ(error.code, rpc::kBlocked) << error.message;
    EXPECT_THAT(error.message, HasSubstr(reason));
    EXPECT_TRUE(instance_.blocked_has(reason)) << "not in sc audit --blocked: " << reason;
    EXPECT_FALSE(ran());
  }

  Instance instance_;
};

class CallTokens : public Tickets {};

TEST_F(CallTokens, AnAuthorizedCommandRunsAndItsOutputComesBack) {
  Host host(instance_);
  Streams streams;
  const Json answer = host.open(host.ticket_for("cat; echo done; exit 3"), streams);
  write_all(streams.in.get(), "through the pipe\n");
  streams.in.reset();
  EXPECT_EQ(streams.read_out(), "through the pipe\ndone\n");
  EXPECT_EQ(wait_for(host.client(), "exec.started").at("call"), answer.at("call"));
  EXPECT_EQ(wait_for(host.client(), "exec.exit"), (Json{{"call", answer.at("call")}, {"exit", 3}}));
}

TEST_F(CallTokens, MissingIsBlocked) {
  Host host(instance_);
  expect_blocked("carries no call token", [&] { host.prepare("", effect()); });
}

TEST_F(CallTokens, ForgedIsBlocked) {
  Host host(instance_);
  host.token_for(effect());
  expect_blocked("token is unknown",
                 [&] { host.prepare("00112233445566778899aabbccddeeff", effect()); });
}

TEST_F(CallTokens, InTheEnvironmentIsAsGoodAsInTheMember) {
  Host host(instance_);
  const std::string token = host.token_for(effect());
  host.prepare("", effect(), {{"env", {{"SHARKCAGE_CALL", token}}}});
  expect_blocked("was used before", [&] {
    host.prepare("", effect(), {{"env", {{"SHARKCAGE_CALL", token}}}});
  });
}

TEST_F(CallTokens, UsedIsBlocked) {
  Host host(instance_);
  const std::string token = host.token_for(effect());
  host.prepare(token, effect());
  expect_blocked("was used before", [&] { host.prepare(token, effect()); });
}

TEST_F(CallTokens, OfAnotherSessionIsBlocked) {
  Host first(instance_, "first");
  Host second(instance_, "second");
  const std::string token = first.token_for(effect());
  expect_blocked("token is unknown", [&] { second.prepare(token, effect()); });
}

TEST_F(CallTokens, ForAnotherCommandIsBlockedAndSpent) {
  Host host(instance_);
  const std::string token = host.token_for("true");
  expect_blocked("not the one that was authorized", [&] { host.prepare(token, effect()); });
  expect_blocked("token is unknown", [&] { host.prepare(token, "true"); });
}

TEST_F(CallTokens, ForACommandIsNotForArguments) {
  Host host(instance_);
  const std::string token = host.token_for("true");
  expect_blocked("not the one that was authorized", [&] {
    host.prepare(token, "", {{"argv", {"/usr/bin/touch", mark()}}});
  });
}

TEST_F(CallTokens, ForAnotherDirectoryIsBlocked) {
  Host host(instance_);
  std::filesystem::create_directory(instance_.workspace() + "/sub");
  const std::string token = host.token_for(effect());
  expect_blocked("working directory", [&] {
    host.prepare(token, effect(), {{"workdir", instance_.workspace() + "/sub"}});
  });
}

TEST_F(CallTokens, OfAnotherToolIsBlocked) {
  Host host(instance_);
  const Json verdict = host.authorize("", {{"tool", "read"}, {"params", {{"path", "notes.txt"}}}});
  ASSERT_EQ(verdict.at("verdict"), "allow");
  expect_blocked("not for a command", [&] { host.prepare(verdict.at("token"), effect()); });
}

// A wrapper is allowed without a look at what it wraps, which comes as a call of its own.
TEST_F(CallTokens, ACommandIsJudgedThoughItIsCalledAWrapper) {
  Host host(instance_);
  const Json elevated = host.authorize(
      "", {{"params", {{"command", effect()}, {"elevated", true}}}, {"outer", true}});
  EXPECT_EQ(elevated.at("verdict"), "block") << elevated.dump();
}

TEST_F(CallTokens, OfAFinishedCallIsBlocked) {
  Host host(instance_);
  const std::string token = host.token_for(effect());
  host.client().call("tool.finish", {{"token", token}});
  expect_blocked("token is unknown", [&] { host.prepare(token, effect()); });
}

TEST_F(CallTokens, OfAnEarlierSupervisorIsBlocked) {
  std::string token;
  {
    Host host(instance_);
    token = host.token_for(effect());
  }
  instance_.kill();
  instance_.start();
  Host host(instance_);
  expect_blocked("token is unknown", [&] { host.prepare(token, effect()); });
}

TEST_F(Tickets, MissingIsBlocked) {
  Host host(instance_);
  host.ticket_for(effect());
  Streams streams;
  expect_blocked("There is no ticket", [&] { host.open("", streams); });
}

TEST_F(Tickets, ForgedIsBlocked) {
  Host host(instance_);
  host.ticket_for(effect());
  Streams streams;
  expect_blocked("ticket is unknown",
                 [&] { host.open("00112233445566778899aabbccddeeff", streams); });
}

TEST_F(Tickets, UsedIsBlocked) {
  Host host(instance_);
  const std::string ticket = host.ticket_for("true");
  Streams first;
  host.open(ticket, first);
  Streams second;
  expect_blocked("used before", [&] { host.open(ticket, second); });
}

TEST_F(Tickets, ForOtherArgumentsIsBlockedAndSpent) {
  Host host(instance_);
  const std::string ticket = host.ticket_for(effect());
  Streams streams;
  expect_blocked("another command", [&] { host.open(ticket, streams, {{"argv", {"/bin/true"}}}); });
  expect_blocked("used before", [&] { host.open(ticket, streams); });
}

TEST_F(Tickets, ForPipesDoesNotOpenATerminal) {
  Host host(instance_);
  const std::string ticket = host.ticket_for(effect());
  expect_blocked("not a terminal", [&] {
    host.client().call("exec.open",
                       {{"ticket", ticket}, {"terminal", {{"rows", 24}, {"columns", 80}}}});
  });
}

TEST_F(Tickets, OfARevokedSkillIsBlocked) {
  instance_.approve_skill("marker",
                          Json::array({{{"capability", "system.exec"}, {"reason", "test"}}}));
  Host host(instance_);
  const std::string script = instance_.root() + "/skills/marker/run.sh";
  write_text(script, "#!/bin/sh\n" + effect() + "\n");
  ASSERT_EQ(::chmod(script.c_str(), 0755), 0);
  ASSERT_EQ(instance_.sc({"skill", "add", instance_.root() + "/skills/marker"}).status, 0);
  ASSERT_EQ(instance_.sc({"approve", "marker", "--yes"}).status, 0);
  const std::string ticket = host.ticket_for(script);
  ASSERT_EQ(instance_.sc({"revoke", "marker"}).status, 0);
  Streams streams;
  expect_blocked("ticket is unknown", [&] { host.open(ticket, streams); });
}

TEST_F(Tickets, OfAnEarlierSupervisorIsBlocked) {
  std::string ticket;
  {
    Host host(instance_);
    ticket = host.ticket_for(effect());
  }
  instance_.kill();
  instance_.start();
  const Output output = instance_.spawn("sc-exec", {}, {{"SHARKCAGE_TICKET", ticket}}).finish();
  EXPECT_EQ(output.status, 126) << output.err;
  EXPECT_TRUE(instance_.blocked_has("ticket is unknown"));
  EXPECT_FALSE(ran());
}

// The one test that waits for time to pass, since only time makes a ticket late.
TEST_F(Tickets, LateIsBlocked) {
  Host host(instance_);
  const std::string ticket = host.ticket_for(effect());
  std::this_thread::sleep_for(kTicketLife + std::chrono::milliseconds(100));
  Streams streams;
  expect_blocked("came too late", [&] { host.open(ticket, streams); });
}

TEST_F(Tickets, TheProgramRunsWhatItsTicketStandsFor) {
  Host host(instance_);
  const std::string ticket = host.ticket_for("cat; printf err >&2; exit 7");
  Process client = instance_.spawn("sc-exec", {}, {{"SHARKCAGE_TICKET", ticket}});
  client.write("in");
  const Output output = client.finish();
  EXPECT_EQ(output.out, "in");
  EXPECT_EQ(output.err, "err");
  EXPECT_EQ(output.status, 7);
}

TEST_F(Tickets, TheProgramEndsWith126WithoutAValidOne) {
  Host host(instance_);
  const std::string ticket = host.ticket_for(effect());
  const auto exec = [&](const std::vector<std::string>& arguments,
                        const std::map<std::string, std::string>& variables) {
    const Output output = instance_.spawn("sc-exec", arguments, variables).finish();
    EXPECT_EQ(output.status, 126) << output.err;
    return output.err;
  };
  EXPECT_THAT(exec({}, {}), HasSubstr("There is no ticket"));
  EXPECT_THAT(exec({}, {{"SHARKCAGE_TICKET", "0123"}}), HasSubstr("unknown"));
  EXPECT_THAT(exec({"--", "/bin/true"}, {{"SHARKCAGE_TICKET", ticket}}),
              HasSubstr("another command"));
  EXPECT_THAT(exec({}, {{"SHARKCAGE_TICKET", ticket}}), HasSubstr("used before"));
  EXPECT_FALSE(ran());
}

}  // namespace
}  // namespace sharkcage::testing
