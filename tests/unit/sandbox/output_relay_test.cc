// The relay of a command's output: complete, in order, counted, and never waiting for its client.
#include "supervisor/sandbox/output_relay.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>

namespace sharkcage::sandbox {
namespace {

constexpr std::uint64_t kNoLimit = UINT64_MAX;

// Moves what can be moved now.
void turn(OutputRelay& relay) {
  for (;;) {
    std::vector<pollfd> events;
    relay.add_to(events);
    if (events.empty() || ::poll(events.data(), events.size(), 0) <= 0) return;
    relay.hear(events);
  }
}

std::string take(int fd, std::size_t most) {
  std::string text(most, '\0');
  const ssize_t got = ::read(fd, text.data(), most);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

// Writes `text` through `relay` to `client` in pieces of `piece` bytes, reading slowly at the other
// end, and returns what came.
std::string through(OutputRelay& relay, UniqueFd command, int client, const std::string& text,
                    std::size_t piece) {
  std::thread writer([&, end = std::move(command)] {
    for (std::size_t at = 0; at < text.size(); at += piece) {
      write_all(end.get(), std::string_view(text).substr(at, piece));
    }
  });
  ::fcntl(client, F_SETFL, O_NONBLOCK);
  std::string got;
  while (relay.open() || got.size() < text.size()) {
    turn(relay);
    got += take(client, 1000);
  }
  writer.join();
  return got;
}

std::string numbers(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += std::to_string(i) + '\n';
  return text;
}

struct Pipes {
  Pipes() {
    std::tie(out, client_out) = make_pipe();
    std::tie(err, client_err) = make_pipe();
  }
  UniqueFd out, err, client_out, client_err;
};

TEST(OutputRelayTest, BringsEverythingToAPipe) {
  Pipes pipes;
  OutputRelay relay(std::move(pipes.client_out), std::move(pipes.client_err), kNoLimit);
  auto [out, err] = relay.take_ends();
  err.reset();
  const std::string text = numbers(50'000);
  EXPECT_EQ(through(relay, std::move(out), pipes.out.get(), text, 7), text);
}

// poll(2) may tell of a pipe whose last writer wrote and went while it looked that it is hung up,
// and not that there is something in it.
TEST(OutputRelayTest, BringsWhatCameWithTheEnd) {
  Pipes pipes;
  OutputRelay relay(std::move(pipes.client_out), std::move(pipes.client_err), kNoLimit);
  std::vector<pollfd> events;
  relay.add_to(events);
  auto [out, err] = relay.take_ends();
  write_all(out.get(), "last words");
  out.reset();
  ASSERT_GT(::poll(events.data(), events.size(), 0), 0);
  for (pollfd& event : events) event.revents = static_cast<short>(event.revents & ~POLLIN);
  relay.hear(events);
  EXPECT_EQ(take(pipes.out.get(), 100), "last words");
  turn(relay);
  EXPECT_EQ(take(pipes.out.get(), 100), "") << "the end of the stream";
  err.reset();
  turn(relay);
  EXPECT_FALSE(relay.open());
}

TEST(OutputRelayTest, BringsEverythingToASocket) {
  auto [ours, clients] = make_socketpair(SOCK_STREAM);
  Pipes pipes;
  OutputRelay relay(std::move(clients), std::move(pipes.client_err), kNoLimit);
  auto [out, err] = relay.take_ends();
  err.reset();
  const std::string text = numbers(100'000);
  EXPECT_EQ(through(relay, std::move(out), ours.get(), text, 4096), text);
}

// Whoever has no right to open the client's pipe anew.
TEST(OutputRelayTest, BringsEverythingToAPipeOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  Pipes pipes;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresgid(23456, 23456, 23456) != 0 || ::setresuid(23456, 23456, 23456) != 0) ::_exit(2);
    OutputRelay relay(std::move(pipes.client_out), std::move(pipes.client_err), kNoLimit);
    auto [out, err] = relay.take_ends();
    err.reset();
    const std::string text = numbers(20'000);
    ::_exit(through(relay, std::move(out), pipes.out.get(), text, 5) == text ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(OutputRelayTest, KeepsTheOrderOfStreamsThatAreOneFile) {
  Pipes pipes;
  UniqueFd same(::fcntl(pipes.client_out.get(), F_DUPFD_CLOEXEC, 0));
  OutputRelay relay(std::move(pipes.client_out), std::move(same), kNoLimit);
  const auto [out, err] = relay.take_ends();
  for (int i = 0; i < 10; ++i) {
    write_all(out.get(), "o");
    write_all(err.get(), "e");
  }
  turn(relay);
  EXPECT_EQ(take(pipes.out.get(), 100), "oeoeoeoeoeoeoeoeoeoe");
}

TEST(OutputRelayTest, HoldsWhatTheClientDoesNotRead) {
  Pipes pipes;
  OutputRelay relay(std::move(pipes.client_out), std::move(pipes.client_err), kNoLimit);
  const auto [out, err] = relay.take_ends();
  ASSERT_EQ(::fcntl(out.get(), F_SETFL, O_NONBLOCK), 0);
  const std::string block(65536, 'x');
  std::size_t written = 0;
  for (ssize_t got; (got = ::write(out.get(), block.data(), block.size())) > 0; turn(relay)) {
    written += static_cast<std::size_t>(got);
  }
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_LE(written, 4u * 65536);
  relay.note_end();
  EXPECT_FALSE(relay.drained());
  std::size_t read = 0;
  while (read < written) {
    read += take(pipes.out.get(), 65536).size();
    turn(relay);
  }
  EXPECT_TRUE(relay.drained());
}

// A client may wait for the end of a command before it reads what fits a pipe.
TEST(OutputRelayTest, TakesManyShortLinesWithoutAReader) {
  Pipes pipes;
  OutputRelay relay(std::move(pipes.client_out), std::move(pipes.client_err), kNoLimit);
  const auto [out, err] = relay.take_ends();
  for (int i = 0; i < 10'000; ++i) {
    write_all(out.get(), "line\n");
    turn(relay);
  }
  relay.note_end();
  EXPECT_TRUE(relay.drained());
}

TEST(OutputRelayTest, TellsTheCommandThatNobodyReads) {
  Pipes pipes;
  OutputRelay relay(std::move(pipes.client_out), std::move(pipes.client_err), kNoLimit);
  const auto [out, err] = relay.take_ends();
  pipes.out.reset();
  turn(relay);
  ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(::write(out.get(), "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(::write(err.get(), "x", 1), 1);
}

TEST(OutputRelayTest, TellsTheClientOfTheEnd) {
  Pipes pipes;
  OutputRelay relay(std::move(pipes.client_out), std::move(pipes.client_err), kNoLimit);
  auto [out, err] = relay.take_ends();
  out.reset();
  turn(relay);
  EXPECT_EQ(take(pipes.out.get(), 1), "");
  EXPECT_TRUE(relay.open()) << "the other one";
}

// A server that a command left behind goes on writing its log.
TEST(OutputRelayTest, LetsGoOfTheClientAndTakesWhatIsStillWritten) {
  Pipes pipes;
  OutputRelay relay(std::move(pipes.client_out), std::move(pipes.client_err), 1 << 20);
  const auto [out, err] = relay.take_ends();
  write_all(out.get(), "before");
  relay.note_end();
  ASSERT_TRUE(relay.drained());
  relay.let_go();
  EXPECT_EQ(take(pipes.out.get(), 100), "before");
  EXPECT_EQ(take(pipes.out.get(), 100), "") << "not at its end";
  EXPECT_EQ(take(pipes.err.get(), 100), "") << "not at its end";
  const std::string line(4096, 'x');
  ::signal(SIGPIPE, SIG_IGN);
  for (int i = 0; i < 200; ++i) {  // more than a pipe holds
    ASSERT_EQ(::write(i % 2 == 0 ? out.get() : err.get(), line.data(), line.size()), 4096);
    turn(relay);
  }
  EXPECT_TRUE(relay.open());
  EXPECT_TRUE(relay.drained());
  for (int i = 0; i < 100 && !relay.over_limit(); ++i) {
    if (::write(out.get(), line.data(), line.size()) < 0) break;
    turn(relay);
  }
  EXPECT_TRUE(relay.over_limit()) << "it counts";
  EXPECT_TRUE(relay.open()) << "whoever is to be killed is not told before";
  relay.refuse_more();
  EXPECT_FALSE(relay.open());
}

TEST(OutputRelayTest, BringsTheLimitAndNoMore) {
  Pipes pipes;
  OutputRelay relay(std::move(pipes.client_out), std::move(pipes.client_err), 10);
  const auto [out, err] = relay.take_ends();
  write_all(out.get(), "12345678");
  turn(relay);
  EXPECT_FALSE(relay.over_limit());
  write_all(err.get(), "abcd");
  turn(relay);
  EXPECT_TRUE(relay.over_limit());
  relay.refuse_more();
  EXPECT_EQ(take(pipes.out.get(), 100) + take(pipes.err.get(), 100), "12345678ab");
}

}  // namespace
}  // namespace sharkcage::sandbox
