// The egress's system calls, as a libseccomp filter.

#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "common/errors.h"
#include "supervisor/egress/confine.h"

namespace sharkcage::egress {
namespace {

// Whatever the arguments are.
constexpr int kAllowed[] = {
    // the loop, and waiting
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(restart_syscall),
    // sockets; listen is not among them: listening sockets are handed in
    SCMP_SYS(accept4),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(sendto),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvmmsg),
    // descriptors
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(fcntl),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(stat),
    // memory, threads, signals
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    // who and where it is
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrandom),
#ifdef __SANITIZE_ADDRESS__
    // How UndefinedBehaviorSanitizer finds out whether a pointer can be read.
    SCMP_SYS(pipe2),
#endif
};

// A proxy never makes these: whoever does has taken it over.
constexpr int kDeadly[] = {
    SCMP_SYS(execve),      SCMP_SYS(execveat),          SCMP_SYS(ptrace),
    SCMP_SYS(mount),       SCMP_SYS(umount2),           SCMP_SYS(process_vm_readv),
    SCMP_SYS(setns),       SCMP_SYS(process_vm_writev), SCMP_SYS(unshare),
    SCMP_SYS(bpf),         SCMP_SYS(io_uring_setup),    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(keyctl),      SCMP_SYS(perf_event_open),   SCMP_SYS(open_by_handle_at),
    SCMP_SYS(init_module),
};

class Filter {
 public:
  Filter() : context_(::seccomp_init(SCMP_ACT_ERRNO(EPERM)), &::seccomp_release) {
    if (!context_) throw UserError("seccomp_init failed");
    // With a second architecture on the machine its calls would come with other numbers.
    check(::seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
  }

  template <class... Conditions>
  void add(std::uint32_t action, int call, Conditions... conditions) {
    check(::seccomp_rule_add(context_.get(), action, call, sizeof...(conditions), conditions...));
  }

  void load() { check(::seccomp_load(context_.get())); }

 private:
  static void check(int result) {
    if (result != 0) throw_errno(-result, "libseccomp");
  }
  std::unique_ptr<void, decltype(&::seccomp_release)> context_;
};

scmp_arg_cmp equals(unsigned argument, std::uint64_t value) {
  return {argument, SCMP_CMP_EQ, value, 0};
}

scmp_arg_cmp masked(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

void add_sockets(Filter& filter) {
  // No Unix sockets: as the person's own user it would reach their agents and this supervisor.
  constexpr std::uint64_t kTypeMask = 0xF;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      filter.add(SCMP_ACT_ALLOW, SCMP_SYS(socket), equals(0, static_cast<std::uint64_t>(family)),
                 masked(1, kTypeMask, static_cast<std::uint64_t>(type)));
    }
  }
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(socket), equals(0, AF_NETLINK), equals(2, NETLINK_ROUTE));
  // What getaddrinfo tries first and does without: nscd.
  filter.add(SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), equals(0, AF_UNIX));
}

void add_files(Filter& filter) {
  // To read: neither written, created nor truncated. Which files is Landlock's part.
  constexpr std::uint64_t kChanging = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | __O_TMPFILE;
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(openat), masked(2, kChanging, O_RDONLY));
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(open), masked(1, kChanging, O_RDONLY));
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), equals(1, FIONBIO));
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), equals(1, FIONREAD));
}

void add_memory_and_threads(Filter& filter) {
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), masked(2, PROT_EXEC, 0));
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0));
  // Threads, no processes. clone3 hides its flags behind a pointer; glibc falls back on ENOSYS.
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(clone), masked(0, CLONE_THREAD, CLONE_THREAD));
  filter.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  // Reading a limit, not setting one.
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), equals(0, 0), equals(2, 0));
  // abort(3), of this process only.
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill), equals(0, static_cast<std::uint64_t>(::getpid())));
}

}  // namespace

void restrict_system_calls() {
  Filter filter;
  for (const int call : kAllowed) filter.add(SCMP_ACT_ALLOW, call);
  for (const int call : kDeadly) filter.add(SCMP_ACT_KILL_PROCESS, call);
  add_sockets(filter);
  add_files(filter);
  add_memory_and_threads(filter);
  filter.load();
}

}  // namespace sharkcage::egress
