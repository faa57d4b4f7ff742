// Many at once, and many that come to nothing: the real process, in bounded memory, telling all.

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iostream>
#include <set>
#include <string>
#include <thread>

#include "common/errors.h"
#include "supervisor/egress/refusals.h"
#include "support.h"

namespace sharkcage::egress::testing {
namespace {

constexpr std::uint16_t kAnyPort = 443;

// What an idle connection may hold, in kB; what a sanitizer keeps of freed memory beside it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr long kAConnection = 120;
constexpr long kOthers = 256 << 10;
#else
constexpr long kAConnection = 10;
constexpr long kOthers = 4096;
#endif

struct Sandbox {
  Sandbox(Supervised& supervised, std::vector<HostRule> hosts) {
    Listening listening = listen_on();
    port = listening.port;
    id = supervised.listen(std::move(listening.socket), std::move(hosts));
  }
  UniqueFd connect() const { return connect_to("127.0.0.1", port); }
  std::uint16_t port = 0;
  std::uint64_t id = 0;
};

// All of a handshake at once; returns when the egress has refused it.
void attempt(const Sandbox& sandbox, const std::string& host) {
  const UniqueFd client = sandbox.connect();
  write_text(client.get(), greeting() + authentication(kToken) + request(host, kAnyPort));
  read_all(client.get());
}

std::vector<Connection> refused(const Supervised& supervised) {
  std::vector<Connection> out;
  for (const Event& event : supervised.events) {
    const auto* connection = std::get_if<Connection>(&event);
    if (connection != nullptr && dialled_nothing(*connection)) out.push_back(*connection);
  }
  return out;
}

std::uint64_t sum(const std::vector<Connection>& events) {
  std::uint64_t all = 0;
  for (const Connection& event : events) all += event.count;
  return all;
}

// `host(i)` for each of so many attempts, by a few clients at once.
template <class Host>
void attempt_many(Supervised& supervised, const Sandbox& sandbox, int attempts, const Host& host) {
  constexpr int kClients = 4;
  std::atomic<int> next{0};
  std::atomic<int> left{kClients};
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      for (int n = next++; n < attempts; n = next++) attempt(sandbox, host(n));
      --left;
    });
  }
  while (left > 0) {
    pollfd wait{supervised.client.fd(), POLLIN, 0};
    ::poll(&wait, 1, 50);
    supervised.pump();
  }
  for (std::thread& client : clients) client.join();
}

TEST(EgressLoad, AHundredThousandRefusalsAreFewEventsAndNoneIsLost) {
  Supervised supervised;
  const Sandbox sandbox(supervised, {});
  constexpr int kAttempts = 100'000;
  constexpr std::size_t kKinds = 4;
  attempt_many(supervised, sandbox, kAttempts,
               [](int i) { return std::to_string(i % int{kKinds}) + ".evil.example"; });
  supervised.client.close(sandbox.id);
  ASSERT_TRUE(supervised.wait_for_closed(sandbox.id));
  const auto events = refused(supervised);
  EXPECT_EQ(sum(events), static_cast<std::uint64_t>(kAttempts));
  // At once, after 5, 15, 35, 75, 155 … seconds, and at the end.
  EXPECT_LE(events.size(), kKinds * 10);
  std::set<std::string> hosts;
  for (const Connection& event : events) {
    EXPECT_EQ(event.call, "call-1");
    EXPECT_EQ(event.reason, "the host is not approved");
    EXPECT_GT(event.first_us, 0);
    hosts.insert(event.host);
  }
  EXPECT_EQ(hosts.size(), kKinds);
}

TEST(EgressLoad, ManyDifferentNamesAreFewEventsAndNoneIsLost) {
  Supervised supervised;
  const Sandbox sandbox(supervised, {});
  constexpr int kAttempts = 20'000;
  attempt_many(supervised, sandbox, kAttempts,
               [](int i) { return "n" + std::to_string(i) + ".evil.example"; });
  supervised.client.close(sandbox.id);
  ASSERT_TRUE(supervised.wait_for_closed(sandbox.id));
  const auto events = refused(supervised);
  EXPECT_EQ(sum(events), static_cast<std::uint64_t>(kAttempts));
  EXPECT_LE(events.size(), Refusals::kMaxDistinct + 10);
}

TEST(EgressLoad, WhatWasCountedIsToldWhenTheCallEnds) {
  Supervised supervised;
  const Sandbox sandbox(supervised, {});
  for (int i = 0; i < 3; ++i) attempt(sandbox, "evil.example");
  supervised.client.dismiss(sandbox.id, "call-1");
  EXPECT_EQ(supervised.connection(0).count, 1u);
  EXPECT_EQ(supervised.connection(1).count, 2u);
  EXPECT_EQ(supervised.connection(1).host, "evil.example");
}

TEST(EgressLoad, WhatAKilledEgressHadCountedIsKnownByNumber) {
  Supervised supervised;
  const Sandbox sandbox(supervised, {});
  for (int i = 0; i < 10; ++i) attempt(sandbox, "evil.example");
  ::kill(supervised.client.pid(), SIGKILL);
  supervised.wait_until([&] { return !supervised.client.running(); });
  const auto events = refused(supervised);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].count, 1u);
  EXPECT_EQ(events[1].count, 9u);
  EXPECT_EQ(events[1].call, "call-1");
  EXPECT_EQ(events[1].session, "session-1");
  EXPECT_EQ(events[1].decision, Decision::kBlock);
  EXPECT_EQ(events[1].reason, "refused attempts that the egress had not told yet when it died");
  // The next one begins at zero.
  supervised.client.start();
  attempt(sandbox, "evil.example");
  supervised.client.stop();
  supervised.pump();
  EXPECT_EQ(sum(refused(supervised)), 11u);
}

// How many connections this process's descriptors allow, of those wanted: each has two ends here
// and two in the egress, where a sandbox has no more than it leaves to others.
constexpr int kInASandbox = 1000;

int affordable(int wanted) {
  constexpr rlim_t kMore = 600;
  const rlimit enough{65536, 65536};
  rlimit limit{};
  if (::setrlimit(RLIMIT_NOFILE, &enough) != 0) {
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("setrlimit");
  }
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const rlim_t all = limit.rlim_cur > kMore ? (limit.rlim_cur - kMore) / 2 : 0;
  const rlim_t most = all - std::min<rlim_t>(all / 2, kInASandbox);
  return static_cast<int>(std::min(most, static_cast<rlim_t>(wanted)));
}

long resident_kilobytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; file >> word;) {
    long value = 0;
    if (word == "VmRSS:" && file >> value) return value;
  }
  throw UserError("/proc says nothing of the egress's memory");
}

// Connections through several sandboxes' listeners to one server, both ends in this process.
class Crowd {
 public:
  explicit Crowd(Supervised& supervised) : supervised_(supervised), server_(listen_on()) {}

  struct Pair {
    UniqueFd client;
    UniqueFd server;
  };

  // The n-th connection, of the sandbox whose turn it is.
  Pair connect(int n) {
    while (static_cast<std::size_t>(n / kInASandbox) >= sandboxes_.size()) {
      sandboxes_.emplace_back(supervised_,
                              std::vector<HostRule>{{"127.0.0.1", server_.port, true}});
    }
    Pair pair;
    pair.client = sandbox(n).connect();
    EXPECT_EQ(ask(pair.client.get(), request_v4("127.0.0.1", server_.port)), 0) << n;
    pair.server = accept_one(server_.socket.get());
    supervised_.pump();
    return pair;
  }
  const Sandbox& sandbox(int n) const {
    return sandboxes_.at(static_cast<std::size_t>(n / kInASandbox));
  }

 private:
  Supervised& supervised_;
  Listening server_;
  std::vector<Sandbox> sandboxes_;
};

void expect_exchange(const Crowd::Pair& pair, const std::string& text) {
  write_text(pair.client.get(), text);
  EXPECT_EQ(read_exactly(pair.server.get(), text.size()), text);
  write_text(pair.server.get(), text);
  EXPECT_EQ(read_exactly(pair.client.get(), text.size()), text);
}

TEST(EgressLoad, TenThousandIdleConnectionsHoldLittleMemoryAndLeaveNone) {
  const int count = affordable(10'000);
  ASSERT_GE(count, 100) << "this user may have too few descriptors";
  Supervised supervised;
  Crowd crowd(supervised);
  expect_exchange(crowd.connect(0), "first");
  const long before = resident_kilobytes(supervised.client.pid());
  long first_wave = 0;
  for (int wave = 0; wave < 3; ++wave) {
    std::vector<Crowd::Pair> pairs;
    for (int i = 0; i < count; ++i) pairs.push_back(crowd.connect(i));
    // Each has carried something and is idle now.
    for (const Crowd::Pair& pair : pairs) expect_exchange(pair, "some bytes");
    const long grown = resident_kilobytes(supervised.client.pid()) - before;
    std::cout << "wave " << wave << ": " << grown << " kB for " << count << " connections\n";
    EXPECT_LE(grown, kOthers + count * kAConnection) << "kB of " << count << " connections";
    if (wave == 0) first_wave = grown;
    EXPECT_LE(grown, first_wave + first_wave / 10 + kOthers) << "the waves before left something";
    const std::size_t first = static_cast<std::size_t>(wave) * static_cast<std::size_t>(count);
    pairs.clear();
    ASSERT_TRUE(supervised.wait_until([&] {
      return static_cast<std::size_t>(std::count_if(
                 supervised.events.begin(), supervised.events.end(), [](const Event& event) {
                   const auto* connection = std::get_if<Connection>(&event);
                   return connection != nullptr && connection->phase == Phase::kClose;
                 })) > first + static_cast<std::size_t>(count) - 1;
    })) << "wave "
        << wave;
  }
}

TEST(EgressLoad, AThousandActiveConnectionsAndManyBadOnesHoldNobodyUp) {
  const int count = affordable(1'500) * 2 / 3;
  ASSERT_GE(count, 60) << "this user may have too few descriptors";
  Supervised supervised;
  Crowd crowd(supervised);
  Crowd others(supervised);  // another sandbox
  const Crowd::Pair watched = others.connect(0);
  expect_exchange(watched, "before");
  const long before = resident_kilobytes(supervised.client.pid());

  std::vector<Crowd::Pair> pairs;
  for (int i = 0; i < count; ++i) pairs.push_back(crowd.connect(i));
  // Clients that never speak, in the same sandbox as the last of these.
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(crowd.sandbox(count - 1).connect());
  // A tenth are slow: their servers write as much as is taken, and nobody reads.
  const std::string block(64u << 10, 'b');
  const int slow = count / 10;
  for (int i = 0; i < slow; ++i) {
    const int server = pairs[static_cast<std::size_t>(i)].server.get();
    while (::send(server, block.data(), block.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) continue;
  }
  expect_exchange(watched, "beside slow readers");
  // A tenth have ended their half; the other half still carries.
  for (int i = slow; i < 2 * slow; ++i) {
    const Crowd::Pair& pair = pairs[static_cast<std::size_t>(i)];
    ::shutdown(pair.client.get(), SHUT_WR);
    EXPECT_TRUE(has_ended(pair.server.get()));
  }
  // The others are active at once: all have sent before any is answered.
  const std::string message(4096, 'm');
  for (int round = 0; round < 3; ++round) {
    for (int i = 2 * slow; i < count; ++i) {
      write_text(pairs[static_cast<std::size_t>(i)].client.get(), message);
    }
    for (int i = 2 * slow; i < count; ++i) {
      const Crowd::Pair& pair = pairs[static_cast<std::size_t>(i)];
      ASSERT_EQ(read_exactly(pair.server.get(), message.size()), message);
      write_text(pair.server.get(), message);
    }
    for (int i = 2 * slow; i < count; ++i) {
      ASSERT_EQ(read_exactly(pairs[static_cast<std::size_t>(i)].client.get(), message.size()),
                message);
    }
    expect_exchange(watched, "round " + std::to_string(round));
  }
  for (int i = slow; i < 2 * slow; ++i) {
    const Crowd::Pair& pair = pairs[static_cast<std::size_t>(i)];
    write_text(pair.server.get(), "late");
    EXPECT_EQ(read_exactly(pair.client.get(), 4), "late");
  }
  // What slow readers did not take: at most a block each (relay.h).
  const long grown = resident_kilobytes(supervised.client.pid()) - before;
  std::cout << grown << " kB for " << count << " connections, " << slow << " of them slow\n";
  EXPECT_LE(grown, kOthers + slow * 80L + count * kAConnection);
  expect_exchange(crowd.connect(0), "new ones are served too");
}

}  // namespace
}  // namespace sharkcage::egress::testing
