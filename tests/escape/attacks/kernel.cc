// Attacks on the filter of system calls, and on what lies behind it.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>

#include "tests/escape/attacks/attack.h"
#include "tests/escape/attacks/numbers.h"

namespace escape {
namespace {

// But of processes, whose first one takes all others with it.
constexpr int kEveryNamespace =
    CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP;

// What one call answers, made by a process of its own: 0 and above, or -errno. Empty when a signal
// ended it.
std::optional<long> answer_of(const std::function<long()>& call) {
  int ends[2];
  if (::pipe(ends) != 0) stopped("pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();  // no terminal to hang up
    ::alarm(2);
    const long answer = call();
    ::_exit(::write(ends[1], &answer, sizeof answer) == sizeof answer ? 0 : 1);
  }
  ::close(ends[1]);
  long answer = 0;
  const bool told = ::read(ends[0], &answer, sizeof answer) == sizeof answer;
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return told ? std::optional<long>(answer) : std::nullopt;
}

// The kernel's own words for "not allowed" and "no such call"; what else it says, it looked.
bool reached(std::optional<long> answer) {
  return answer && *answer != -EPERM && *answer != -ENOSYS;
}

long raw(long number, const long (&a)[6]) {
  const long result = ::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  return result == -1 ? -errno : result;
}

// Arguments that no call can do harm with: no descriptor, no address, no process.
constexpr long kNothing[6] = {-1, -1, -1, -1, -1, -1};

void sweep(long bit) {
  gain_namespaces(kEveryNamespace);
  std::string calls;
  int count = 0;
  for (const Refused& refused : kRefused) {
    long arguments[6];
    std::memcpy(arguments, kNothing, sizeof arguments);
    if (refused.first != kAnything) arguments[0] = refused.first;
    if (!reached(answer_of([&] { return raw(refused.number | bit, arguments); }))) continue;
    calls += std::string(" ") + refused.name;
    ++count;
  }
  if (count == 0) stopped("every one of " + std::to_string(std::size(kRefused)) + " calls", EPERM);
  through(std::to_string(count) + " of " + std::to_string(std::size(kRefused)) +
          " calls reach the kernel:" + calls);
}

const Attack kNative("system-calls", [](Arguments) { sweep(0); });

#ifdef __x86_64__

constexpr long kX32Bit = 0x40000000;

const Attack kX32("system-calls-x32", [](Arguments arguments) {
  const bool outside = text_at(arguments, 0) == "outside";
  const auto pid = answer_of([] { return raw(SYS_getpid | kX32Bit, kNothing); });
  if (outside && pid == -ENOSYS) absent("the x32 ABI");
  if (pid && *pid > 0) through("getpid by the x32 ABI");
  sweep(kX32Bit);
});

// The 32-bit entry. Addresses must lie below 4 GiB.
long int80(long number, long a, long b = 0, long c = 0, long d = 0, long e = 0) {
  long result;
  asm volatile("int $0x80"
               : "=a"(result)
               : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
               : "memory", "r8", "r9", "r10", "r11");
  return static_cast<std::int32_t>(result);
}

void need_int80(bool outside) {
  const auto pid = answer_of([] { return int80(kGetpid32, 0); });
  if (outside && (!pid || *pid == -ENOSYS)) absent("the 32-bit entry");
  if (pid && *pid > 0) return;
  stopped("int 0x80", pid ? static_cast<int>(-*pid) : 0);
}

const Attack kInt80("system-calls-int80", [](Arguments arguments) {
  need_int80(text_at(arguments, 0) == "outside");
  std::string calls;
  for (const Refused32& refused : kRefused32) {
    const auto answer =
        answer_of([&] { return int80(refused.number, refused.first, -1, -1, -1, -1); });
    if (reached(answer)) calls += std::string(" ") + refused.name;
  }
  through("getpid, and:" + calls);
});

const Attack kInt80Namespace("int80-namespace", [](Arguments arguments) {
  const auto made = answer_of([] { return int80(kUnshare32, CLONE_NEWUSER); });
  if (made && *made == 0) through("a user namespace by int 0x80");
  need_int80(text_at(arguments, 0) == "outside");
  stopped("unshare", made ? static_cast<int>(-*made) : 0);
});

const Attack kInt80SetId("int80-set-id", [](Arguments arguments) {
  ::close(::open("set-id", O_WRONLY | O_CREAT, 0755));
  void* low =
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) stopped("mmap");
  std::strcpy(static_cast<char*>(low), "set-id");
  const long done = int80(kChmod32, reinterpret_cast<long>(low), 06755);
  if (done == 0) through("chmod 6755 by int 0x80");
  need_int80(text_at(arguments, 0) == "outside");
  stopped("chmod", static_cast<int>(-done));
});

#endif  // __x86_64__

// Numbers that no kernel of today knows, and those around the end of the table.
const Attack kUnknown("system-calls-unknown", [](Arguments) {
  std::string calls;
  for (long number = 424; number < 600; ++number) {
    if (!is_expected(number) && reached(answer_of([&] { return raw(number, kNothing); }))) {
      calls += " " + std::to_string(number);
    }
  }
  if (calls.empty()) stopped("every call above 424 that a sandbox does not know", ENOSYS);
  through("calls that a sandbox does not know:" + calls);
});

const Attack kRing("io-uring", [](Arguments) {
  io_uring_params params{};
  const long ring = ::syscall(SYS_io_uring_setup, 4, &params);
  if (ring < 0) stopped("io_uring_setup");
  through("a ring");
});

const Attack kUserfault("userfaultfd", [](Arguments) {
  // By the call, or by the device that newer kernels have.
  if (::syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY) >= 0) through("userfaultfd");
  const int error = errno;
  if (::open("/dev/userfaultfd", O_RDWR) >= 0) through("/dev/userfaultfd");
  stopped("userfaultfd", error);
});

const Attack kBpf("bpf", [](Arguments) {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = 4;
  attributes.max_entries = 1;
  if (::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes) < 0) stopped("bpf");
  through("a map");
});

const Attack kPerf("perf-events", [](Arguments) {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  attributes.exclude_kernel = 1;
  if (::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0) < 0) stopped("perf_event_open");
  through("a counter");
});

// A key of the person's, by its description, in the session that everything inherits.
const Attack kKey("read-key", [](Arguments arguments) {
  const std::string description = text_at(arguments, 0);
  for (const long ring : {KEY_SPEC_SESSION_KEYRING, KEY_SPEC_USER_KEYRING,
                          KEY_SPEC_USER_SESSION_KEYRING, KEY_SPEC_PROCESS_KEYRING}) {
    const long key = ::syscall(SYS_keyctl, KEYCTL_SEARCH, ring, "user", description.c_str(), 0);
    char text[128] = {};
    if (key > 0 && ::syscall(SYS_keyctl, KEYCTL_READ, key, text, sizeof text - 1) > 0) {
      std::printf("%s\n", text);
      return;
    }
  }
  stopped("keyctl");
});

// For the suite: puts a key into a session keyring of one's own and executes the rest.
const Attack kWithKey("with-key", [](Arguments arguments) {
  const std::string payload = read_file(text_at(arguments, 1));
  ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
  if (::syscall(SYS_add_key, "user", text_at(arguments, 0).c_str(), payload.data(), payload.size(),
                KEY_SPEC_SESSION_KEYRING) < 0) {
    if (errno == ENOSYS) absent("keyrings");
    stopped("add_key");
  }
  ::execv(arguments[2], arguments.data() + 2);
  stopped("execv");
});

// A file of /proc/sys that could be written. Nothing is.
const Attack kSysctl("sysctl", [](Arguments) {
  gain_namespaces(kEveryNamespace);
  std::error_code error;
  const auto options = std::filesystem::directory_options::skip_permission_denied;
  for (std::filesystem::recursive_directory_iterator it("/proc/sys", options, error), end;
       !error && it != end; it.increment(error)) {
    struct stat status {};
    const std::string path = it->path().string();
    if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    if (::open(path.c_str(), O_WRONLY) >= 0) through("opened " + path + " for writing");
  }
  stopped("/proc/sys cannot be written", 0);
});

const Attack kOpenToWrite("open-to-write", [](Arguments arguments) {
  for (char* path : arguments) {
    if (::open(path, O_WRONLY) >= 0) through(std::string("opened ") + path);
  }
  stopped(text_at(arguments, 0));
});

const Attack kOpenToRead("open-to-read", [](Arguments arguments) {
  for (char* path : arguments) {
    const std::string text = read_file(path);
    if (!text.empty()) through(std::string("read ") + path);
  }
  stopped(text_at(arguments, 0));
});

const Attack kListing("list", [](Arguments arguments) {
  std::error_code error;
  for (char* path : arguments) {
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
      through("listed " + entry.path().string());
    }
  }
  stopped(text_at(arguments, 0), error.value());
});

// A socket that only exists if its family and protocol may be used. 64-bit arguments, of which the
// kernel reads the lower half.
const Attack kSocket("socket", [](Arguments arguments) {
  const long family = std::strtol(text_at(arguments, 0).c_str(), nullptr, 0);
  const long type = std::strtol(text_at(arguments, 1).c_str(), nullptr, 0);
  const long protocol = std::strtol(text_at(arguments, 2).c_str(), nullptr, 0);
  gain_namespaces(CLONE_NEWNET);
  const long made = ::syscall(SYS_socket, family, type, protocol);
  if (made >= 0) through("a socket of family " + std::to_string(family & 0xffff));
  const bool nothing = errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT;
  if (nothing && arguments.size() > 3 && text_at(arguments, 3) == "outside") {
    absent("the family " + text_at(arguments, 0));
  }
  stopped("socket");
});

// Capabilities in whatever namespace, and a use of one: a port that needs CAP_NET_BIND_SERVICE.
const Attack kCapabilities("capabilities", [](Arguments) {
  gain_namespaces(CLONE_NEWNET);
  const std::string status = read_file("/proc/self/status");
  for (const char* set : {"CapInh:\t", "CapPrm:\t", "CapEff:\t", "CapAmb:\t"}) {
    const std::size_t at = status.find(set);
    if (at == std::string::npos) continue;
    const std::string value = status.substr(at + std::strlen(set), 16);
    if (value != "0000000000000000") through(set + value);
  }
  stopped("every set is empty", 0);
});

// What comes back by executing a program: bounding set and no_new_privs.
const Attack kRegain("regain", [](Arguments) {
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) through("no_new_privs is not set");
  for (int capability = 0; capability < 64; ++capability) {
    if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1) {
      through("capability " + std::to_string(capability) + " is in the bounding set");
    }
  }
  stopped("no_new_privs is set and the bounding set is empty", 0);
});

const Attack kEffective("effective-root", [](Arguments) {
  if (::geteuid() == 0 && ::getuid() != 0) through("a set-user-ID program of root's runs");
  stopped("effective user id " + std::to_string(::geteuid()), 0);
});

const Attack kUser("become", [](Arguments arguments) {
  const auto id = static_cast<uid_t>(number_at(arguments, 0));
  gain_namespaces(0);
  if (::syscall(SYS_setresuid, id, id, id) != 0) stopped("setresuid");
  through("user id " + std::to_string(::getuid()));
});

}  // namespace
}  // namespace escape
