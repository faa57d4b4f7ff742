// The private home, which the facade serves: what programs expect of a file system.
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Home : public Sandbox {
 protected:
  Trial python(const std::string& code) const {
    return spec({"python3", "-c", "import os\nos.chdir(os.environ['HOME'])\n" + code});
  }
};
INSTANTIATE_TEST_SUITE_P(Install, Home, ::testing::ValuesIn(installs()), name_of);

TEST_P(Home, IsEmptyWritableAndTheUsersOwn) {
  EXPECT_EQ(shell("ls -A ~; stat -c '%a %U' ~").out, ".config\n.gitconfig\nworkspace\n700 pat\n");
  EXPECT_TRUE(
      holds("cd ~ && echo text > file && [ \"$(cat file)\" = text ] && "
            "[ \"$(stat -c '%U %a %s' file)\" = 'pat 644 5' ]"));
  EXPECT_FALSE(fs::exists(home_ + "/file"));
}

TEST_P(Home, KeepsItsMountPointsWhereTheyAre) {
  write("home/workspace/file", "text");
  write("home/projects/file", "text");
  Trial call = spec({"/bin/bash", "-c",
                     "cd ~; mkdir x; for i in workspace projects; do mv $i moved; rmdir $i; "
                     "mv -T x $i; cat $i/file; done"});
  grant(call, home_ + "/projects", Access::kReadOnly);
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.out, "texttext") << outcome.text();
  EXPECT_THAT(outcome.err, HasSubstr("busy")) << outcome.text();
}

TEST_P(Home, KeepsTheWayToItsMountPoints) {
  if (!has_facade()) GTEST_SKIP() << "this user cannot open /dev/fuse";
  write("home/projects/deep/file", "text");
  Trial call = spec({"/bin/bash", "-c",
                     "cd ~; mv projects moved; mkdir x && mv -T x projects; "
                     "cat projects/deep/file"});
  grant(call, home_ + "/projects/deep", Access::kReadOnly);
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.out, "text") << outcome.text();
  EXPECT_THAT(outcome.err, HasSubstr("busy")) << outcome.text();
}

TEST_P(Home, KnowsLinksRenamesAndModes) {
  EXPECT_TRUE(
      holds("cd ~ && echo a > a && echo b > b && mv a b && [ \"$(cat b)\" = a ] && "
            "ln b c && [ \"$(stat -c %h b)\" = 2 ] && echo more >> c && rm b && "
            "[ \"$(wc -l < c)\" = 2 ] && [ \"$(stat -c %h c)\" = 1 ] && "
            "mkdir -p d/e && ! rmdir d 2>/dev/null && mv d/e f && rmdir d && "
            "[ \"$(stat -c %h .)\" = 5 ] && "
            "ln -s c soft && [ \"$(cat soft)\" = \"$(cat c)\" ] && "
            "chmod 400 c && ! echo x 2>/dev/null >> c && chmod 000 c && "
            "! cat c 2>/dev/null && chmod 600 c && cat c > /dev/null && "
            "touch -d 2001-02-03T04:05:06Z c && [ \"$(stat -c %Y c)\" = 981173106 ] && "
            "(umask 077; touch mine; [ \"$(stat -c %a mine)\" = 600 ])"));
}

TEST_P(Home, KnowsOpenFilesWithoutNames) {
  EXPECT_TRUE(
      holds(python("f = open('x', 'w+'); os.unlink('x'); f.write('kept'); f.flush()\n"
                   "f.seek(0); assert f.read() == 'kept'\n"
                   "assert os.fstat(f.fileno()).st_nlink == 0\n")));
}

TEST_P(Home, KnowsSharedMemoryMaps) {
  EXPECT_TRUE(holds(python(R"(
import mmap
with open('m', 'wb') as f: f.write(b'\0' * 10000)
f = open('m', 'r+b'); m = mmap.mmap(f.fileno(), 0)
m[9000:9004] = b'here'
if os.fork() == 0:
    g = open('m', 'r+b'); n = mmap.mmap(g.fileno(), 0)
    ok = n[9000:9004] == b'here'; n[0:5] = b'child'; os._exit(0 if ok else 1)
assert os.wait()[1] == 0
assert m[0:5] == b'child'
m.flush(); m.close()
assert open('m', 'rb').read()[9000:9004] == b'here'
)")));
}

TEST_P(Home, KnowsHolesAppendsAndTruncation) {
  EXPECT_TRUE(holds(python(R"(
f = open('s', 'w+b'); f.seek(1 << 20); f.write(b'end'); f.flush()
assert os.fstat(f.fileno()).st_blocks * 512 < 100000
assert os.lseek(f.fileno(), 0, os.SEEK_DATA) > 500000
os.ftruncate(f.fileno(), 10); assert os.fstat(f.fileno()).st_size == 10
os.ftruncate(f.fileno(), 100); assert os.pread(f.fileno(), 200, 0) == b'\0' * 100
os.posix_fallocate(f.fileno(), 0, 5000); assert os.fstat(f.fileno()).st_size == 5000
a = os.open('s', os.O_WRONLY | os.O_APPEND); b = os.open('s', os.O_WRONLY | os.O_APPEND)
os.write(a, b'a'); os.write(b, b'b'); os.write(a, b'c')
assert os.pread(f.fileno(), 10, 5000) == b'abc'
open('s', 'w').close(); assert os.stat('s').st_size == 0
)")));
}

TEST_P(Home, ListsThousandsOfEntriesOnceEach) {
  EXPECT_TRUE(holds(python(R"(
os.mkdir('d')
names = {'entry-%d' % i for i in range(5000)}
for name in names: open('d/' + name, 'w').close()
found = os.listdir('d')
assert len(found) == 5000 and set(found) == names
seen = set()
for entry in os.scandir('d'):
    assert entry.name not in seen; seen.add(entry.name); os.unlink('d/' + entry.name)
assert seen == names and os.listdir('d') == []
os.rmdir('d')
)")));
}

TEST_P(Home, HasPipesAndSocketNodesAndNoDevices) {
  EXPECT_TRUE(holds("cd ~ && mkfifo p && (echo through > p &) && [ \"$(cat p)\" = through ]"));
  EXPECT_TRUE(
      holds(python("import stat\nos.mknod('s', stat.S_IFSOCK | 0o600)\n"
                   "assert stat.S_ISSOCK(os.stat('s').st_mode)\n")));
  EXPECT_FALSE(holds("cd ~ && mknod null c 1 3"));
}

TEST_P(Home, MakesNoSetIdBits) {
  shell("cd ~; cp /bin/true t; chmod u+s t; chmod g+s t; mkdir -m 2755 d");
  EXPECT_TRUE(
      holds("cd ~; cp /bin/true t; chmod 6755 t; mkdir -m 2755 d; chmod 2755 d; "
            "! find . -xdev -perm /6000 | grep -q ."));
}

TEST_P(Home, IsLimitedInBytes) {
  Trial call = python(R"(
import errno
block = b'x' * 65536
for attempt in range(2):
    size = 0
    with open('big', 'wb', buffering=0) as f:
        try:
            while size < 20 << 20: size += f.write(block)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
    assert 7 << 20 <= size <= 8 << 20, size
    assert os.stat('big').st_size == size
    os.unlink('big')
)");
  call.policy.limits.tmp = 8 << 20;
  EXPECT_TRUE(holds(call));
}

TEST_P(Home, IsLimitedInFiles) {
  Trial call = python(R"(
import errno
for attempt in range(2):
    made = 0
    try:
        while made < 2000:
            open('f%d' % made, 'w').close(); made += 1
    except OSError as error:
        assert error.errno == errno.ENOSPC, error
    assert 200 < made < 400, made
    for i in range(made): os.unlink('f%d' % i)
)");
  call.policy.limits.tmp = 1 << 20;
  EXPECT_TRUE(holds(call));
}

TEST_P(Home, RunsDatabasesAndRepositories) {
  EXPECT_TRUE(holds(python(R"(
import sqlite3
a = sqlite3.connect('db'); a.execute('pragma journal_mode=wal').fetchall()
a.execute('create table t (n)'); a.commit()
if os.fork() == 0:
    b = sqlite3.connect('db')
    for i in range(200): b.execute('insert into t values (?)', (i,)); b.commit()
    os._exit(0)
c = sqlite3.connect('db', timeout=30)
for i in range(200): c.execute('insert into t values (?)', (i,)); c.commit()
assert os.wait()[1] == 0
assert a.execute('select count(*) from t').fetchone() == (400,)
assert a.execute('pragma integrity_check').fetchone() == ('ok',)
)")));
  EXPECT_TRUE(
      holds("cd ~ && git init -q r && cd r && git config user.email a@b && "
            "git config user.name a && seq 1000 > f && git add f && git commit -qm one && "
            "seq 2000 > f && git commit -qam two && git clone -q . ../s && "
            "cd ../s && [ \"$(wc -l < f)\" = 2000 ] && git fsck --strict"));
}

TEST_P(Home, IsExecutableOnlyWhereAnyProgramIs) {
  const std::string line = "cp /bin/true ~/t && ~/t";
  EXPECT_TRUE(holds(line));
  Trial call = spec({"/bin/sh", "-c", line});
  EXPECT_FALSE(holds(scoped(call, {"/usr/bin/cp"})));
}

TEST_P(Home, EndsTheSandboxWithTheProcessThatServesIt) {
  Launcher own = own_launcher();
  Call call(own, spec({"/bin/bash", "-c", "echo up; while :; do :; done"}));
  call.start();
  call.wait_for_output("up");
  const pid_t facade = descendant(own.pid(), "sc-facade");
  if (facade == 0) GTEST_SKIP() << "this user cannot open /dev/fuse";
  ASSERT_EQ(::kill(facade, SIGKILL), 0);
  const Outcome outcome = call.finish();
  EXPECT_EQ(outcome.signal, SIGKILL) << outcome.text();
  EXPECT_THAT(outcome.reason, HasSubstr("home")) << outcome.text();
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
