// sc-exec, the small program that a host spawns, and what it becomes where it does not do:
// sc-attend.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "common/errors.h"
#include "tests/integration/host.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

class Exec : public ::testing::Test {
 protected:
  Process spawn(const std::string& command) {
    return instance_.spawn("sc-exec", {},
                           {{"SHARKCAGE_TICKET", Host(instance_).ticket_for(command)}});
  }
  std::string program_of(const Process& client) {
    return std::filesystem::read_symlink("/proc/" + std::to_string(client.pid()) + "/exe")
        .filename();
  }

  Instance instance_;
};

TEST_F(Exec, EndsWithTheCommandsStatus) {
  instance_.start();
  for (const int status : {0, 1, 2, 99, 124, 125, 126, 127, 128, 255}) {
    const Output output =
        spawn("printf out; printf err >&2; exit " + std::to_string(status)).finish();
    EXPECT_EQ(output.status, status);
    EXPECT_EQ(output.out, "out");
    EXPECT_EQ(output.err, "err");
  }
}

TEST_F(Exec, EndsAsACommandDoesThatWasKilledOrRefusedSomething) {
  instance_.start();
  EXPECT_EQ(spawn("kill -KILL $$").finish().status, 128 + SIGKILL);
  EXPECT_EQ(spawn("kill -TERM $$").finish().status, 128 + SIGTERM);
  EXPECT_EQ(spawn("cat /etc/shadow 2>&-; exit 3").finish().status, 3);
}

TEST_F(Exec, PassesSignalsOn) {
  instance_.start();
  Process client = spawn(
      "trap 'echo one' USR1; trap 'echo two' HUP; trap 'echo three; exit 9' TERM; echo ready; "
      "while :; do sleep 0.01; done");
  client.wait_for("ready");
  EXPECT_EQ(program_of(client), "sc-exec");
  client.signal(SIGUSR1);
  client.wait_for("one");
  EXPECT_EQ(program_of(client), "sc-attend");
  client.signal(SIGHUP);
  client.wait_for("two");
  client.signal(SIGTERM);
  const Output output = client.finish();
  EXPECT_THAT(output.out, HasSubstr("three"));
  EXPECT_EQ(output.status, 9);
}

// Whichever of the two programs it meets, and in whatever state.
TEST_F(Exec, LosesNoSignal) {
  instance_.start();
  Host host(instance_);
  for (int i = 0; i < 40; ++i) {
    Process client =
        instance_.spawn("sc-exec", {},
                        {{"SHARKCAGE_TICKET", host.ticket_for("trap 'exit 9' TERM; echo ready; "
                                                              "while :; do sleep 0.01; done")}});
    client.wait_for("ready");
    client.signal(SIGTERM);
    EXPECT_EQ(client.finish().status, 9) << i;
  }
}

TEST_F(Exec, SaysWhyACommandWasEnded) {
  instance_.configure(R"({"limits": {"wall": "1s"}})");
  instance_.start();
  const Output output = spawn("echo out; sleep 100000").finish();
  EXPECT_EQ(output.status, 124);
  EXPECT_EQ(output.out, "out\n");
  EXPECT_THAT(output.err, HasSubstr("time limit"));
}

TEST_F(Exec, SaysThatTheSupervisorIsGone) {
  instance_.start();
  Process client = spawn("echo ready; sleep 100000");
  client.wait_for("ready");
  instance_.kill();
  const Output output = client.finish();
  EXPECT_EQ(output.status, 125);
  EXPECT_THAT(output.err, HasSubstr("connection"));
}

TEST_F(Exec, SaysThatThereIsNoSupervisor) {
  const Output output = instance_.spawn("sc-exec", {}, {{"SHARKCAGE_TICKET", "0123"}}).finish();
  EXPECT_EQ(output.status, 125);
  EXPECT_THAT(output.err, HasSubstr("sc start"));
}

TEST_F(Exec, TakesAnyKindOfStream) {
  instance_.start();
  write_text(instance_.root() + "/in", "from a file");
  const auto run = [&](const std::string& command, const std::string& streams) {
    return instance_.shell("sc-exec " + streams,
                           {{"SHARKCAGE_TICKET", Host(instance_).ticket_for(command)},
                            {"IN", instance_.root() + "/in"},
                            {"OUT", instance_.root() + "/out"}});
  };
  EXPECT_EQ(run("cat; echo end", "</dev/null").out, "end\n");
  EXPECT_EQ(run("cat; echo end", "<&-").out, "end\n");
  EXPECT_EQ(run("cat", "<$IN >$OUT; cat $OUT").out, "from a file");
  EXPECT_EQ(run("echo x; echo y >&2", "2>&1 | tr xy ab").out, "a\nb\n");
  EXPECT_EQ(run("echo x", ">/dev/full").status, 0);
  EXPECT_EQ(run("seq 100000 | tail -1", "| cat").out, "100000\n");
  EXPECT_EQ(run("exit 5", ">&- 2>&-").status, 5);
}

TEST_F(Exec, ForgetsItsTicket) {
  instance_.start();
  const std::string ticket = Host(instance_).ticket_for("echo ready; sleep 100000");
  Process client = instance_.spawn("sc-exec", {}, {{"SHARKCAGE_TICKET", ticket}});
  client.wait_for("ready");
  const std::string place = "/proc/" + std::to_string(client.pid());
  const auto environment = [&] {
    const UniqueFd file(::open((place + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
    return read_fd(file.get(), 1u << 20, "environ");
  };
  // As soon as the ticket is sent, which may be after the command has begun.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (environment().find(ticket) != std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), end);
    ::sched_yield();
  }
  client.signal(SIGUSR2);  // ends the command, and makes it sc-attend meanwhile
  EXPECT_EQ(client.finish().status, 128 + SIGUSR2);
}

// The rules are written twice, since sc-exec has no C++ library.
TEST_F(Exec, FindsTheSocketWhereTheOthersDo) {
  if (std::filesystem::exists("/run/sharkcage/supervisor.sock")) GTEST_SKIP() << "a system install";
  const std::string root = instance_.root() + "/places";
  const uid_t somebody = ::geteuid() == 0 ? 65534 : ::geteuid();
  const std::vector<std::map<std::string, std::string>> all = {
      {{"SHARKCAGE_HOME", root + "/instance"}, {"HOME", root}},
      {{"XDG_RUNTIME_DIR", root + "/runtime"}, {"XDG_STATE_HOME", root + "/state"}, {"HOME", root}},
      {{"XDG_RUNTIME_DIR", "relative"}, {"XDG_STATE_HOME", root + "/state"}, {"HOME", root}},
      {{"XDG_STATE_HOME", "relative"}, {"HOME", root}},
      {{"SHARKCAGE_HOME", ""}, {"HOME", root}}};
  std::filesystem::create_directories(root);
  ASSERT_EQ(::chmod(instance_.root().c_str(), 0755), 0);
  for (auto environment : all) {
    const Process::Options as_somebody{environment, "/", [&] {
                                         if (::setresuid(somebody, somebody, somebody) != 0)
                                           ::_exit(99);
                                       }};
    const std::string name = in_child([&] {
      ::clearenv();
      for (const auto& [variable, value] : environment) {
        ::setenv(variable.c_str(), value.c_str(), 1);
      }
      as_somebody.before_exec();
      return find_places().socket();
    });
    ASSERT_TRUE(name.starts_with(root)) << name;
    std::filesystem::create_directories(std::filesystem::path(name).parent_path());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(name.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
    UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::chmod(name.c_str(), 0777), 0);
    ASSERT_EQ(::listen(listening.get(), 4), 0);
    environment["SHARKCAGE_TICKET"] = "0123";
    // The small program finds it, and then the large one, which is given a stream that cannot be
    // passed on.
    for (const std::string redirect : {"", " </proc/self/status"}) {
      Process client({"/bin/sh", "-c", std::string(SHARKCAGE_PROGRAMS) + "/sc-exec" + redirect},
                     {environment, "/", as_somebody.before_exec});
      wait_readable(listening.get(), name);
      const UniqueFd connection(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
      ASSERT_TRUE(connection);
      wait_readable(connection.get(), "the requests of sc-exec at " + name);
      char text[4096] = {};
      ASSERT_GT(::read(connection.get(), text, sizeof text - 1), 0);
      EXPECT_THAT(text, HasSubstr("\"ticket\":\"0123\"")) << name << redirect;
    }
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root);
  }
}

TEST_F(Exec, OnlyHandsOverToItself) {
  const Output output = instance_.spawn("sc-exec", {"--connected", "0,1"}, {}).finish();
  EXPECT_EQ(output.status, 2);
  EXPECT_THAT(output.err, HasSubstr("sc-exec alone"));
}

}  // namespace
}  // namespace sharkcage::testing
