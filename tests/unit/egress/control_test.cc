#include "supervisor/egress/control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/errors.h"
#include "common/hash.h"
#include "supervisor/egress/egress_client.h"

namespace sharkcage::egress {
namespace {

TEST(Control, OrdersArriveAsTheyWereSent) {
  const Listen sent{7,
                    Sockets::kAll,
                    "session",
                    "skill",
                    {{"call", std::string(32, 't'), 5}},
                    {{"a.example", 443, false}, {"10.0.0.0/8", 1, true}},
                    {"*.evil"}};
  const Order order = order_from_text(order_to_text(sent));
  const auto& listen = std::get<Listen>(order);
  EXPECT_EQ(listen.id, 7u);
  EXPECT_EQ(listen.sockets, Sockets::kAll);
  EXPECT_EQ(listen.session, "session");
  EXPECT_EQ(listen.skill, "skill");
  ASSERT_EQ(listen.tokens.size(), 1u);
  EXPECT_EQ(listen.tokens[0].call, "call");
  EXPECT_EQ(listen.tokens[0].token, sent.tokens[0].token);
  EXPECT_EQ(listen.tokens[0].command, 5u);
  EXPECT_EQ(listen.hosts, sent.hosts);
  EXPECT_EQ(listen.deny_hosts, sent.deny_hosts);
  const Order admit = order_from_text(order_to_text(Admit{8, {"other", sent.tokens[0].token, 6}}));
  EXPECT_EQ(std::get<Admit>(admit).id, 8u);
  EXPECT_EQ(std::get<Admit>(admit).token.call, "other");
  EXPECT_EQ(std::get<Admit>(admit).token.token, sent.tokens[0].token);
  EXPECT_EQ(std::get<Admit>(admit).token.command, 6u);
  const Order dismiss = order_from_text(order_to_text(Dismiss{8, "other"}));
  EXPECT_EQ(std::get<Dismiss>(dismiss).id, 8u);
  EXPECT_EQ(std::get<Dismiss>(dismiss).call, "other");
  EXPECT_EQ(std::get<Close>(order_from_text(order_to_text(Close{9}))).id, 9u);
}

TEST(Control, EventsArriveAsTheyWereSent) {
  Connection sent;
  sent.id = 1;
  sent.connection = 2;
  sent.call = "c";
  sent.session = "s";
  sent.skill = "k";
  sent.protocol = "http";
  sent.program = "curl";
  sent.host = "h\xC3\xA9";
  sent.port = 443;
  sent.address = "::1";
  sent.decision = Decision::kAllow;
  sent.reason = "r";
  sent.rule = "h:443";
  sent.bytes_up = 1ull << 40;
  sent.bytes_down = 5;
  sent.duration_us = 6;
  sent.phase = Phase::kOpen;
  EXPECT_EQ(event_to_text(event_from_text(event_to_text(sent))), event_to_text(sent));
  sent.decision = Decision::kBlock;
  sent.phase = Phase::kClose;
  sent.count = 1ull << 40;
  sent.first_us = 1'700'000'000'000'000;
  EXPECT_EQ(event_to_text(event_from_text(event_to_text(sent))), event_to_text(sent));
  // Only what dialled nothing is told by number.
  sent.decision = Decision::kAllow;
  EXPECT_THROW(event_from_text(event_to_text(sent)), UserError);
  sent.count = 0;
  EXPECT_THROW(event_from_text(event_to_text(sent)), UserError);
  EXPECT_EQ(std::get<Ready>(event_from_text(event_to_text(Ready{5, 4}))).landlock, 4);
  EXPECT_EQ(std::get<Closed>(event_from_text(event_to_text(Closed{5}))).id, 5u);
  EXPECT_EQ(std::get<Failed>(event_from_text(event_to_text(Failed{5, "x"}))).reason, "x");
}

TEST(Control, AnythingElseIsRefused) {
  for (const char* text :
       {"", "null", "[]", "{}", "{\"order\":1}", "{\"order\":\"fly\"}", "{\"order\":\"close\"}",
        "{\"order\":\"close\",\"id\":-1}", "{\"order\":\"close\",\"id\":1.5}",
        "{\"order\":\"close\",\"id\":1,\"x\":1}", "{\"order\":\"close\",\"id\":1} ,",
        "{\"order\":\"listen\",\"id\":1}", "{\"order\":\"close\",\"id\":18446744073709551615}"}) {
    EXPECT_THROW(order_from_text(text), UserError) << text;
    EXPECT_THROW(event_from_text(text), UserError) << text;
  }
  std::string bent = order_to_text(Listen{1, Sockets::kProxy, "", "", {}, {{"a", 70, true}}, {}});
  bent.replace(bent.find("70"), 2, "70000");
  EXPECT_THROW(order_from_text(bent), UserError);
}

TEST(Control, ARefusedTokenIsNotInTheMessage) {
  Listen listen;
  listen.tokens = {{"call", "secret"}};
  try {
    check_listen(listen);
    FAIL() << "a token of six characters was taken";
  } catch (const UserError& error) {
    EXPECT_THAT(error.full(), ::testing::Not(::testing::HasSubstr("secret")));
  }
}

TEST(EgressClient, AProgramThatIsNotThereIsAnError) {
  EgressClient client("/nonexistent/sharkcage-egress");
  EXPECT_ANY_THROW(client.start());
  EXPECT_FALSE(client.running());
}

void run_until_dead(EgressClient& client) {
  while (client.running()) {
    pollfd wait{client.fd(), POLLIN, 0};
    ::poll(&wait, 1, -1);
    client.on_readable();
  }
}

TEST(EgressClient, AProcessThatEndsIsDead) {
  EgressClient client("/bin/true");
  client.start();
  run_until_dead(client);
  EXPECT_EQ(client.ended(), "exit 0");
}

TEST(EgressClient, AProcessThatSpeaksNonsenseIsKilled) {
  const std::string script = ::testing::TempDir() + "egress-nonsense-" + random_hex(8);
  write_file_atomically(script, "#!/bin/sh\necho nonsense >&3\nexec cat <&4\n", 0700);
  EgressClient client(script);
  client.start();
  run_until_dead(client);
  EXPECT_THAT(client.ended(), ::testing::HasSubstr("protocol error"));
  ::unlink(script.c_str());
}

// It neither keeps its supervisor from other work nor fills its memory with what nobody can have.
TEST(EgressClient, AProcessThatNeverStopsSpeakingIsHeardInTurns) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "python3 is not installed";
  Connection event;
  event.decision = Decision::kAllow;
  event.phase = Phase::kOpen;
  event.address = "192.0.2.1";
  const std::string text = event_to_text(event);
  const std::string member = "\"connection\":";
  const std::size_t number = text.find(member + '0') + member.size();
  const std::string script = ::testing::TempDir() + "egress-flood-" + random_hex(8);
  write_file_atomically(script,
                        "#!/usr/bin/python3\n"
                        "import os\n"
                        "n = 0\n"
                        "while True:\n"
                        "    n += 1\n"
                        "    os.write(3, ('" +
                            text.substr(0, number) + "' + str(n) + '" + text.substr(number + 1) +
                            "').encode())\n",
                        0700);
  EgressClient client(script);
  client.start();
  while (client.running()) {
    pollfd wait{client.fd(), POLLIN, 0};
    ::poll(&wait, 1, -1);
    const std::size_t events = client.on_readable().size();
    if (client.running()) {
      EXPECT_LE(events, EgressClient::kMaxEvents);
    }
  }
  EXPECT_THAT(client.ended(), ::testing::HasSubstr("more connections than it may have"));
  ::unlink(script.c_str());
}

TEST(EgressClient, EveryEndIsToldWhenTheProcessDies) {
  EgressClient client("/bin/cat");  // reads its standard input, /dev/null, and ends
  client.start();
  auto pair = make_socketpair(SOCK_STREAM);
  Listen listen;
  listen.tokens = {{"call", std::string(kMinToken, 't')}};
  std::vector<UniqueFd> sockets;
  sockets.push_back(std::move(pair.first));
  const std::uint64_t id = client.listen(listen, std::move(sockets));
  client.close(id);
  client.close(id);
  client.stop();
  const std::vector<Event> events = client.on_readable();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<Closed>(events[0]).id, id);
  // The kept socket went with the listener.
  char byte;
  EXPECT_EQ(::recv(pair.second.get(), &byte, 1, 0), 0);
}

}  // namespace
}  // namespace sharkcage::egress
