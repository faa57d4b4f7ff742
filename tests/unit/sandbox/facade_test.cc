// The facade: what is missing is recorded, the private home is a home.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class Facade : public Sandbox {
 protected:
  void SetUp() override {
    if (!has_facade()) GTEST_SKIP() << "this user cannot open /dev/fuse";
  }

  // "read /path 2" for each refusal of `line`, by operation, path and count.
  std::vector<std::string> refused(const Trial& trial) {
    const Outcome outcome = run(trial);
    EXPECT_EQ(outcome.refused_unknown, "");
    std::vector<std::string> found;
    for (const Refusal& refusal : outcome.refused) {
      found.push_back(refusal.operation + " " + refusal.target + " " +
                      std::to_string(refusal.count) + (refusal.hidden ? "" : " shown"));
    }
    return found;
  }
  std::vector<std::string> refused(const std::string& line) {
    return refused(spec({"/bin/bash", "-c", line}));
  }
};
INSTANTIATE_TEST_SUITE_P(Install, Facade, ::testing::ValuesIn(installs()), name_of);

TEST_P(Facade, TellsWhatWasWantedOfAFileThatIsNotThere) {
  const std::string keys = home_ + "/.aws/credentials";
  EXPECT_THAT(refused("exec 3< ~/.aws/credentials"), ElementsAre("read " + keys + " 1"));
  EXPECT_THAT(refused("exec 3> ~/.aws/credentials"), ElementsAre("create " + keys + " 1"));
  EXPECT_THAT(refused("exec 3< ../.aws/./credentials"), ElementsAre("read " + keys + " 1"));
  EXPECT_THAT(refused("[ -e ~/.aws/credentials ]"), ElementsAre("stat " + keys + " 1"));
  EXPECT_THAT(refused("~/.aws/credentials"), Contains("execute " + keys + " 1"));
  EXPECT_THAT(refused("cd ~/.aws"), Contains(HasSubstr(home_ + "/.aws ")));
}

TEST_P(Facade, TellsTheOperation) {
  const auto perl = [&](const std::string& code) { return refused(spec({"perl", "-e", code})); };
  const std::string path = home_ + "/.ssh/id";
  EXPECT_THAT(perl("opendir(D, '" + path + "')"), Contains("list " + path + " 1"));
  EXPECT_THAT(refused("rm -rf " + path), Contains("delete " + path + " 1"));
  EXPECT_THAT(refused("python3 -c 'import os; os.unlink(\"" + path + "\")'"),
              Contains("delete " + path + " 1"));
  EXPECT_THAT(perl("rmdir '" + path + "'"), Contains("delete " + path + " 1"));
  EXPECT_THAT(perl("rename '" + path + "', 'x'"), Contains("rename " + path + " 1"));
  EXPECT_THAT(perl("rename 'x', '" + path + "'"), Contains("rename " + workspace_ + "/x 1"));
  EXPECT_THAT(perl("link '" + path + "', 'x'"), Contains("link " + path + " 1"));
  EXPECT_THAT(perl("symlink 'x', '" + path + "'"), Contains("create " + path + " 1"));
  EXPECT_THAT(perl("mkdir '" + path + "'"), Contains("create " + path + " 1"));
  EXPECT_THAT(perl("readlink '" + path + "'"), Contains("stat " + path + " 1"));
  EXPECT_THAT(perl("chmod 0600, '" + path + "'"), Contains("write " + path + " 1"));
  EXPECT_THAT(perl("truncate '" + path + "', 0"), Contains("write " + path + " 1"));
  EXPECT_THAT(perl("utime 1, 1, '" + path + "'"), Contains("write " + path + " 1"));
}

TEST_P(Facade, TellsOfTheWholeRootAndThroughItsLinks) {
  EXPECT_THAT(refused("exec 3< /root/.profile"), ElementsAre("read /root/.profile 1"));
  EXPECT_THAT(refused("exec 3< /etc/shadow"), ElementsAre("read /etc/shadow 1"));
  EXPECT_THAT(refused("exec 3< /var/../etc/../etc/shadow"), ElementsAre("read /etc/shadow 1"));
  EXPECT_THAT(refused("cd /etc && exec 3< shadow"), ElementsAre("read /etc/shadow 1"));
  EXPECT_THAT(refused("ln -s /etc/shadow ~/link; exec 3< ~/link"), Contains("read /etc/shadow 1"));
  EXPECT_THAT(refused("ln -s / ~/top; exec 3< ~/top/etc/shadow"), Contains("read /etc/shadow 1"));
  // Through a link that is not its own, it tells where that led.
  fs::create_symlink("/etc/shadow", workspace_ + "/link");
  EXPECT_THAT(refused("exec 3< link"), ElementsAre("read /etc/shadow 1"));
}

TEST_P(Facade, TellsWhoTried) {
  const Outcome outcome = shell("(cat ~/.netrc); cat ~/.netrc; cat ~/.netrc; echo $$");
  ASSERT_EQ(outcome.refused.size(), 1u) << outcome.text();
  const Refusal& refusal = outcome.refused[0];
  EXPECT_EQ(refusal.program, "cat");
  EXPECT_EQ(refusal.count, 3u);
  EXPECT_TRUE(refusal.hidden);
  EXPECT_EQ(refusal.command, 1);  // the session of its keeper, which is PID 1
  EXPECT_EQ(std::to_string(refusal.pid - 1) + "\n", outcome.out);
}

TEST_P(Facade, CountsEachAttempt) {
  Trial call = spec({"perl", "-e", "for (1 .. 1000) { open(F, '<', $ENV{HOME} . '/.pgpass') }"});
  EXPECT_THAT(refused(call), ElementsAre("read " + home_ + "/.pgpass 1000"));
}

TEST_P(Facade, TellsNothingOfWhatIsThere) {
  EXPECT_THAT(refused("cat /etc/passwd ~ . /usr/bin/env /proc/self/status > /dev/null 2>&1; "
                      "ls / /etc /home /usr ~ > /dev/null; cd ~; pwd; test -d .; "
                      "python3 -c 'import json'; git --version; true"),
              Each(AllOf(Not(HasSubstr("passwd")), Not(HasSubstr("/usr/")))));
}

TEST_P(Facade, TellsNothingOfWhatIsMadeInTheHome) {
  EXPECT_THAT(refused("cd ~; echo x > new; mkdir dir; mv new dir/newer; ln dir/newer hard; "
                      "ln -s dir soft; mkfifo fifo; cat soft/newer"),
              Not(Contains(HasSubstr(base_))));
}

TEST_P(Facade, TellsWhatCannotBeMadeInTheRoot) {
  EXPECT_THAT(refused("mkdir /etc/new"), Contains("create /etc/new 1 shown"));
  EXPECT_THAT(refused("exec 3> /new"), Contains("create /new 1 shown"));
}

TEST_P(Facade, TellsOfProgramsThatTheScopeLeavesOut) {
  Trial call = spec({"/bin/sh", "-c", "curl --version; PATH=/usr/bin command -v wget"});
  const auto found = refused(scoped(call, {"/usr/bin/true"}));
  EXPECT_THAT(found, Contains(HasSubstr("execute /usr/bin/curl ")));
  EXPECT_THAT(found, Contains(HasSubstr("execute /usr/bin/wget ")));
  Trial direct = spec({"curl"});
  const Outcome outcome = run(scoped(direct, {"/usr/bin/true"}));
  EXPECT_THAT(outcome.refusals(), Contains("execute /usr/bin/curl")) << outcome.text();
}

TEST_P(Facade, TellsOfProtectedPathsInsideAGrant) {
  write("home/workspace/.env/key", "canary");
  const std::string file = write("home/workspace/token", "canary");
  const std::string lines[] = {"cat .env/key", "ls .env", "cat token", "cd .env", "stat token"};
  const std::string expected[] = {"read " + workspace_ + "/.env/key",
                                  "list " + workspace_ + "/.env", "read " + file,

                                  "access " + workspace_ + "/.env", ""};
  for (std::size_t i = 0; i < std::size(lines); ++i) {
    Trial call = spec({"/bin/bash", "-c", lines[i]});
    call.policy.hidden = {workspace_ + "/.env", file};
    const Outcome outcome = run(call);
    if (expected[i].empty()) {
      EXPECT_THAT(outcome.refusals(), Not(Contains(HasSubstr(base_)))) << lines[i];
    } else {
      EXPECT_THAT(outcome.refusals(), Contains(expected[i])) << lines[i];
    }
    for (const Refusal& refusal : outcome.refused) {
      EXPECT_EQ(refusal.hidden, !refusal.target.starts_with(base_)) << refusal.target;
    }
  }
}

// The path of a look-up may lie in a page of the home that has to be fetched from the facade again.
TEST_P(Facade, ServesWhileItLooksAtATask) {
  const Outcome outcome = run(spec({"python3", "-c", R"(
import ctypes, mmap, os, threading, time
os.chdir(os.environ['HOME'])
path = os.environ['HOME'].encode() + b'/.missing\0'
with open('page', 'wb') as f: f.write(path.ljust(8192, b'\0'))
f = open('page', 'r+b')
m = mmap.mmap(f.fileno(), 8192)
address = ctypes.addressof(ctypes.c_char.from_buffer(m))
libc = ctypes.CDLL(None)
stop = time.monotonic() + 1
def drop():
    while time.monotonic() < stop:
        libc.madvise(ctypes.c_void_p(address), 8192, mmap.MADV_DONTNEED)
        os.posix_fadvise(f.fileno(), 0, 8192, os.POSIX_FADV_DONTNEED)
threads = [threading.Thread(target=drop) for _ in range(2)]
for thread in threads: thread.start()
tried = 0
while time.monotonic() < stop:
    assert libc.access(ctypes.c_void_p(address), 0) == -1
    tried += 1
for thread in threads: thread.join()
print(tried)
)"}));
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_THAT(outcome.refusals(), Contains("access " + home_ + "/.missing")) << outcome.text();
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
