// The real process, over real sockets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "common/errors.h"
#include "common/hash.h"
#include "support.h"

namespace sharkcage::egress::testing {
namespace {

using ::testing::HasSubstr;

// A sandbox's listener in this very namespace: what matters is which socket it is, not where.
struct Sandbox {
  explicit Sandbox(Supervised& supervised, std::vector<HostRule> hosts,
                   std::vector<std::string> deny = {}, const std::string& token = kToken) {
    Listening listening = listen_on();
    port = listening.port;
    id = supervised.listen(std::move(listening.socket), std::move(hosts), std::move(deny), token);
  }
  UniqueFd connect() const { return connect_to("127.0.0.1", port); }
  std::uint16_t port = 0;
  std::uint64_t id = 0;
};

std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint32_t state = 1;
  for (char& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

TEST(Egress, ReachesAnApprovedHostAndReportsIt) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  UniqueFd client = sandbox.connect();
  ASSERT_EQ(ask(client.get(), request("LocalHost.", server.port())), 0);
  write_text(client.get(), "hello");
  EXPECT_EQ(read_exactly(client.get(), 5), "hello");
  const Connection open = supervised.connection(0);
  client.reset();
  const Connection close = supervised.connection(1);

  EXPECT_EQ(open.phase, Phase::kOpen);
  EXPECT_EQ(open.decision, Decision::kAllow);
  EXPECT_EQ(open.id, sandbox.id);
  EXPECT_EQ(open.call, "call-1");
  EXPECT_EQ(open.session, "session-1");
  EXPECT_EQ(open.skill, "weather");
  EXPECT_EQ(open.host, "LocalHost.");
  EXPECT_EQ(open.port, server.port());
  EXPECT_EQ(open.address, "127.0.0.1");
  EXPECT_EQ(open.rule, "localhost:" + std::to_string(server.port()));
  EXPECT_EQ(close.phase, Phase::kClose);
  EXPECT_EQ(close.connection, open.connection);
  EXPECT_EQ(close.bytes_up, 5u);
  EXPECT_EQ(close.bytes_down, 5u);
  EXPECT_GT(close.duration_us, 0u);
  EXPECT_EQ(close.reason, "");
}

TEST(Egress, ServesAListenerOfAnotherNetworkNamespace) {
  const auto inside = Namespace::make();
  if (!inside) GTEST_SKIP() << "this user may not make a network namespace";
  TestServer server(echo);
  Supervised supervised;
  supervised.listen(inside->listen_inside(), {{"localhost", server.port(), true}});

  const UniqueFd client = inside->connect_inside("127.0.0.1", 18800);
  ASSERT_EQ(ask(client.get(), request("localhost", server.port())), 0);
  write_text(client.get(), "from inside");
  EXPECT_EQ(read_exactly(client.get(), 11), "from inside");
  // The namespace itself has no way to the server.
  EXPECT_ANY_THROW(inside->connect_inside("127.0.0.1", server.port()));
}

TEST(Egress, RefusesWhatIsNotApproved) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  const auto refused = [&](const std::string& bytes) {
    const UniqueFd client = sandbox.connect();
    const int reply = ask(client.get(), bytes);
    EXPECT_TRUE(has_ended(client.get()));
    return reply;
  };
  EXPECT_EQ(refused(request("evil.example", 443)), 2);
  EXPECT_EQ(refused(request("localhost", static_cast<std::uint16_t>(server.port() ^ 1))), 2);
  EXPECT_EQ(refused(request("xlocalhost", server.port())), 2);
  EXPECT_EQ(refused(request("localhost.evil.example", server.port())), 2);
  // The name is approved, not its addresses.
  EXPECT_EQ(refused(request_v4("127.0.0.1", server.port())), 2);
  EXPECT_EQ(refused(request_v6("::1", server.port())), 2);
  EXPECT_EQ(refused(request_v6("::ffff:127.0.0.1", server.port())), 2);
  EXPECT_EQ(supervised.connection(0).reason, "the host is not approved");
  EXPECT_EQ(supervised.connection(1).reason, "the host is approved, but not this port");
  EXPECT_EQ(supervised.connection(0).decision, Decision::kBlock);
  EXPECT_EQ(supervised.connection(6).host, "::ffff:127.0.0.1");
  EXPECT_EQ(server.connections(), 0);
}

TEST(Egress, RefusesNumbersThatStandForAddresses) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"127.0.0.1", server.port(), true}});
  for (const char* host :
       {"2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "127.1", "127.0.1", "017700000001",
        "127.0.0.01", "127.0.0.1.", "0x7F.1", "1.2.3.4.5", ""}) {
    const UniqueFd client = sandbox.connect();
    const int expected = std::string(host) == "127.0.0.1." ? 0 : 2;
    EXPECT_EQ(ask(client.get(), request(host, server.port())), expected) << host;
  }
}

TEST(Egress, AnApprovedLoopbackAddressNeedsAnInternalRule) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox external(
      supervised, {{"localhost", server.port(), false}, {"127.0.0.1", server.port(), false}});
  const UniqueFd by_name = external.connect();
  EXPECT_EQ(ask(by_name.get(), request("localhost", server.port())), 2);
  const UniqueFd by_address = external.connect();
  EXPECT_EQ(ask(by_address.get(), request_v4("127.0.0.1", server.port())), 2);
  EXPECT_THAT(supervised.connection(0).reason, HasSubstr("loopback"));
  EXPECT_EQ(supervised.connection(0).address, "127.0.0.1");

  const Sandbox internal(supervised, {{"127.0.0.0/8", server.port(), true}});
  const UniqueFd client = internal.connect();
  EXPECT_EQ(ask(client.get(), request_v4("127.0.0.1", server.port())), 0);
  const UniqueFd mapped = internal.connect();
  EXPECT_EQ(ask(mapped.get(), request_v6("::ffff:127.0.0.1", server.port())), 0);
}

TEST(Egress, DenyingRulesWin) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox by_name(supervised, {{"localhost", server.port(), true}}, {"LOCALHOST"});
  const UniqueFd first = by_name.connect();
  EXPECT_EQ(ask(first.get(), request("localhost", server.port())), 2);
  EXPECT_EQ(supervised.connection(0).rule, "LOCALHOST");
  // Denied by what it resolves to.
  const Sandbox by_address(supervised, {{"localhost", server.port(), true}},
                           {"127.0.0.0/8", "::1"});
  const UniqueFd second = by_address.connect();
  EXPECT_EQ(ask(second.get(), request("localhost", server.port())), 2);
  EXPECT_EQ(server.connections(), 0);
}

TEST(Egress, RefusesAWrongToken) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox a(supervised, {{"localhost", server.port(), true}});
  const Sandbox b(supervised, {{"localhost", server.port(), true}}, {}, kOtherToken);
  const std::string wrong[] = {kOtherToken, "", "x", kToken + "x", kToken.substr(1)};
  for (const std::string& token : wrong) {
    const UniqueFd client = a.connect();
    write_text(client.get(), greeting() + authentication(token));
    EXPECT_EQ(read_all(client.get()), std::string("\x05\x02\x01\x01", 4)) << token;
  }
  EXPECT_EQ(supervised.connection(0).reason, "wrong token");
  EXPECT_EQ(supervised.connection(0).decision, Decision::kBlock);
  const UniqueFd without = a.connect();
  write_text(without.get(), std::string("\x05\x02\x00\x01", 4));
  EXPECT_EQ(read_all(without.get()), "\x05\xFF");
  EXPECT_THAT(supervised.connection(1).reason, HasSubstr("no token"));
  const UniqueFd right = b.connect();
  EXPECT_EQ(ask(right.get(), request("localhost", server.port()), kOtherToken), 0);
}

TEST(Egress, TheTokenEndsWithTheCall) {
  TestServer server(echo);
  Supervised supervised;
  Listening listening = listen_on();
  const UniqueFd kept(::dup(listening.socket.get()));  // as if the sandbox lived on
  const std::uint64_t id =
      supervised.listen(std::move(listening.socket), {{"localhost", server.port(), true}});
  const UniqueFd open = connect_to("127.0.0.1", listening.port);
  ASSERT_EQ(ask(open.get(), request("localhost", server.port())), 0);
  write_text(open.get(), "here");  // connected is not yet accepted
  ASSERT_EQ(read_exactly(open.get(), 4), "here");
  const UniqueFd half = connect_to("127.0.0.1", listening.port);
  write_text(half.get(), greeting());
  ASSERT_EQ(read_exactly(half.get(), 2).size(), 2u);

  supervised.client.close(id);
  ASSERT_TRUE(supervised.wait_for_closed(id));
  EXPECT_TRUE(has_ended(open.get()));
  EXPECT_TRUE(has_ended(half.get()));
  EXPECT_EQ(supervised.connection(2).reason, "the call ended");
  // Nobody serves the socket any more.
  const UniqueFd late = connect_to("127.0.0.1", listening.port);
  write_text(late.get(), greeting() + authentication(kToken));
  EXPECT_TRUE(accept_one(kept.get()));
  EXPECT_EQ(server.connections(), 1);
}

TEST(Egress, ASandboxThatSeveralCallsUseHasATokenForEach) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  const std::string other(kMinToken, 'o');
  supervised.client.admit(sandbox.id, {"call-2", other});
  const std::string asked = request("localhost", server.port());
  const UniqueFd second = sandbox.connect();
  ASSERT_EQ(ask(second.get(), asked, other), 0);
  EXPECT_EQ(supervised.connection(0).call, "call-2");
  const UniqueFd first = sandbox.connect();
  ASSERT_EQ(ask(first.get(), asked), 0);
  EXPECT_EQ(supervised.connection(1).call, "call-1");

  // The end of one call cuts its connections and no others.
  supervised.client.dismiss(sandbox.id, "call-2");
  EXPECT_TRUE(has_ended(second.get()));
  EXPECT_EQ(supervised.connection(2).reason, "the call ended");
  EXPECT_EQ(ask(sandbox.connect().get(), asked, other), -1);
  write_text(first.get(), "still here");
  EXPECT_EQ(read_exactly(first.get(), 10), "still here");
}

TEST(Egress, OffersConnectAlone) {
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", 80, true}});
  for (const char command : {'\x02', '\x03', '\x00', '\x7F'}) {
    const UniqueFd client = sandbox.connect();
    EXPECT_EQ(ask(client.get(), request("localhost", 80, command)), 7);
  }
  const UniqueFd unknown_type = sandbox.connect();
  EXPECT_EQ(ask(unknown_type.get(), std::string("\x05\x01\x00\x05\x01\x01\x01\x01\x00\x50", 10)),
            8);
  const UniqueFd socks4 = sandbox.connect();
  write_text(socks4.get(), std::string("\x04\x01\x00\x50\x7F\x00\x00\x01\x00", 9));
  EXPECT_EQ(read_all(socks4.get()), std::string("\x00\x5B\x00\x00\x00\x00\x00\x00", 8));
}

TEST(Egress, SaysWhyAnApprovedHostIsNotReached) {
  std::uint16_t nobody;
  { nobody = listen_on().port; }
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", nobody, true}, {"name.invalid", 80, true}});
  const UniqueFd refused = sandbox.connect();
  EXPECT_EQ(ask(refused.get(), request("localhost", nobody)), 5);
  const UniqueFd unresolvable = sandbox.connect();
  EXPECT_EQ(ask(unresolvable.get(), request("name.invalid", 80)), 4);
  // Both addresses of localhost were tried, each between its two events.
  EXPECT_EQ(supervised.connection(0).address, "127.0.0.1");
  EXPECT_EQ(supervised.connection(1).reason, "Connection refused");
  EXPECT_EQ(supervised.connection(2).address, "::1");
  EXPECT_NE(supervised.connection(2).connection, supervised.connection(0).connection);
  EXPECT_THAT(supervised.connection(4).reason, HasSubstr("unresolvable"));
}

TEST(Egress, SurvivesARequestCutAtEveryByte) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  const std::string whole =
      greeting() + authentication(kToken) + request("localhost", server.port());
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    const UniqueFd client = sandbox.connect();
    write_text(client.get(), whole.substr(0, cut));
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_LE(read_all(client.get()).size(), 4u) << cut;
    supervised.pump();
  }
  // And with every byte turned into every one of a few others.
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int other : {0, 4, 0x7F, 0xFF}) {
      std::string bent = whole;
      bent[at] = static_cast<char>(other);
      const UniqueFd client = sandbox.connect();
      write_text(client.get(), bent);
      ::shutdown(client.get(), SHUT_WR);
      read_all(client.get());
      supervised.pump();
    }
  }
  const UniqueFd client = sandbox.connect();
  EXPECT_EQ(ask(client.get(), request("localhost", server.port())), 0);
}

TEST(Egress, TakesARequestByteByByteAndBytesSentAhead) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  const UniqueFd slow = sandbox.connect();
  for (const char byte :
       greeting() + authentication(kToken) + request("localhost", server.port())) {
    write_text(slow.get(), {&byte, 1});
  }
  EXPECT_EQ(read_exactly(slow.get(), 14).substr(0, 6), std::string("\x05\x02\x01\x00\x05\x00", 6));
  const UniqueFd eager = sandbox.connect();
  write_text(eager.get(),
             greeting() + authentication(kToken) + request("localhost", server.port()) + "early");
  EXPECT_EQ(read_exactly(eager.get(), 19).substr(14), "early");
}

TEST(Egress, CarriesAHalfClosedStream) {
  TestServer server([](int fd) { write_text(fd, "got " + std::to_string(read_all(fd).size())); });
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  const UniqueFd client = sandbox.connect();
  ASSERT_EQ(ask(client.get(), request("localhost", server.port())), 0);
  write_text(client.get(), "12345");
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(read_all(client.get()), "got 5");
}

TEST(Egress, MovesManyBytesWholeBothWays) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  const UniqueFd client = sandbox.connect();
  ASSERT_EQ(ask(client.get(), request("localhost", server.port())), 0);
  const std::string sent = pattern(64u << 20);
  std::thread writer([&] {
    write_text(client.get(), sent);
    ::shutdown(client.get(), SHUT_WR);
  });
  const std::string received = read_all(client.get());
  writer.join();
  EXPECT_EQ(sha256_hex(received), sha256_hex(sent));
  EXPECT_EQ(supervised.connection(1).bytes_up, sent.size());
  EXPECT_EQ(supervised.connection(1).bytes_down, sent.size());
}

std::size_t resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  }
  return 0;
}

TEST(Egress, ASlowReaderSlowsItsServerDown) {
  std::atomic<std::size_t> taken{0};
  std::atomic<bool> stalled{false};
  TestServer server([&](int fd) {
    const std::string block(1u << 16, 'x');
    for (;;) {
      pollfd wait{fd, POLLOUT, 0};
      if (::poll(&wait, 1, 500) == 0) break;  // nothing moved for long: the way is full
      const ssize_t sent = ::send(fd, block.data(), block.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) continue;
      taken += static_cast<std::size_t>(sent);
      if (taken > (256u << 20)) return;
    }
    stalled = true;
  });
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  const UniqueFd client = sandbox.connect();
  ASSERT_EQ(ask(client.get(), request("localhost", server.port())), 0);
  const std::size_t before = resident_kib(supervised.client.pid());
  const std::string received = read_exactly(client.get(), 1);
  while (!stalled && taken <= (256u << 20)) std::this_thread::yield();
  EXPECT_TRUE(stalled) << "the egress swallowed " << taken << " bytes that nobody read";
  EXPECT_LT(resident_kib(supervised.client.pid()), before + 16 * 1024);
  EXPECT_EQ(1 + read_all(client.get()).size(), taken);
}

TEST(Egress, PassesAResetOn) {
  TestServer server([](int fd) {
    read_exactly(fd, 1);
    const linger now{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  });
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  const UniqueFd client = sandbox.connect();
  ASSERT_EQ(ask(client.get(), request("localhost", server.port())), 0);
  write_text(client.get(), "x");
  char byte;
  EXPECT_EQ(::recv(client.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
  EXPECT_EQ(supervised.connection(1).reason, "Connection reset by peer");
}

TEST(Egress, CarriesAThousandConnectionsAtOnce) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.push_back(sandbox.connect());
    write_text(clients.back().get(), greeting() + authentication(kToken) +
                                         request("localhost", server.port()) + std::to_string(i));
    supervised.pump();
  }
  supervised.connection(999);
  for (int i = 0; i < 1000; ++i) {
    const std::string expected = std::to_string(i);
    ASSERT_EQ(
        read_exactly(clients[static_cast<std::size_t>(i)].get(), 14 + expected.size()).substr(14),
        expected);
  }
  clients.clear();
  supervised.connection(1999);
}

TEST(Egress, ASupervisorThatIsBehindMissesNoReport) {
  Supervised supervised;
  const std::uint16_t closed = listen_on().port;  // not any more
  const Sandbox sandbox(supervised, {{"127.0.0.1", closed, true}});
  constexpr int kAttempts = 500;  // each with its opening and its end
  std::atomic<int> refused{0};
  std::thread clients([&] {
    for (int i = 0; i < kAttempts; ++i) {
      const UniqueFd client = sandbox.connect();
      ask(client.get(), request_v4("127.0.0.1", closed));
    }
    // The last of them is answered only once there was room for its report.
    const UniqueFd client = sandbox.connect();
    refused = ask(client.get(), request_v4("127.0.0.1", closed));
  });
  EXPECT_EQ(supervised.connection(2 * kAttempts + 1).decision, Decision::kAllow);
  clients.join();
  EXPECT_EQ(refused, 5);
}

TEST(Egress, ConnectionsBeyondTheLimitWaitForAFreePlace) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 1024; ++i) clients.push_back(sandbox.connect());
  for (const UniqueFd& client : clients) {
    write_text(client.get(), greeting());
    ASSERT_EQ(read_exactly(client.get(), 2).size(), 2u);
  }
  const UniqueFd next = sandbox.connect();
  write_text(next.get(), greeting());
  pollfd wait{next.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&wait, 1, 200), 0);
  // Another sandbox is not held up.
  const Sandbox other(supervised, {{"localhost", server.port(), true}}, {}, kOtherToken);
  const UniqueFd client = other.connect();
  EXPECT_EQ(ask(client.get(), request("localhost", server.port()), kOtherToken), 0);
  clients.pop_back();
  EXPECT_EQ(read_exactly(next.get(), 2).size(), 2u);
}

TEST(Egress, ANewProcessTakesTheSameListener) {
  TestServer server(echo);
  Supervised supervised;
  const Sandbox sandbox(supervised, {{"localhost", server.port(), true}});
  const UniqueFd open = sandbox.connect();
  ASSERT_EQ(ask(open.get(), request("localhost", server.port())), 0);
  supervised.connection(0);
  const pid_t first = supervised.client.pid();
  ::kill(first, SIGKILL);
  supervised.wait_until([&] { return !supervised.client.running(); });
  EXPECT_FALSE(supervised.client.running());
  EXPECT_EQ(supervised.client.ended(), "signal 9");
  EXPECT_TRUE(has_ended(open.get()));
  EXPECT_EQ(supervised.connection(1).reason, "the egress died");
  EXPECT_EQ(supervised.connection(1).phase, Phase::kClose);

  const UniqueFd waiting = sandbox.connect();  // between the two
  supervised.client.start();
  EXPECT_NE(supervised.client.pid(), first);
  EXPECT_EQ(ask(waiting.get(), request("localhost", server.port())), 0);
}

TEST(Egress, EndsWithItsSupervisor) {
  auto [report_read, report_write] = make_pipe();
  const pid_t supervisor = ::fork();
  if (supervisor == 0) {
    EgressClient client(SHARKCAGE_EGRESS);
    client.start();
    const pid_t pid = client.pid();
    if (::write(report_write.get(), &pid, sizeof pid) != sizeof pid) ::_exit(1);
    ::_exit(0);  // without a word, as if killed
  }
  pid_t egress = 0;
  ASSERT_EQ(::read(report_read.get(), &egress, sizeof egress), static_cast<ssize_t>(sizeof egress));
  ::waitpid(supervisor, nullptr, 0);
  // The pipe's write end was not inherited by the egress; its end is seen in /proc.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  const auto lives = [&] {
    std::ifstream stat("/proc/" + std::to_string(egress) + "/stat");
    std::string id, name, state;
    return (stat >> id >> name >> state) && state != "Z" && state != "X";
  };
  while (lives() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  EXPECT_FALSE(lives());
}

TEST(Egress, RefusesOrdersThatItCouldNotKeep) {
  Supervised supervised;
  EXPECT_THROW(Sandbox(supervised, {{"localhost", 80, true}}, {}, "short"), UserError);
  EXPECT_THROW(Sandbox(supervised, {{"*", 80, true}}), UserError);
  EXPECT_THROW(Sandbox(supervised, {{"a..b", 80, true}}), UserError);
  EXPECT_THROW(Sandbox(supervised, {{"ok.example", 0, true}}), UserError);
  EXPECT_THROW(Sandbox(supervised, {}, {"10.0.0.0/33"}), UserError);
  // A socket that does not listen is the sandbox's fault, and fails that listener only.
  auto pair = make_socketpair(SOCK_STREAM);
  supervised.listen(std::move(pair.first), {{"localhost", 80, true}});
  EXPECT_TRUE(supervised.wait_until([&] {
    return !supervised.events.empty() && std::holds_alternative<Failed>(supervised.events.back());
  }));
  EXPECT_TRUE(supervised.client.running());
}

// Runs a program in the namespace, its standard output returned.
std::string output_of(const Namespace& inside, const std::vector<std::string>& argv, int& status) {
  auto [out_read, out_write] = make_pipe();
  status = inside.run([&out_write = out_write, &argv]() -> int {
    std::vector<char*> arguments;
    for (const std::string& argument : argv)
      arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::dup2(out_write.get(), 1);
    ::execvp(arguments[0], arguments.data());
    return 127;
  });
  out_write.reset();
  return read_fd(out_read.get(), 1u << 20, "curl");
}

TEST(Egress, CurlReachesWhatIsApprovedAndNothingElse) {
  const auto inside = Namespace::make();
  if (!inside) GTEST_SKIP() << "this user may not make a network namespace";
  TestServer server([](int fd) {
    std::string head;
    while (head.find("\r\n\r\n") == std::string::npos) {
      const std::string byte = read_exactly(fd, 1);
      if (byte.empty()) return;
      head += byte;
    }
    write_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsunny\n");
  });
  Supervised supervised;
  supervised.listen(inside->listen_inside(), {{"localhost", server.port(), true}});
  const auto curl = [&](const std::string& token, const std::string& host, int& status) {
    return output_of(
        *inside,
        {"curl", "-s", "-q", "--max-time", "20", "--socks5-hostname", token + ":@127.0.0.1:18800",
         "http://" + host + ":" + std::to_string(server.port()) + "/"},
        status);
  };
  int status = 0;
  const std::string body = curl(kToken, "localhost", status);
  if (status == 127) GTEST_SKIP() << "no curl here";
  EXPECT_EQ(status, 0);
  EXPECT_EQ(body, "sunny\n");
  EXPECT_EQ(curl(kToken, "example.com", status), "");
  EXPECT_EQ(status, 97);  // CURLE_PROXY: refused by the proxy
  EXPECT_EQ(curl(kOtherToken, "localhost", status), "");
  EXPECT_NE(status, 0);
  EXPECT_EQ(server.connections(), 1);
}

}  // namespace
}  // namespace sharkcage::egress::testing
