// The facade ends when it is killed, whatever it waits for at that moment, and with it all that
// waits for it.
#include <linux/fuse.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "common/errors.h"
#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPatience = 20s;

// Stops a process at each request that one of its threads has read from the kernel.
class RequestTracer {
 public:
  explicit RequestTracer(pid_t process) : process_(process) {
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
      const pid_t thread = std::atoi(entry.path().filename().c_str());
      if (::ptrace(PTRACE_SEIZE, thread, nullptr, PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD) !=
              0 ||
          ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) != 0) {
        throw_errno("ptrace", "the facade");
      }
      threads_.insert(thread);
    }
  }

  // The thread that has just read a request of this kind is stopped when this returns.
  void wait_for_request(std::uint32_t opcode, const std::string& name = "") {
    const auto deadline = Clock::now() + kPatience;
    while (Clock::now() < deadline) {
      if (stopped_ != 0) go_on(std::exchange(stopped_, 0));
      for (const pid_t thread : std::set<pid_t>(threads_)) {
        int status = 0;
        if (::waitpid(thread, &status, __WALL | WNOHANG) != thread || !WIFSTOPPED(status)) continue;
        if (is_request(thread, status, opcode, name)) {
          stopped_ = thread;
          return;
        }
        go_on(thread);
      }
      std::this_thread::sleep_for(1ms);
    }
    throw std::runtime_error("the facade has not read the request " + std::to_string(opcode));
  }

  // True when it is gone, reaped as far as the tracer has to.
  bool kill() {
    ::kill(process_, SIGKILL);
    const auto deadline = Clock::now() + kPatience;
    while (Clock::now() < deadline && !threads_.empty()) {
      for (const pid_t thread : std::set<pid_t>(threads_)) {
        int status = 0;
        const pid_t got = ::waitpid(thread, &status, __WALL | WNOHANG);
        if (got == thread && WIFSTOPPED(status)) go_on(thread);
        if (got < 0 || (got == thread && !WIFSTOPPED(status))) threads_.erase(thread);
      }
      std::this_thread::sleep_for(1ms);
    }
    return threads_.empty();
  }

 private:
  static void go_on(pid_t thread) { ::ptrace(PTRACE_SYSCALL, thread, nullptr, nullptr); }

  bool is_request(pid_t thread, int status, std::uint32_t opcode, const std::string& name) {
    if (status >> 16 == PTRACE_EVENT_CLONE) {
      unsigned long made = 0;
      ::ptrace(PTRACE_GETEVENTMSG, thread, nullptr, &made);
      threads_.insert(static_cast<pid_t>(made));
    }
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) return false;
    __ptrace_syscall_info info{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      buffer_ = info.entry.nr == SYS_read ? info.entry.args[1] : 0;
      reader_ = thread;
      return false;
    }
    struct {
      fuse_in_header header;
      char name[64];
    } request{};
    if (reader_ != thread || buffer_ == 0 || info.exit.is_error != 0 ||
        info.exit.rval < static_cast<std::int64_t>(sizeof request.header)) {
      return false;
    }
    const iovec here{&request, sizeof request - 1};
    const iovec there{reinterpret_cast<void*>(std::exchange(buffer_, 0)), sizeof request - 1};
    if (::process_vm_readv(process_, &here, 1, &there, 1, 0) <= 0) return false;
    return request.header.opcode == opcode && (name.empty() || name == request.name);
  }

  const pid_t process_;
  std::set<pid_t> threads_;
  pid_t stopped_ = 0;
  pid_t reader_ = 0;          // the last thread that began to read
  std::uint64_t buffer_ = 0;  // where to
};

bool comes(const std::string& path) {
  const auto deadline = Clock::now() + kPatience;
  while (Clock::now() < deadline) {
    if (fs::exists(path)) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

class FacadeEnd : public Sandbox {};
INSTANTIATE_TEST_SUITE_P(Install, FacadeEnd, ::testing::ValuesIn(installs()), name_of);

// Whoever looks at a task reads its path, and so may need a page that the facade itself has to
// bring: a request to it that was already read cannot be interrupted, not by SIGKILL either
// (fs/fuse/dev.c, request_wait_answer). Only the end of the connection ends that wait.
TEST_P(FacadeEnd, ComesThoughItWaitsForItself) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may trace the process that serves the home";
  Launcher own = own_launcher();
  Call call(own, spec({"python3", "-c", R"(
import ctypes, mmap, os, threading
page, home = mmap.PAGESIZE, os.environ['HOME'] + '/'
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.access.argtypes = [ctypes.c_void_p, ctypes.c_int]
def opened(name):
    fd = os.open(home + name, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, page)
    return fd
path, hole = opened('path'), opened('hole')
os.write(path, (home + '.missing').encode() + b'\0')
print('up', flush=True)
while not os.path.exists('go'): pass
at = libc.mmap(None, page, 3, mmap.MAP_SHARED, path, 0)
ctypes.string_at(at)
seeker = threading.Thread(target=lambda: libc.access(at, 0))
seeker.start()
# While that thread is blocked, its path becomes a page that is nowhere yet, and that is fetched
# alone, by whoever needs it.
while open('/proc/self/task/%d/syscall' % seeker.native_id).read().split()[0] not in ('21', '48'):
    pass
libc.mmap(at, page, 3, mmap.MAP_SHARED | 16, hole, 0)
libc.madvise(at, page, mmap.MADV_RANDOM)
open('exchanged', 'w').close()
threading.Event().wait()
)"}));
  call.start();
  call.wait_for_output("up");
  const pid_t facade = descendant(own.pid(), "sc-facade");
  if (facade == 0) GTEST_SKIP() << "this user cannot open /dev/fuse";
  RequestTracer tracer(facade);
  write("home/workspace/go", "");
  tracer.wait_for_request(FUSE_LOOKUP, ".missing");
  ASSERT_TRUE(comes(workspace_ + "/exchanged"));
  tracer.wait_for_request(FUSE_READ);
  ASSERT_TRUE(tracer.kill()) << "process " << facade << " cannot be killed";
  EXPECT_EQ(call.finish().signal, SIGKILL);
}

// PID 1 waits for the facade's answers while it builds the root, here for long.
TEST_P(FacadeEnd, ComesWhileTheSandboxIsMade) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may trace the process that serves the home";
  Trial trial = spec({"/bin/true"});
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "home/grants/" + std::to_string(i) + "/file";
    grant(trial, write(name, ""), Access::kReadOnly);
  }
  Launcher own = own_launcher();
  Call call(own, trial);
  pid_t facade = 0;
  for (const auto deadline = Clock::now() + kPatience; facade == 0 && Clock::now() < deadline;) {
    facade = descendant(own.pid(), "sc-facade");
  }
  if (facade == 0) GTEST_SKIP() << "this user cannot open /dev/fuse";
  RequestTracer tracer(facade);
  tracer.wait_for_request(FUSE_LOOKUP);
  ASSERT_TRUE(tracer.kill()) << "process " << facade << " cannot be killed";
  EXPECT_FALSE(call.finish().ready);
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
