// What a command sees of files, and tries to see or change beyond it.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class View : public Sandbox {};
INSTANTIATE_TEST_SUITE_P(Install, View, ::testing::ValuesIn(installs()), name_of);

struct Mount {
  std::string place, options;
  bool has(const std::string& option) const {
    return ("," + options + ",").find("," + option + ",") != std::string::npos;
  }
};

// proc_pid_mountinfo(5): the fifth field is the place, the sixth the options of the mount.
std::vector<Mount> mounts_of(const std::string& mountinfo) {
  std::vector<Mount> mounts;
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string skipped;
    Mount mount;
    fields >> skipped >> skipped >> skipped >> skipped >> mount.place >> mount.options;
    mounts.push_back(mount);
  }
  return mounts;
}

TEST_P(View, IsOfMountsThatGiveNoPrivilege) {
  for (const bool scoped_programs : {false, true}) {
    Trial call = spec({"/bin/bash", "-c",
                       "while read -r line; do echo \"$line\"; done "
                       "< /proc/self/mountinfo"});
    grant(call, write("home/data/file", "text"), Access::kReadOnly);
    if (scoped_programs) scoped(call, {});
    const std::vector<Mount> mounts = mounts_of(run(call).out);
    EXPECT_GT(mounts.size(), 10u);
    for (const Mount& mount : mounts) {
      EXPECT_TRUE(mount.has("nosuid")) << mount.place << " " << mount.options;
      if (!mount.place.starts_with("/dev/")) {
        EXPECT_TRUE(mount.has("nodev")) << mount.place << " " << mount.options;
      }
      if (mount.has("rw") && scoped_programs) {
        EXPECT_TRUE(mount.has("noexec")) << mount.place << " " << mount.options;
      }
      const bool may_be_written = mount.place == workspace_ || mount.place == home_ ||
                                  mount.place == "/tmp" || mount.place.starts_with("/dev/");
      EXPECT_TRUE(may_be_written || mount.has("ro")) << mount.place << " " << mount.options;
    }
  }
}

TEST_P(View, HoldsNothingWritableElsewhere) {
  // Directories and files that this user may write to, outside of what is its own.
  EXPECT_EQ(shell("find / \\( -path /proc -o -path /tmp -o -path /dev -o -path " + home_ +
                  " \\) -prune -o -writable ! -type l -print 2>/dev/null")
                .out,
            "");
}

TEST_P(View, OfAReadOnlyWorkspaceIsReadOnlyInEveryWay) {
  write("home/workspace/file", "old");
  write("home/workspace/dir/file", "old");
  Trial call = spec({"python3", "-c", R"(
import mmap, os
def refused(what, *arguments):
    try: what(*arguments)
    except OSError as error: assert error.errno in (1, 13, 30), error; return
    raise SystemExit('not refused: %s %s' % (what, arguments))
refused(os.open, 'file', os.O_WRONLY)
refused(os.open, 'file', os.O_RDWR)
refused(os.open, 'file', os.O_RDONLY | os.O_TRUNC)
refused(os.open, 'new', os.O_CREAT | os.O_WRONLY)
refused(os.open, '.', os.O_TMPFILE | os.O_WRONLY)
refused(os.truncate, 'file', 0)
refused(os.chmod, 'file', 0o777)
refused(os.utime, 'file')
refused(os.unlink, 'file')
refused(os.rename, 'file', 'other')
refused(os.link, 'file', 'other')
refused(os.symlink, 'file', 'other')
refused(os.mkdir, 'd')
refused(os.rmdir, 'dir')
refused(os.mkfifo, 'p')
refused(os.setxattr, 'file', 'user.x', b'y')
f = os.open('file', os.O_RDONLY)
refused(os.fchmod, f, 0o777)
refused(lambda: mmap.mmap(f, 3, mmap.MAP_SHARED, mmap.PROT_WRITE))
refused(os.open, '/proc/self/fd/%d' % f, os.O_RDWR)
refused(os.link, '/proc/self/fd/%d' % f, 'other')
)"});
  call.paths.clear();
  grant(call, workspace_, Access::kReadOnly);
  EXPECT_TRUE(holds(call));
  EXPECT_EQ(std::distance(fs::recursive_directory_iterator(workspace_), {}), 3);
}

TEST_P(View, OfAFileThatMayBeWrittenIsThatFileAlone) {
  const std::string file = write("home/data/file", "old");
  const std::string other = write("home/data/other", "canary");
  Trial call = spec({"/bin/bash", "-c",
                     "echo new > " + file + "; mv " + file + " " + home_ + "/data/x; rm " + file +
                         "; cat " + other + "; cat " + file});
  grant(call, file, Access::kReadWrite);
  EXPECT_EQ(run(call).out, "new\n");
  std::ifstream stream(file);
  std::string text;
  stream >> text;
  EXPECT_EQ(text, "new");
}

TEST_P(View, DoesNotFollowLinksOutOfAGrant) {
  write("home/secret", "canary");
  fs::create_symlink("../secret", workspace_ + "/link");
  fs::create_symlink("/etc/shadow", workspace_ + "/shadow");
  fs::create_symlink("..", workspace_ + "/up");
  const Outcome outcome = shell("cat link shadow up/secret; ls up");
  EXPECT_EQ(outcome.out, "workspace\n") << outcome.text();
}

// What fills memory by way of files counts like any memory.
TEST_P(View, OfPrivateFilesCountsAsMemory) {
  if (!privileged()) GTEST_SKIP() << "only root can make control groups here";
  for (const std::string place : {"/dev/shm", "/tmp", "$HOME"}) {
    Trial call =
        spec({"/bin/sh", "-c", "dd if=/dev/zero of=" + place + "/big bs=1M count=200; echo done"});
    call.policy.limits.memory = 64 << 20;
    const Outcome outcome = run(call);
    EXPECT_THAT(outcome.err, Not(HasSubstr("200+0 records out"))) << place << outcome.text();
  }
}

// The same answer and the same record, whether there is something outside or not.
TEST_P(View, IsNoOracle) {
  const auto look = [&](const std::string& path) {
    Trial call = spec({"python3", "-c", R"(
import os, sys
for call in (os.stat, os.readlink, os.listdir, os.unlink, os.chdir, lambda p: open(p),
             lambda p: os.access(p, 0) or os.stat(p), lambda p: os.rename(p, 'x'),
             lambda p: os.execv(p, ['x'])):
    try: call(sys.argv[1])
    except OSError as error: print(error.errno)
)",
                       path});
    const Outcome outcome = run(call);
    std::string text = outcome.out;
    for (const Refusal& refusal : outcome.refused) {
      if (refusal.target != path) continue;
      text += refusal.operation + " " + std::to_string(refusal.count) + "\n";
    }
    return text;
  };
  const std::string there = write("home/there", "canary");
  const std::string seen = look(there);
  EXPECT_THAT(seen, HasSubstr("2\n2\n2\n"));
  EXPECT_EQ(seen, look(home_ + "/gone-"));
}

// It keeps us from looking into it; the kernel's request says what was missing all the same.
TEST_P(View, TellsOfTasksThatHide) {
  const Outcome outcome = run(spec({"python3", "-c", R"(
import ctypes, os
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
os.path.exists(os.environ['HOME'] + '/.aws/credentials')
)"}));
  bool found = false;
  for (const Refusal& refusal : outcome.refused) {
    found |= refusal.target.starts_with(home_ + "/.aws");
  }
  const bool facade = has_facade();
  EXPECT_EQ(found, facade) << outcome.text();
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
