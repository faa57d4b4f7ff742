// Two sandboxes on one workspace: what the deputy of one has looked at, the other one cannot
// change before the act. And the person's own programs at work beside a sandbox.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "common/fd.h"
#include "tests/unit/sandbox/sandbox_fixture.h"
#include "tests/unit/sandbox/silent_mount.h"

namespace sharkcage::sandbox::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Lt;
using ::testing::Not;

class Deputies : public Sandbox {
 protected:
  Trial python(const std::string& code) const {
    return spec({"/usr/bin/python3", "-I", "-c",
                 "import ctypes, os, socket, struct, sys, time\n"
                 "libc = ctypes.CDLL(None, use_errno=True)\n"
                 "def exchange(a, b): libc.renameat2(-100, a, -100, b, 2)\n"
                 "def seconds(n):\n"
                 "    end = time.monotonic() + n\n"
                 "    while time.monotonic() < end: yield\n" +
                     code});
  }
  // Runs `other` beside `attack` until that ends.
  Outcome run_beside(const std::string& other, const std::string& attack) {
    Call first(launcher(), python(other));
    first.start();
    first.wait_for_output("ready");
    const Outcome outcome = run(python(attack));
    first.hang_up();
    return outcome;
  }
  void make(const std::string& relative) const {
    fs::create_directories(workspace_ + "/" + relative);
    std::string path = workspace_;
    for (const fs::path& part : fs::path(relative)) give_to_person(path += "/" + part.string());
  }
  std::string outside(const std::string& relative) const {
    std::ifstream file(workspace_ + "/" + relative);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};
INSTANTIATE_TEST_SUITE_P(Install, Deputies, ::testing::ValuesIn(installs()), name_of);

// As long as it takes to read the lock, the new configuration lies there under another name.
TEST_P(Deputies, ANewConfigurationIsNotOpenToAnotherSandbox) {
  const Outcome outcome = run_beside(
      R"(
os.mkdir('r'); os.mkdir('r/.git')
text = '[core]\n\tbare = false\n' + '# x\n' * 100000
print('ready', flush=True)
while True:
    with open('r/.git/config.lock', 'w') as file: file.write(text)
    os.rename('r/.git/config.lock', 'r/.git/config')
)",
      R"(
watch = libc.inotify_init(); libc.inotify_add_watch(watch, b'r/.git', 0x100)
seen, held = 0, 0
for _ in seconds(2):
    events = os.read(watch, 65536)
    while events:
        size = struct.unpack('iIII', events[:16])[3]
        name = events[16:16 + size].rstrip(b'\0').decode()
        events = events[16 + size:]
        if not name.startswith('config.new-'): continue
        seen += 1
        try: held += os.open('r/.git/' + name, os.O_WRONLY) > 0
        except OSError: pass
print('seen' if seen else 'none', held)
)");
  EXPECT_EQ(outcome.out, "seen 0\n") << outcome.text();
}

// What a path leads to is not exchanged between the look and the bind.
TEST_P(Deputies, ASocketIsBoundWhereItWasLookedAt) {
  make("free");
  make("r/.git/hooks");
  const Outcome outcome = run_beside(
      R"(
os.symlink('free', 'a'); os.symlink('r/.git/hooks', 'b')
print('ready', flush=True)
while True: exchange(b'a', b'b')
)",
      R"(
bound = 0
for _ in seconds(2):
    try: socket.socket(socket.AF_UNIX).bind('a/s'); bound += 1
    except OSError: pass
    if os.path.lexists('free/s'): os.unlink('free/s')
    if os.path.lexists('r/.git/hooks/s'): print('a hook'); break
print('bound' if bound else 'none')
)");
  EXPECT_EQ(outcome.out, "bound\n") << outcome.text();
}

// By the directories' exchange a bind and the look at what it was bound to went apart.
TEST_P(Deputies, ASocketOfTheHostIsNotTakenForOneThatWasBound) {
  make("a");
  make("b");
  UniqueFd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = workspace_ + "/b/s";
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(server.get(), 64), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
  const Outcome outcome =
      run_beside("print('ready', flush=True)\nwhile True: exchange(b'a', b'b')\n",
                 R"(
def open_directory(name): return os.open(name, os.O_RDONLY | os.O_DIRECTORY)
while True:  # not twice the same one
    one, two = open_directory('a'), open_directory('b')
    if not os.path.samestat(os.fstat(one), os.fstat(two)): break
host, own = (one, two) if os.path.lexists('/proc/self/fd/%d/s' % one) else (two, one)
def connect():
    os.fchdir(host)
    try: socket.socket(socket.AF_UNIX).connect('s'); return 'connected'
    except PermissionError: return 'refused'
    finally: os.chdir(top)
top, bound, answer = os.getcwd(), 0, 'none'
for _ in seconds(2):
    try: socket.socket(socket.AF_UNIX).bind('a/s'); bound += 1
    except OSError: continue
    answer = connect()
    if answer == 'connected': break
    os.unlink('s', dir_fd=own)
print(answer, 'bound' if bound else 'none')
)");
  EXPECT_EQ(outcome.out, "refused bound\n") << outcome.text();
}

// What is moved is what was looked at: a file may become "x.git", a directory may not.
TEST_P(Deputies, WhatIsMovedIsNotExchangedForADirectory) {
  const Outcome outcome = run_beside(
      R"(
os.mkdir('d'); os.mkdir('d/hooks'); open('f', 'w').close()
print('ready', flush=True)
while True: exchange(b'd', b'f')
)",
      R"(
moved = 0
for _ in seconds(4):
    try: os.rename('f', 'x.git')
    except OSError: continue
    moved += 1
    if os.path.isdir('x.git'): print('a repository'); break
    os.rename('x.git', 'f') if not os.path.lexists('f') else os.unlink('x.git')
    if not os.path.lexists('f'): open('f', 'w').close()
print('moved' if moved else 'none')
)");
  EXPECT_EQ(outcome.out, "moved\n") << outcome.text();
}

TEST_P(Deputies, NoRepositoryIsMadeByHalves) {
  make("own/objects");
  const Outcome outcome = run_beside(
      R"(
print('ready', flush=True)
while True:
    try: os.mkdir('own/refs')
    except OSError: continue
    os.rmdir('own/refs')
)",
      R"(
made = 0
for _ in seconds(2):
    try: os.close(os.open('own/HEAD', os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except OSError: continue
    made += 1
    if os.path.isdir('own/refs') and os.path.isdir('own/refs'): print('a repository'); break
    os.unlink('own/HEAD')
print('made' if made else 'none')
)");
  EXPECT_EQ(outcome.out, "made\n") << outcome.text();
}

// git writes "config.lock" and gives it the name of the configuration. Whoever has it open by then
// could write to that.
TEST_P(Deputies, ThePersonsLockIsNotOpenToACommand) {
  make("r/.git/objects");
  make("r/.git/refs");
  write("home/workspace/r/.git/config", "[core]\n\tbare = false\n");
  write("home/workspace/r/.git/config.lock", "of the person\n");
  const Outcome outcome = run(python(R"(
def tried(call, *args):
    try: call(*args); print('done', end=' ')
    except OSError as error: print(error.errno, end=' ')
lock = 'r/.git/config.lock'
open('own', 'w').close()
tried(os.open, lock, os.O_WRONLY); tried(os.truncate, lock, 0); tried(os.unlink, lock)
tried(os.rename, lock, 'away'); tried(os.rename, 'own', lock); tried(os.link, lock, 'other')
tried(os.link, 'own', lock); tried(exchange, b'own', lock.encode())
tried(os.rename, 'r/.git/config.lock', 'r/.git/config'); print(open(lock).read(), end='')
)"));
  EXPECT_EQ(outcome.out, "13 13 13 13 13 13 13 done 13 of the person\n") << outcome.text();
  EXPECT_EQ(outside("r/.git/config.lock"), "of the person\n");
  fs::remove(workspace_ + "/r/.git/config.lock");
  EXPECT_NE(run(python("open('r/.git/config.lock', 'w')")).exit, 0);
}

// Nor in a repository that a command has made, where git of a command makes such a lock itself.
TEST_P(Deputies, ThePersonsLockIsNotOpenInARepositoryOfACommand) {
  Call call(launcher(), python(R"(
os.mkdir('r'); os.mkdir('r/.git'); lock = 'r/.git/config.lock'
def configure():
    with open(lock, 'x') as file: file.write('[core]\n\tbare = false\n')
    os.rename(lock, 'r/.git/config')
configure(); configure()
open(lock, 'x').close(); open(lock, 'a').close(); os.unlink(lock)
print('ready', flush=True)
while not os.path.exists(lock): pass
def tried(call, *args):
    try: call(*args); print('done', end=' ')
    except OSError as error: print(error.errno, end=' ')
tried(os.open, lock, os.O_WRONLY); tried(os.unlink, lock); tried(os.rename, lock, 'r/.git/config')
)"));
  call.start();
  call.wait_for_output("ready");
  write("home/workspace/r/.git/config.lock", "of the person\n");
  EXPECT_THAT(call.finish().out, HasSubstr("13 13 13 "));
  EXPECT_EQ(outside("r/.git/config"), "[core]\n\tbare = false\n");
}

// A number of a directory that is gone is soon another one's.
TEST_P(Deputies, ANewRepositoryOfThePersonIsNotTakenForTheCommands) {
  Call call(launcher(), python(R"(
numbers = set()
for i in range(40): os.mkdir('d%d.git' % i); numbers.add(os.stat('d%d.git' % i).st_ino)
for i in range(40): os.rmdir('d%d.git' % i)
print('ready', flush=True)
while not os.path.exists('go'): pass
for i in range(40):
    lock = 'person%d/.git/config.lock' % i
    try:
        with open(lock, 'x') as file: file.write('[core]\n\tbare = true\n')
        os.rename(lock, lock[:-5])
        print('replaced')
    except OSError as error: pass
print('end')
)"));
  call.start();
  call.wait_for_output("ready");
  for (int i = 0; i < 40; ++i) make("person" + std::to_string(i) + "/.git");
  write("home/workspace/go", "");
  const Outcome outcome = call.finish();
  EXPECT_THAT(outcome.out, Not(HasSubstr("replaced"))) << outcome.text();
  EXPECT_THAT(outcome.out, HasSubstr("end")) << outcome.text();
}

// A path may take as long to be looked up as a command likes.
class DeputiesOnASlowPath : public Deputies {
 protected:
  using SlowMount = sharkcage::testing::SilentMount;
  void SetUp() override {
    if (!SlowMount::possible()) GTEST_SKIP() << "needs root and /dev/fuse";
    mount_.emplace(base_ + "/home/remote", SlowMount::Answers::kADirectory);
  }
  Trial with_mount(const std::string& code) const {
    Trial trial = python(code);
    grant(trial, base_ + "/home/remote", Access::kReadWrite);
    return trial;
  }
  std::optional<SlowMount> mount_;
};
// FUSE has no id-mapped mounts before Linux 6.12, which a privileged install makes.
INSTANTIATE_TEST_SUITE_P(Install, DeputiesOnASlowPath, ::testing::Values(Install::kUser), name_of);

// One whose second path is not answered at all.
TEST_P(DeputiesOnASlowPath, ARenameHasNoTurnWhileItsPathsAreLookedUp) {
  Call call(launcher(), with_mount(R"(
open('a', 'w').close()
print('ready', flush=True)
while not os.path.exists('go'): pass
os.rename('a', '../remote/d/b')
)"));
  call.start();
  call.wait_for_output("ready");
  mount_->forget_names();
  write("home/workspace/go", "");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (mount_->asked() == 0) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  const Outcome other = run(python("os.rename('go', 'gone'); print('renamed')"));
  EXPECT_EQ(other.out, "renamed\n") << other.text();
  mount_.reset();
  call.hang_up();
}

// Not a second time in its turn.
TEST_P(DeputiesOnASlowPath, ABindLooksItsPathUpOnce) {
  const Outcome outcome = run(with_mount(R"(
def bound(name):
    one = socket.socket(socket.AF_UNIX); one.bind(name); one.listen()
    socket.socket(socket.AF_UNIX).connect(one.getsockname())
    return one.getsockname()
os.symlink('../remote/d/../../workspace', 'l')
print(bound('../remote/d/../../workspace/s') == os.path.realpath('s'), bound('l/t') == os.path.realpath('t'))
)"));
  EXPECT_EQ(outcome.out, "True True\n") << outcome.text();
  EXPECT_EQ(mount_->looked_up(), 2);
}

// What a socket was bound to is what the command said, if there is no link on the way.
TEST_P(Deputies, ASocketTellsTheNameThatItWasBoundBy) {
  const Outcome outcome = run(python(R"(
def bound(name):
    one = socket.socket(socket.AF_UNIX); one.bind(name); one.listen()
    socket.socket(socket.AF_UNIX).connect(one.getsockname())
    return one.getsockname()
deep = 'd' * 100; os.makedirs(deep); os.symlink(deep, 'l')
for name in ('s', './t', os.getcwd() + '/u'): print(bound(name) == name, end=' ')
# Neither may be looked up once more, and the real path has no room.
listening = socket.socket(socket.AF_UNIX)
listening.bind('l/v'); listening.listen(); print(listening.getsockname(), os.path.exists('l/v'))
os.chdir(deep); socket.socket(socket.AF_UNIX).connect('v')
)"));
  EXPECT_EQ(outcome.out, "True True True v True\n") << outcome.text();
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
}

// Descriptors of each process that is called so.
std::vector<std::size_t> descriptors_of(const std::string& name) {
  std::vector<std::size_t> counts;
  std::error_code error;
  for (const auto& process : fs::directory_iterator("/proc", error)) {
    std::ifstream file(process.path() / "comm");
    std::string comm;
    if (!std::getline(file, comm) || comm != name) continue;
    std::size_t count = 0;
    for (fs::directory_iterator it(process.path() / "fd", error), end; !error && it != end;
         it.increment(error)) {
      ++count;
    }
    counts.push_back(count);
  }
  return counts;
}

// It holds what was made, but not without end.
TEST_P(Deputies, HoldNoMoreRepositoriesThanTheyMay) {
  if (::geteuid() != 0) GTEST_SKIP() << "a deputy's descriptors can be counted by root alone";
  Call call(launcher(), python(R"(
for i in range(500): os.mkdir('x.git'); os.rmdir('x.git')
os.mkdir('x.git')
with open('x.git/config.lock', 'x') as file: file.write('[core]\n\tbare = true\n')
os.rename('x.git/config.lock', 'x.git/config')
print('configured', flush=True)
while not os.path.exists('go'): pass
)"));
  call.start();
  call.wait_for_output("configured");
  const std::vector<std::size_t> counts = descriptors_of("sc-deputy");
  write("home/workspace/go", "");
  EXPECT_EQ(call.finish().exit, 0);
  EXPECT_THAT(counts, Not(IsEmpty()));
  EXPECT_THAT(counts, Each(Lt(400u)));
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
