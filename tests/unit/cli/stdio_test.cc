// The streams of a sandboxed command, against a supervisor's end of the protocol: a socket pair
// whose other side this test holds. Each attempt runs in a child, since it judges descriptors 0, 1
// and 2.
#include "cli/stdio.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "common/errors.h"

namespace sharkcage::cli {
namespace {

constexpr int kPatienceMs = 20'000;

// Waits until there is something to read, so that a test that would hang fails instead.
bool readable(int fd) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, kPatienceMs) > 0;
}

std::string read_to_end(int fd) {
  std::string text;
  char block[65536];
  while (readable(fd)) {
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got <= 0) break;
    text.append(block, static_cast<std::size_t>(got));
  }
  return text;
}

// The supervisor's side of one connection.
class Server {
 public:
  explicit Server(UniqueFd socket) : socket_(std::move(socket)) {}

  // The next request; descriptors that came with it are in `fds`.
  Json request() {
    char block[65536];
    for (;;) {
      if (auto line = lines_.next()) return Json::parse(*line);
      if (!readable(socket_.get())) return Json();
      const ssize_t got = recv_with_fds(socket_.get(), block, sizeof block, fds);
      if (got <= 0) return Json();
      lines_.append({block, static_cast<std::size_t>(got)});
    }
  }
  void send(const Json& message, std::vector<int> attached = {}) {
    const std::string line = message.dump() + '\n';
    ASSERT_EQ(send_with_fds(socket_.get(), line, attached), static_cast<ssize_t>(line.size()));
  }
  void accept() { send(rpc::response(request()["id"], {{"call", "c1"}})); }
  void exit_with(Json params) {
    params["call"] = "c1";
    send(rpc::notification("exec.exit", std::move(params)));
  }
  void hang_up() { socket_.reset(); }

  std::vector<UniqueFd> fds;

 private:
  UniqueFd socket_;
  rpc::LineReader lines_;
};

// A process that runs the client's side: its streams are set up by `streams`, which runs in it.
class ClientProcess {
 public:
  explicit ClientProcess(const std::function<void()>& streams, bool terminal = false) {
    auto [ours, theirs] = make_socketpair(SOCK_STREAM);
    pid_ = ::fork();
    if (pid_ == 0) {
      ours.reset();
      streams();
      ::_exit(run(std::move(theirs), terminal));
    }
    server.emplace(std::move(ours));
  }
  ~ClientProcess() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  pid_t pid() const { return pid_; }
  // Its exit status; -1 when it did not end in time.
  int wait() {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!readable(process.get())) return -1;
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  std::optional<Server> server;

 private:
  static int run(UniqueFd socket, bool terminal) {
    try {
      rpc::Client client(std::move(socket));
      Stdio stdio(terminal);
      const Json answer = client.call("exec.open", Json::object(), stdio.to_pass());
      return stdio.attend(client, answer["call"].get<std::string>()).status;
    } catch (const UserError&) {
      return 77;
    }
  }
  pid_t pid_ = -1;
};

void put(int fd, int as) {
  if (::dup2(fd, as) < 0) ::_exit(99);
}

int temporary_file(std::string_view content) {
  char name[] = "/tmp/sharkcage-stdio-XXXXXX";
  const int fd = ::mkstemp(name);
  ::unlink(name);
  write_all(fd, content);
  ::lseek(fd, 0, SEEK_SET);
  return fd;
}

bool same_file(int a, int b) {
  struct stat first {};
  struct stat second {};
  return ::fstat(a, &first) == 0 && ::fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

TEST(Stdio, PassesPipesAndUnixSocketsOnAsTheyAre) {
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  auto [err_ours, err_theirs] = make_socketpair(SOCK_STREAM);
  ClientProcess client([&] {
    put(in_read.get(), 0);
    put(out_write.get(), 1);
    put(err_theirs.get(), 2);
  });
  client.server->accept();
  ASSERT_EQ(client.server->fds.size(), 3u);
  EXPECT_TRUE(same_file(client.server->fds[0].get(), in_read.get()));
  EXPECT_TRUE(same_file(client.server->fds[1].get(), out_write.get()));
  EXPECT_TRUE(same_file(client.server->fds[2].get(), err_theirs.get()));
  client.server->exit_with({{"exit", 7}});
  EXPECT_EQ(client.wait(), 7);
}

TEST(Stdio, NeverPassesAFileADeviceOrAnInternetSocket) {
  const UniqueFd file(temporary_file("from the file"));
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd internet(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ClientProcess client([&] {
    put(file.get(), 0);
    put(null.get(), 1);
    put(internet.get(), 2);
  });
  client.server->accept();
  ASSERT_EQ(client.server->fds.size(), 3u);
  for (const UniqueFd& fd : client.server->fds) {
    struct stat status {};
    ASSERT_EQ(::fstat(fd.get(), &status), 0);
    EXPECT_TRUE(S_ISFIFO(status.st_mode)) << "a descriptor that is no pipe was passed";
  }
  EXPECT_EQ(read_to_end(client.server->fds[0].get()), "from the file");
  client.server->exit_with({{"exit", 0}});
  EXPECT_EQ(client.wait(), 0);
}

TEST(Stdio, RelaysAllOutputThatWasWrittenBeforeTheExit) {
  const UniqueFd out(temporary_file(""));
  auto [in_read, in_write] = make_pipe();
  ClientProcess client([&] {
    put(in_read.get(), 0);
    put(out.get(), 1);
    put(out.get(), 2);
  });
  client.server->accept();
  ASSERT_EQ(client.server->fds.size(), 3u);
  std::string expected(300'000, 'x');
  expected += "the end";
  write_all(client.server->fds[1].get(), expected);
  // The write end stays open, as a process that the command left behind would keep it.
  client.server->exit_with({{"exit", 0}});
  EXPECT_EQ(client.wait(), 0);
  ::lseek(out.get(), 0, SEEK_SET);
  EXPECT_EQ(read_fd(out.get(), 1u << 20, "output"), expected);
}

TEST(Stdio, GivesTheEndOfFileOfAPassedPipeToTheCommandAlone) {
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  ClientProcess client([&] {
    put(in_read.get(), 0);
    put(out_write.get(), 1);
    put(out_write.get(), 2);
    in_read.reset();
  });
  client.server->accept();
  in_read.reset();
  // The command closes its stdin: whoever writes to it must learn of it while the call goes on.
  client.server->fds.clear();
  pollfd writer{in_write.get(), 0, 0};
  const bool broken = ::poll(&writer, 1, kPatienceMs) > 0 && (writer.revents & POLLERR) != 0;
  EXPECT_TRUE(broken) << "the client kept the read end of its stdin";
  client.server->exit_with({{"exit", 0}});
  EXPECT_EQ(client.wait(), 0);
}

TEST(Stdio, TreatsClosedStreamsAsNull) {
  ClientProcess client([] {
    ::close(0);
    ::close(1);
    ::close(2);
  });
  client.server->accept();
  ASSERT_EQ(client.server->fds.size(), 3u);
  EXPECT_EQ(read_to_end(client.server->fds[0].get()), "");
  client.server->exit_with({{"exit", 3}});
  EXPECT_EQ(client.wait(), 3);
}

TEST(Stdio, RefusesDirectoriesAndPathDescriptors) {
  for (const int flags : {O_RDONLY | O_DIRECTORY, O_PATH}) {
    const UniqueFd odd(::open("/", flags | O_CLOEXEC));
    ClientProcess client([&] { put(odd.get(), 0); });
    EXPECT_EQ(client.wait(), 77);
  }
}

TEST(Stdio, ForwardsSignals) {
  const UniqueFd file(temporary_file("x"));
  ClientProcess client([&] { put(file.get(), 0); });
  client.server->accept();
  // Once it relays it has its signals blocked: before that, SIGTERM would just end it.
  ASSERT_EQ(read_to_end(client.server->fds[0].get()), "x");
  ASSERT_EQ(::kill(client.pid(), SIGTERM), 0);
  const Json request = client.server->request();
  EXPECT_EQ(request.value("method", ""), "exec.signal");
  EXPECT_EQ(request["params"]["signal"], SIGTERM);
  client.server->send(rpc::response(request["id"], Json::object()));
  client.server->exit_with({{"signal", SIGTERM}});
  EXPECT_EQ(client.wait(), 128 + SIGTERM);
}

TEST(Stdio, SaysWhenTheSupervisorIsGone) {
  ClientProcess client([] {});
  client.server->accept();
  client.server->hang_up();
  EXPECT_EQ(client.wait(), kSandboxFailed);
}

TEST(Stdio, MapsEndingsToTheContractsStatuses) {
  const std::pair<Json, int> endings[] = {
      {{{"exit", 0}}, 0},
      {{{"signal", SIGKILL}, {"reason", "wall"}}, kTimeLimit},
      {{{"exit", 125}, {"reason", "sandbox"}, {"message", "no"}}, kSandboxFailed},
      {{{"signal", SIGKILL}, {"reason", "supervisor"}}, kSandboxFailed},
      {{{"signal", SIGKILL}, {"reason", "cancelled"}}, 128 + SIGKILL},
      {Json::object(), kSandboxFailed},
  };
  for (const auto& [params, status] : endings) {
    ClientProcess client([] {});
    client.server->accept();
    client.server->exit_with(params);
    EXPECT_EQ(client.wait(), status) << params.dump();
  }
  EXPECT_EQ(ending_of({rpc::kBlocked, "no", nullptr}).status, kBlocked);
  EXPECT_EQ(ending_of({rpc::kSandboxFailed, "no", nullptr}).status, kSandboxFailed);
  EXPECT_EQ(ending_of({rpc::kUnavailable, "no", nullptr}).status, kSandboxFailed);
}

TEST(Stdio, IgnoresOtherCalls) {
  ClientProcess client([] {});
  client.server->accept();
  client.server->send(rpc::notification("exec.exit", {{"call", "c2"}, {"exit", 1}}));
  client.server->exit_with({{"exit", 4}});
  EXPECT_EQ(client.wait(), 4);
}

// Two pseudo terminals: the person's and the command's.
struct Pty {
  UniqueFd master;
  UniqueFd slave;
  Pty() {
    int first = -1;
    int second = -1;
    winsize size{40, 100, 0, 0};
    if (::openpty(&first, &second, nullptr, nullptr, &size) != 0) throw_errno("openpty");
    master.reset(first);
    slave.reset(second);
  }
};

TEST(Stdio, RelaysATerminalAndRestoresIt) {
  Pty person;
  Pty command;
  termios before{};
  ASSERT_EQ(::tcgetattr(person.slave.get(), &before), 0);
  ClientProcess client(
      [&] {
        for (int fd = 0; fd < 3; ++fd) put(person.slave.get(), fd);
      },
      true);
  client.server->accept();
  EXPECT_TRUE(client.server->fds.empty()) << "with a terminal nothing is passed";
  client.server->send(rpc::notification("exec.started", {{"call", "c1"}}), {command.master.get()});

  write_all(command.slave.get(), "hello from the command\n");
  std::string shown;
  char block[4096];
  while (shown.find("command\r\n") == std::string::npos && readable(person.master.get())) {
    const ssize_t got = ::read(person.master.get(), block, sizeof block);
    if (got <= 0) break;
    shown.append(block, static_cast<std::size_t>(got));
  }
  EXPECT_NE(shown.find("hello from the command"), std::string::npos);

  termios during{};
  ASSERT_EQ(::tcgetattr(person.slave.get(), &during), 0);
  EXPECT_EQ(during.c_lflag & static_cast<tcflag_t>(ICANON | ECHO | ISIG), 0u) << "not in raw mode";

  write_all(person.master.get(), "typed\r");
  ASSERT_TRUE(readable(command.slave.get()));
  const ssize_t got = ::read(command.slave.get(), block, sizeof block);
  EXPECT_EQ(std::string(block, static_cast<std::size_t>(got)), "typed\n");

  winsize larger{50, 120, 0, 0};
  ASSERT_EQ(::ioctl(person.slave.get(), TIOCSWINSZ, &larger), 0);
  ASSERT_EQ(::kill(client.pid(), SIGWINCH), 0);
  const Json resize = client.server->request();
  EXPECT_EQ(resize.value("method", ""), "exec.resize");
  EXPECT_EQ(resize["params"], Json({{"call", "c1"}, {"rows", 50}, {"columns", 120}}));

  client.server->exit_with({{"exit", 0}});
  EXPECT_EQ(client.wait(), 0);
  termios after{};
  ASSERT_EQ(::tcgetattr(person.slave.get(), &after), 0);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  EXPECT_EQ(after.c_iflag, before.c_iflag);
}

}  // namespace
}  // namespace sharkcage::cli
