#include "supervisor/sandbox/deputy_confine.h"

#include <sys/syscall.h>

#include <array>

#include "supervisor/sandbox/call_list.h"

namespace sharkcage::sandbox {
namespace {

// Of paths it takes what it carries out for commands, of other processes their memory and their
// descriptors. No new sockets, processes or programs.
constexpr std::array kCalls = {
    SYS_ioctl,
    SYS_openat,
    SYS_close,
    SYS_process_vm_readv,
    SYS_readlinkat,
    SYS_read,
    SYS_pread64,
    SYS_fstat,
    SYS_newfstatat,
    SYS_fstatfs,
    SYS_statfs,
    SYS_statx,
    SYS_ppoll,
    SYS_fcntl,
    SYS_umask,
    SYS_fchdir,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_mkdirat,
    SYS_mknodat,
    SYS_symlinkat,
    SYS_linkat,
    SYS_renameat2,
    SYS_unlinkat,
    SYS_ftruncate,
    SYS_faccessat,
    SYS_write,
    SYS_lseek,
    SYS_bind,
    SYS_connect,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_getsockname,
    SYS_getpeername,
    SYS_setitimer,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_sendmsg,
    SYS_sendto,
    SYS_memfd_create,
    SYS_getrandom,
    SYS_getdents64,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_futex,
    SYS_rt_sigreturn,
    SYS_rt_sigprocmask,
    SYS_restart_syscall,
    SYS_getpid,
    SYS_getsid,
    SYS_gettid,
    SYS_tgkill,
    SYS_exit,
    SYS_exit_group,
    // Of the sanitizers.
    SYS_pipe2,
    SYS_sched_yield,
    SYS_sigaltstack,
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_renameat
    SYS_renameat,
#endif
};

}  // namespace

void confine_deputy() {
  allow_only(kCalls, /*threads=*/false);
}

}  // namespace sharkcage::sandbox
