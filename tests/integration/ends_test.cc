// A person, or a host, ends one session or one call; nothing of it is left when that is answered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/integration/host.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class Ends : public ::testing::Test {
 protected:
  Ends() { instance_.start(); }

  // Leaves processes in sessions of their own, one of which nobody can ask to end. Returns the
  // call.
  std::string leave(const std::string& session) const {
    const Output output = instance_.sc(
        {"run", "--json", "--session", session, "--", "/bin/sh", "-c",
         "setsid sleep 54321 & (trap '' TERM HUP INT; exec setsid sleep 54321) & true"});
    EXPECT_EQ(output.status, 0) << output.out << output.err;
    return Json::parse(output.out).at("call");
  }
  std::vector<std::string> sessions_of(const char* list) const {
    const Json status = instance_.status();
    std::vector<std::string> sessions;
    for (const Json& entry : status.at(list)) {
      if (entry.value("kind", "") != "prepared") sessions.push_back(entry.at("session"));
    }
    return sessions;
  }
  // Of the instance's processes, how many are such as `leave` leaves.
  std::size_t left() const {
    std::size_t found = 0;
    for (const pid_t pid : instance_.processes()) {
      std::ifstream file("/proc/" + std::to_string(pid) + "/cmdline");
      const std::string line((std::istreambuf_iterator<char>(file)), {});
      found += line == std::string(
                           "sleep\0"
                           "54321\0",
                           12)
                   ? 1
                   : 0;
    }
    return found;
  }
  // A command has returned before what it leaves has executed its program.
  void wait_for_left(std::size_t wanted) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (left() != wanted) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << left() << " of " << wanted;
    }
  }
  std::vector<std::string> recorded() const {
    std::vector<std::string> reasons;
    for (const Json& record : instance_.records("end")) reasons.push_back(record.at("reason"));
    return reasons;
  }

  Instance instance_;
};

TEST_F(Ends, OneSessionWithEverythingThatItLeftRunning) {
  leave("web");
  leave("web");
  leave("other");
  wait_for_left(6);
  const Output output = instance_.sc({"stop", "--session", "web"});
  EXPECT_EQ(output.status, 0) << output.err;
  EXPECT_EQ(output.out, "The session web has ended: 2 calls, 1 sandbox.\n");
  EXPECT_EQ(left(), 2u);
  EXPECT_THAT(sessions_of("calls"), ::testing::ElementsAre("other"));
  EXPECT_THAT(sessions_of("sandboxes"), ::testing::ElementsAre("other"));
  ASSERT_THAT(recorded(), SizeIs(1));
  EXPECT_THAT(recorded()[0], HasSubstr("ended the session web"));
  EXPECT_THAT(instance_.sc({"audit"}).out, HasSubstr("ended the session web"));
  // It can be used again.
  leave("web");
  wait_for_left(4);
}

TEST_F(Ends, ACallThatRunsInIt) {
  Process running = instance_.spawn(
      "sc", {"run", "--session", "web", "--", "/bin/sh", "-c", "echo on; sleep 54321"});
  running.wait_for("on");
  const Output output = instance_.sc({"stop", "--json", "--session", "web"});
  EXPECT_EQ(Json::parse(output.out), Json({{"stopped", true}, {"calls", 1}, {"sandboxes", 1}}));
  EXPECT_EQ(left(), 0u);
  EXPECT_EQ(running.finish().status, 137);
}

TEST_F(Ends, NothingWhereThereIsNothing) {
  const Output output = instance_.sc({"stop", "--session", "web"});
  EXPECT_EQ(output.status, 0);
  EXPECT_EQ(output.out, "Nothing of the session web runs here.\n");
  const Output call = instance_.sc({"stop", "--call", "nope"});
  EXPECT_EQ(call.status, 1);
  EXPECT_THAT(call.err, HasSubstr("There is no such call\n    Those that are, are in: sc status"));
  EXPECT_EQ(instance_.sc({"stop", "--call", "a", "--session", "b"}).status, 2);
}

TEST_F(Ends, OneCallOfASession) {
  const std::string first = leave("web");
  leave("web");
  wait_for_left(4);
  const Output output = instance_.sc({"stop", "--call", first});
  EXPECT_EQ(output.status, 0) << output.err;
  EXPECT_THAT(output.out, HasSubstr(first));
  EXPECT_EQ(left(), 2u);
  EXPECT_THAT(sessions_of("calls"), SizeIs(1));
  ASSERT_THAT(recorded(), SizeIs(1));
  EXPECT_EQ(instance_.records("end")[0].at("call"), first);
}

// Of a host's session that shares its sandbox with another one.
TEST_F(Ends, WhatAnotherSessionOfTheScopeHasLivesOn) {
  Host first(instance_, "one");
  Host second(instance_, "two");
  const auto open = [&](Host& host) {
    host.client().call("session.open", {{"session", host.session()},
                                        {"workspace", instance_.workspace()},
                                        {"access", "rw"},
                                        {"scope", "shared"}});
    Streams streams;
    host.open(host.ticket_for("sleep 54321 & true"), streams);
    wait_for(host.client(), "exec.exit");
  };
  open(first);
  open(second);
  wait_for_left(2);
  EXPECT_EQ(first.client().call("session.end", {{"session", "one"}}),
            Json({{"calls", 1}, {"sandboxes", 0}}));
  EXPECT_EQ(left(), 1u);
  EXPECT_EQ(second.client().call("session.end", {{"session", "two"}}).at("calls"), 1);
  EXPECT_EQ(left(), 0u);
  open(first);
  wait_for_left(1);
}

// A token that is out is good for nothing any more.
TEST_F(Ends, WhatHasNotBegun) {
  Host host(instance_);
  const std::string ticket = host.ticket_for("true");
  EXPECT_EQ(host.client().call("session.end", {{"session", host.session()}}).at("calls"), 1);
  Streams streams;
  EXPECT_EQ(error_of([&] { host.open(ticket, streams); }).code, rpc::kBlocked);
  EXPECT_THAT(sessions_of("calls"), IsEmpty());
}

// "sc status" lists it with those that run.
TEST_F(Ends, OneCallThatHasNotBegun) {
  Host host(instance_);
  const std::string ticket = host.ticket_for("true");
  const std::string call = instance_.status().at("calls").at(0).at("call");
  const Output output = instance_.sc({"stop", "--call", call});
  EXPECT_EQ(output.status, 0) << output.err;
  Streams streams;
  EXPECT_EQ(error_of([&] { host.open(ticket, streams); }).code, rpc::kBlocked);
  EXPECT_THAT(sessions_of("calls"), IsEmpty());
  EXPECT_EQ(instance_.sc({"stop", "--call", call}).status, 1);
}

}  // namespace
}  // namespace sharkcage::testing
