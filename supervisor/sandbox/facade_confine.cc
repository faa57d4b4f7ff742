#include "supervisor/sandbox/facade_confine.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "common/errors.h"
#include "supervisor/sandbox/call_list.h"

namespace sharkcage::sandbox {
namespace {

// All that serving needs. Opening is by descriptors of directories, and everything that it could
// reach by a path is what the sandbox's commands can reach.
constexpr std::array kCalls = {
    SYS_read,
    SYS_write,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_ppoll,
    SYS_openat,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_fstatfs,
    SYS_lseek,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_unlinkat,
    SYS_readlinkat,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_memfd_create,
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_clock_gettime,
    SYS_sched_yield,
    SYS_futex,
    SYS_rt_sigreturn,
    SYS_getrandom,
    SYS_rt_sigprocmask,
    SYS_restart_syscall,
    SYS_gettid,
    SYS_getpid,
    SYS_tgkill,
    SYS_exit,
    SYS_exit_group,
    SYS_pipe2,  // of the sanitizers: how they see whether memory can be read
    // The second thread.
    SYS_mprotect,
    SYS_rseq,
    SYS_set_robust_list,
    SYS_sigaltstack,
    SYS_sched_getaffinity,
    SYS_close_range,
#ifdef SYS_poll
    SYS_poll,
#endif
};

void require(bool done, const char* what) {
  if (!done) throw_errno(what, "for the facade");
}

void enter(const UniqueFd& user_namespace, const UniqueFd& mount_namespace) {
  require(::setns(user_namespace.get(), CLONE_NEWUSER) == 0, "setns");
  require(::setns(mount_namespace.get(), CLONE_NEWNS) == 0, "setns");
}

// The raw calls: glibc would ask other threads to follow, and there are none. A user install has no
// right to set groups, and nothing to give up that its commands do not have.
void take_ids(uid_t uid, gid_t gid) {
  require(::syscall(SYS_setgroups, 0, nullptr) == 0 || errno == EPERM, "setgroups");
  require(::syscall(SYS_setresgid, gid, gid, gid) == 0, "setresgid");
  require(::syscall(SYS_setresuid, uid, uid, uid) == 0, "setresuid");
}

void keep_one_capability() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct data[2] = {};
  data[0].effective = data[0].permitted = 1u << CAP_SYS_PTRACE;
  require(::syscall(SYS_capset, &header, data) == 0, "capset");
  require(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl");
  require(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "prctl");
  // The change of ids has cleared it (prctl(2)). The end of the channel tells the same.
  require(::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0, "prctl");
}

}  // namespace

void confine_facade(UniqueFd user_namespace, UniqueFd mount_namespace, uid_t uid, gid_t gid) {
  enter(user_namespace, mount_namespace);
  user_namespace.reset();
  mount_namespace.reset();
  take_ids(uid, gid);
  keep_one_capability();
  allow_only(kCalls, /*threads=*/true);
}

}  // namespace sharkcage::sandbox
