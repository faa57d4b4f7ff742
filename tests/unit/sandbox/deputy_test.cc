// What the deputy answers and records.
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "tests/unit/sandbox/sandbox_fixture.h"
#include "tests/unit/sandbox/silent_mount.h"

namespace sharkcage::sandbox::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Deputy : public Sandbox {
 protected:
  Outcome python(const std::string& code) { return run(spec({"/usr/bin/python3", "-c", code})); }
};
INSTANTIATE_TEST_SUITE_P(Install, Deputy, ::testing::ValuesIn(installs()), name_of);

TEST_P(Deputy, RecordsARefusedSystemCallWithWhoMadeIt) {
  const Outcome outcome = python(
      "import ctypes, os\n"
      "libc = ctypes.CDLL(None, use_errno=True)\n"
      "for i in range(3): r = libc.ptrace(0, 0, 0, 0)\n"
      "print(r, os.strerror(ctypes.get_errno()), os.getpid())\n");
  ASSERT_THAT(outcome.told(), ElementsAre("system call ptrace")) << outcome.text();
  const Refusal& refusal = outcome.refused.back();
  EXPECT_EQ(refusal.program, "python3");
  EXPECT_EQ(refusal.count, 3u);
  EXPECT_EQ(refusal.command, 1);  // the session of its keeper, which is PID 1
  EXPECT_EQ(outcome.out, "-1 Operation not permitted " + std::to_string(refusal.pid) + "\n");
}

TEST_P(Deputy, AnswersEachRefusedCallWithItsError) {
  const Outcome outcome = python(
      "import socket\n"
      "for family, kind in ((17, 3), (38, 5), (40, 1), (2, 3), (1, 2)):\n"
      "  try: socket.socket(family, kind)\n"
      "  except OSError as error: print(error.errno, end=' ')\n");
  EXPECT_EQ(outcome.out, "97 97 97 1 97 ") << outcome.text();
  EXPECT_THAT(outcome.told(), ElementsAre("system call socket"));
}

// Requests that make names, or change what a name is, beside the calls that the deputy carries out.
TEST_P(Deputy, RefusesRequestsThatMakeNames) {
  const Outcome outcome = python(
      "import ctypes, os\n"
      "libc = ctypes.CDLL(None, use_errno=True)\n"
      "libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)\n"
      "top = os.open('.', os.O_RDONLY)\n"
      "data = ctypes.create_string_buffer(4096)\n"
      "def ask(request):\n"
      "  return ctypes.get_errno() if libc.ioctl(top, request, data) < 0 else 0\n"
      // Subvolumes and snapshots; reflinks by name; flags by two requests, and one of 32 bits.
      "for request in (0x5000940e, 0x50009401, 0x50009417, 0x50009418, 0x5000940f, 0x4010bc10,\n"
      "                0x40186f04, 0x40086602, 0x40046602, 0x401c5820, 0x100000000 | 0x40086602):\n"
      "  print(ask(request), end=' ')\n"
      // Sharing data (no descriptor: EBADF), reading flags.
      "print(libc.ioctl(top, 0x40049409, -1) < 0 and ctypes.get_errno(), ask(0x80086601) != 1)\n");
  EXPECT_EQ(outcome.out, "1 1 1 1 1 1 1 1 1 1 1 9 True\n") << outcome.text();
  EXPECT_THAT(outcome.told(), ElementsAre("system call ioctl"));
}

TEST_P(Deputy, RecordsNothingOfWhatProgramsProbe) {
  const Outcome outcome = python(
      "import ctypes, socket\n"
      "libc = ctypes.CDLL(None)\n"
      "for number in (425, 435, 437, 1000): libc.syscall(number, 0, 0, 0)\n"
      "try: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\n"
      "except OSError: pass\n"
      "try: socket.getaddrinfo('example.org', 80)\n"
      "except OSError: pass\n");
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_THAT(outcome.told(), IsEmpty());
}

TEST_P(Deputy, IsNoProcessOfTheSandbox) {
  EXPECT_EQ(shell("cd /proc; echo [0-9]*").out, "1 2\n");
}

std::vector<pid_t> children_of(pid_t parent) {
  const std::string number = std::to_string(parent);
  std::ifstream file("/proc/" + number + "/task/" + number + "/children");
  return {std::istream_iterator<pid_t>(file), {}};
}

std::string line_of(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  }
  return {};
}

// Who takes it over has no new sockets, processes or programs.
TEST_P(Deputy, HasAFilterOfItsOwn) {
  Launcher launcher = own_launcher();
  // It has answered by then.
  Call call(launcher, spec({"/bin/sh", "-c", ": > file; echo up; sleep 1000"}));
  call.start();
  call.wait_for_output("up");
  int deputies = 0;
  for (const pid_t monitor : children_of(launcher.pid())) {
    for (const pid_t attendant : children_of(monitor)) {
      if (line_of(attendant, "Name") != "sc-deputy") continue;
      ++deputies;
      EXPECT_EQ(line_of(attendant, "Seccomp"), "2");
    }
  }
  EXPECT_EQ(deputies, 1);
}

// A workspace whose server is gone. What waits for it cannot be killed, and nobody may wait for
// that.
class OnASilentFileSystem : public Sandbox {
 protected:
  void SetUp() override {
    if (!SharkcageSilent::possible()) GTEST_SKIP() << "needs root and /dev/fuse";
    mount_.emplace(base_ + "/home/remote", SharkcageSilent::Answers::kItsEmpty);
  }
  Outcome run_for(std::chrono::milliseconds wall, const std::string& line) {
    auto trial = spec({"/bin/bash", "-c", line});
    grant(trial, base_ + "/home/remote", Access::kReadWrite);
    trial.policy.limits.wall = wall;
    return run(trial);
  }
  using SharkcageSilent = sharkcage::testing::SilentMount;
  std::optional<SharkcageSilent> mount_;
};
// FUSE has no id-mapped mounts before Linux 6.12, which a privileged install makes.
INSTANTIATE_TEST_SUITE_P(Install, OnASilentFileSystem, ::testing::Values(Install::kUser), name_of);

TEST_P(OnASilentFileSystem, TheDeputysSilenceIsTold) {
  const Outcome outcome = run_for(std::chrono::seconds(4), "echo > ../remote/file");
  EXPECT_EQ(outcome.reason, "wall") << outcome.text();
  EXPECT_THAT(outcome.refused_unknown, HasSubstr("does not answer")) << outcome.text();
  EXPECT_GT(mount_->asked(), 0);
}

TEST_P(OnASilentFileSystem, ACommandThatCannotBeKilledIsNotWaitedFor) {
  const Outcome outcome =
      run_for(std::chrono::milliseconds(300),
              "echo up; exec python3 -c 'import os; os.listxattr(\"../remote\")'");
  EXPECT_EQ(outcome.out, "up\n");
  EXPECT_EQ(outcome.reason, "wall") << outcome.text();
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
