// Limits of a sandbox: what goes beyond one ends with its reason, in time, and is recorded; what
// stays below is not disturbed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "common/machine.h"
#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::chrono_literals;

// How often a limit was recorded; 0: not at all.
std::uint64_t hits(const Outcome& outcome, const std::string& limit) {
  std::uint64_t count = 0;
  for (const auto& list : {outcome.limits, outcome.refused}) {
    for (const Refusal& refusal : list) {
      if (refusal.operation == "limit" && refusal.target == limit) count += refusal.count;
    }
  }
  return count;
}

class LimitsOf : public Sandbox {
 protected:
  // Whether the kernel counts them, or it is only known that there were some.
  bool counts_processes() {
    Call call(launcher(), spec({"true"}));
    const Event ready = call.wait_for(Event::Kind::kReady);
    call.start();
    call.finish();
    return ::testing::Value(ready.controllers, ::testing::Contains("pids"));
  }
  Trial python(const std::string& script) const { return spec({"python3", "-c", script}); }
};
INSTANTIATE_TEST_SUITE_P(Install, LimitsOf, ::testing::ValuesIn(installs()), name_of);

void expect_ended_by(const char* limit, const Outcome& outcome) {
  EXPECT_EQ(outcome.reason, limit) << outcome.text();
  EXPECT_GE(hits(outcome, limit), 1u) << outcome.text();
}

TEST_P(LimitsOf, MemoryEndAProcessThatTakesTooMuch) {
  Trial call = python("a = []\nwhile True: a.append(bytearray(1 << 20))");
  call.policy.limits.memory = 100 << 20;
  expect_ended_by("memory", run(call));
}

TEST_P(LimitsOf, MemoryEndManyProcessesThatTakeTooMuchTogether) {
  Trial call = python(
      "import os, time\n"
      "for i in range(20):\n"
      "  if os.fork() == 0:\n"
      "    a = bytearray(os.urandom(1 << 20)) * 16\n"
      "    time.sleep(1000)\n"
      "while True: os.wait()");
  call.policy.limits.memory = 150 << 20;
  expect_ended_by("memory", run(call));
}

TEST_P(LimitsOf, MemoryEndWhatFillsFilesInMemory) {
  Trial call = python(
      "for name in '/tmp/a', '/dev/shm/a':\n"
      "  f = open(name, 'wb')\n"
      "  for i in range(80): f.write(bytes(1 << 20))\n"
      "while True: pass");
  call.policy.limits.memory = 100 << 20;
  call.policy.limits.tmp = 1 << 30;
  expect_ended_by("memory", run(call));
}

TEST_P(LimitsOf, MemoryEndWhatFillsAMemoryFile) {
  Trial call = python(
      "import os\n"
      "f = os.memfd_create('bomb')\n"
      "for i in range(300): os.write(f, bytes(1 << 20))\n"
      "while True: pass");
  call.policy.limits.memory = 100 << 20;
  expect_ended_by("memory", run(call));
}

TEST_P(LimitsOf, MemoryAreNotHitBySharedPages) {
  // 20 processes that share 60 MiB.
  Trial call = python(
      "import os, time\n"
      "a = bytearray(os.urandom(1 << 20)) * 60\n"
      "children = []\n"
      "for i in range(20):\n"
      "  r, w = os.pipe()\n"
      "  pid = os.fork()\n"
      "  if pid == 0:\n"
      "    os.close(w); os.read(r, 1); os._exit(0)\n"
      "  os.close(r); children.append(w)\n"
      "time.sleep(1.5)\n"
      "for w in children: os.close(w)\n"
      "for w in children: os.wait()\n"
      "print('done')");
  call.policy.limits.memory = 400 << 20;
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.out, "done\n") << outcome.text();
  EXPECT_EQ(hits(outcome, "memory"), 0u);
}

TEST_P(LimitsOf, ProcessesEndAForkBombThatDoesNotStop) {
  Trial call = python(
      "import os\n"
      "while True:\n"
      "  try: os.fork()\n"
      "  except OSError: pass");
  call.policy.limits.pids = 20;
  call.policy.limits.wall = 40s;
  expect_ended_by("pids", run(call));
}

TEST_P(LimitsOf, ProcessesAreRecordedThoughTheCommandGoesOn) {
  if (!counts_processes()) GTEST_SKIP() << "no control group counts refused processes here";
  Trial call = python(
      "import os, time\n"
      "refused = 0\n"
      "for i in range(60):\n"
      "  try:\n"
      "    if os.fork() == 0: time.sleep(1000)\n"
      "  except OSError: refused += 1\n"
      "print(refused)");
  call.policy.limits.pids = 20;
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_EQ(outcome.reason, "");
  EXPECT_EQ(std::to_string(hits(outcome, "pids")) + "\n", outcome.out) << outcome.text();
}

// Without a control group that counts, the monitor looks: at the latest when the command is over.
TEST_P(LimitsOf, ProcessesAreRecordedOfAShortCommand) {
  Trial call = spec({"sh", "-c", "for i in $(seq 80); do sleep 30 & done"});
  call.policy.limits.pids = 20;
  const Outcome outcome = run(call);
  EXPECT_GE(hits(outcome, "pids"), 1u) << outcome.text();
  ASSERT_EQ(outcome.limits.size(), 1u) << outcome.text();
  EXPECT_NE(outcome.limits[0].at_least, counts_processes());
}

TEST_P(LimitsOf, ProcessorsAreHeld) {
  const unsigned processors = usable_processors();
  if (processors < 2) GTEST_SKIP() << "one processor only";
  // Two that count for a second of wall-clock time.
  Trial call = python(
      "import os, time\n"
      "if os.fork() == 0:\n"
      "  end = time.monotonic() + 1.5\n"
      "  while time.monotonic() < end: pass\n"
      "  os._exit(0)\n"
      "end = time.monotonic() + 1.5\n"
      "while time.monotonic() < end: pass\n"
      "os.wait()");
  call.policy.limits.cpus = 1;
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_LT(outcome.cpu_us, 2'100'000u);
}

TEST_P(LimitsOf, ProcessorsCannotBeTakenBack) {
  if (usable_processors() < 2) GTEST_SKIP() << "one processor only";
  Trial call = python(
      "import os\n"
      "try: os.sched_setaffinity(0, range(64))\n"
      "except OSError as e: print(e.strerror)\n"
      "print(len(os.sched_getaffinity(0)))");
  call.policy.limits.cpus = 1;
  // With a control group there is no need to hold it to a processor.
  const std::string all = std::to_string(usable_processors()) + "\n";
  EXPECT_THAT(run(call).out, AnyOf("Operation not permitted\n1\n", all));
}

TEST_P(LimitsOf, FileSizeEndsAWriterBySignal) {
  Trial call = spec({"dd", "if=/dev/zero", "of=big", "bs=64k", "count=100"});
  call.policy.limits.file_size = 1 << 20;
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.signal, SIGXFSZ) << outcome.text();
  EXPECT_EQ(hits(outcome, "file size"), 1u);
  EXPECT_EQ(std::filesystem::file_size(workspace_ + "/big"), 1u << 20);
}

TEST_P(LimitsOf, FileSizeIsRecordedBelowAShell) {
  for (const char* shell : {"/bin/sh", "/bin/bash"}) {
    Trial call = spec({shell, "-c", "head -c 4000000 /dev/zero > big"});
    call.policy.limits.file_size = 1 << 20;
    const Outcome outcome = run(call);
    EXPECT_EQ(hits(outcome, "file size"), 1u) << outcome.text();
  }
}

// Together with what the person has, in a user install.
TEST_P(LimitsOf, WhatIsCountedByUserIsAQuarter) {
  std::string expected;
  for (const auto resource : {RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE}) {
    rlimit all{};
    ASSERT_EQ(::getrlimit(resource, &all), 0);
    expected +=
        all.rlim_cur == RLIM_INFINITY ? "unlimited\n" : std::to_string(all.rlim_cur / 4) + "\n";
  }
  EXPECT_EQ(run(spec({"/bin/bash", "-c", "ulimit -i; ulimit -q"})).out, expected);
}

TEST_P(LimitsOf, OpenFilesAreRecordedWhereOneIsToBeWritten) {
  Trial call = python(
      "a = []\nfor i in range(60):\n  try: a.append(open('f', 'a'))\n"
      "  except OSError: print(i)");
  call.policy.limits.open_files = 32;
  const Outcome outcome = run(call);
  const auto refused = std::count(outcome.out.begin(), outcome.out.end(), '\n');
  EXPECT_GT(refused, 20) << outcome.text();
  EXPECT_EQ(hits(outcome, "open files"), static_cast<std::uint64_t>(refused)) << outcome.text();
}

TEST_P(LimitsOf, TheHomeSaysThatItIsFull) {
  if (!has_facade()) GTEST_SKIP() << "this user cannot open /dev/fuse";
  Trial call = spec({"bash", "-c", "head -c 3000000 /dev/zero > ~/a; rm ~/a; echo x > ~/b"});
  call.policy.limits.tmp = 1 << 20;
  const Outcome outcome = run(call);
  EXPECT_THAT(outcome.err, HasSubstr("No space left on device"));
  EXPECT_EQ(hits(outcome, "tmp"), 1u) << outcome.text();
}

TEST_P(LimitsOf, FilesInMemoryAreLimitedInBytesAndNumber) {
  Trial call = spec({"bash", "-c",
                     "head -c 3000000 /dev/zero > /tmp/a; rm /tmp/a; mkdir /tmp/d; cd /tmp/d; "
                     "for ((i = 0; i < 100000; i++)); do : > $i || break; done; "
                     "test $i -lt 100000; echo $?"});
  call.policy.limits.tmp = 1 << 20;
  const Outcome outcome = run(call);
  EXPECT_THAT(outcome.out, ::testing::EndsWith("0\n")) << outcome.text();
  EXPECT_THAT(outcome.err, HasSubstr("No space left on device"));
  EXPECT_EQ(hits(outcome, "tmp"), 1u) << outcome.text();
}

TEST_P(LimitsOf, OutputEndAFlood) {
  Trial call = spec({"yes"});
  call.policy.limits.output = 1 << 20;
  const Outcome outcome = run(call);
  expect_ended_by("output", outcome);
  EXPECT_EQ(outcome.out.size(), 1u << 20);
}

TEST_P(LimitsOf, OutputCountBothStreams) {
  Trial call =
      spec({"bash", "-c", "head -c 700000 /dev/zero; head -c 700000 /dev/zero >&2; echo end"});
  call.policy.limits.output = 1 << 20;
  const Outcome outcome = run(call);
  expect_ended_by("output", outcome);
  EXPECT_EQ(outcome.out.size() + outcome.err.size(), 1u << 20);
}

TEST_P(LimitsOf, OutputOfExactlyTheLimitIsFine) {
  Trial call = spec({"head", "-c", "1048576", "/dev/zero"});
  call.policy.limits.output = 1 << 20;
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.exit, 0) << outcome.reason;
  EXPECT_EQ(outcome.out.size(), 1u << 20);
  EXPECT_TRUE(outcome.limits.empty());
}

TEST_P(LimitsOf, TimeIsRecorded) {
  Trial call = spec({"bash", "-c", "trap '' TERM; echo before; while :; do :; done"});
  call.policy.limits.wall = 300ms;
  const Outcome outcome = run(call);
  expect_ended_by("wall", outcome);
  EXPECT_EQ(outcome.out, "before\n");
}

TEST_P(LimitsOf, OthersAreNotDisturbedByABomb) {
  Trial bomb = python(
      "import os\n"
      "print('up', flush=True)\n"
      "while True:\n"
      "  try: os.fork()\n"
      "  except OSError: pass");
  bomb.policy.limits.pids = 40;
  bomb.policy.limits.wall = 40s;
  bomb.policy.limits.cpus = 1;
  Call call(launcher(), bomb);
  call.start();
  call.wait_for_output("up");
  const Outcome other = run(spec({"echo", "still here"}));
  EXPECT_EQ(other.out, "still here\n") << other.text();
  EXPECT_LT(other.wall_us, 5'000'000u);
  EXPECT_EQ(call.finish().reason, "pids");
}

// Programs that map far more than they use: there is no limit on addresses.
TEST_P(LimitsOf, AddressesAreNone) {
  EXPECT_EQ(shell("ulimit -v").out, "unlimited\n");
  for (const char* program :
       {"node -e 'console.log(new Array(1e6).fill(1).length)'", "java -version"}) {
    const std::string name = std::string(program).substr(0, 4);
    if (!holds("command -v " + name)) continue;
    EXPECT_TRUE(holds(program)) << program;
  }
  write(
      "home/workspace/a.c",
      "#include <stdlib.h>\n#include <stdio.h>\n"
      "int main(void) { char *p = malloc(100); p[99] = 1; puts(\"fine\"); free(p); return 0; }\n");
  // As the supervisor sets it.
  EXPECT_TRUE(
      holds("export LSAN_OPTIONS=detect_leaks=0; gcc -fsanitize=address a.c -o a && "
            "test $(./a) = fine"));
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
