// Which system calls a sandbox refuses, by number. A list of its own: the attack knows nothing of
// how the filter is made.
#pragma once

#include <sys/syscall.h>

#include <climits>

namespace escape {

// The first argument, where "nothing" (-1) would not tell that the kernel looked at the call.
inline constexpr long kAnything = LONG_MIN;

struct Refused {
  const char* name;
  long number;
  long first = kAnything;
};

inline constexpr Refused kRefused[] = {
#ifdef SYS_kcmp
    {"kcmp", SYS_kcmp},
#endif
#ifdef SYS_pidfd_getfd
    {"pidfd_getfd", SYS_pidfd_getfd},
#endif
#ifdef SYS_process_mrelease
    {"process_mrelease", SYS_process_mrelease},
#endif
#ifdef SYS_process_vm_readv
    {"process_vm_readv", SYS_process_vm_readv},
#endif
#ifdef SYS_process_vm_writev
    {"process_vm_writev", SYS_process_vm_writev},
#endif
#ifdef SYS_ptrace
    {"ptrace", SYS_ptrace},
#endif
#ifdef SYS_chroot
    {"chroot", SYS_chroot},
#endif
#ifdef SYS_fsconfig
    {"fsconfig", SYS_fsconfig},
#endif
#ifdef SYS_fsmount
    {"fsmount", SYS_fsmount},
#endif
#ifdef SYS_fsopen
    {"fsopen", SYS_fsopen},
#endif
#ifdef SYS_fspick
    {"fspick", SYS_fspick},
#endif
#ifdef SYS_mount
    {"mount", SYS_mount},
#endif
#ifdef SYS_mount_setattr
    {"mount_setattr", SYS_mount_setattr},
#endif
#ifdef SYS_move_mount
    {"move_mount", SYS_move_mount},
#endif
#ifdef SYS_open_by_handle_at
    {"open_by_handle_at", SYS_open_by_handle_at},
#endif
#ifdef SYS_name_to_handle_at
    {"name_to_handle_at", SYS_name_to_handle_at},
#endif
#ifdef SYS_open_tree
    {"open_tree", SYS_open_tree},
#endif
#ifdef SYS_pivot_root
    {"pivot_root", SYS_pivot_root},
#endif
#ifdef SYS_setns
    {"setns", SYS_setns},
#endif
#ifdef SYS_umount2
    {"umount2", SYS_umount2},
#endif
#ifdef SYS_unshare
    {"unshare", SYS_unshare, 0},
#endif
#ifdef SYS_bpf
    {"bpf", SYS_bpf},
#endif
#ifdef SYS_fanotify_init
    {"fanotify_init", SYS_fanotify_init},
#endif
#ifdef SYS_fanotify_mark
    {"fanotify_mark", SYS_fanotify_mark},
#endif
#ifdef SYS_io_uring_enter
    {"io_uring_enter", SYS_io_uring_enter},
#endif
#ifdef SYS_io_uring_register
    {"io_uring_register", SYS_io_uring_register},
#endif
#ifdef SYS_io_uring_setup
    {"io_uring_setup", SYS_io_uring_setup},
#endif
#ifdef SYS_memfd_secret
    {"memfd_secret", SYS_memfd_secret},
#endif
#ifdef SYS_perf_event_open
    {"perf_event_open", SYS_perf_event_open},
#endif
#ifdef SYS_userfaultfd
    {"userfaultfd", SYS_userfaultfd},
#endif
#ifdef SYS_vhangup
    {"vhangup", SYS_vhangup},
#endif
#ifdef SYS_add_key
    {"add_key", SYS_add_key},
#endif
#ifdef SYS_keyctl
    {"keyctl", SYS_keyctl},
#endif
#ifdef SYS_request_key
    {"request_key", SYS_request_key},
#endif
#ifdef SYS_acct
    {"acct", SYS_acct},
#endif
#ifdef SYS_adjtimex
    {"adjtimex", SYS_adjtimex},
#endif
#ifdef SYS_capset
    {"capset", SYS_capset},
#endif
#ifdef SYS_clock_adjtime
    {"clock_adjtime", SYS_clock_adjtime},
#endif
#ifdef SYS_clock_settime
    {"clock_settime", SYS_clock_settime},
#endif
#ifdef SYS_delete_module
    {"delete_module", SYS_delete_module},
#endif
#ifdef SYS_finit_module
    {"finit_module", SYS_finit_module},
#endif
#ifdef SYS_init_module
    {"init_module", SYS_init_module},
#endif
#ifdef SYS_kexec_file_load
    {"kexec_file_load", SYS_kexec_file_load},
#endif
#ifdef SYS_kexec_load
    {"kexec_load", SYS_kexec_load},
#endif
#ifdef SYS_migrate_pages
    {"migrate_pages", SYS_migrate_pages},
#endif
#ifdef SYS_move_pages
    {"move_pages", SYS_move_pages},
#endif
#ifdef SYS_quotactl
    {"quotactl", SYS_quotactl},
#endif
#ifdef SYS_quotactl_fd
    {"quotactl_fd", SYS_quotactl_fd},
#endif
#ifdef SYS_reboot
    {"reboot", SYS_reboot},
#endif
#ifdef SYS_setdomainname
    {"setdomainname", SYS_setdomainname},
#endif
#ifdef SYS_setgroups
    {"setgroups", SYS_setgroups},
#endif
#ifdef SYS_sethostname
    {"sethostname", SYS_sethostname},
#endif
#ifdef SYS_settimeofday
    {"settimeofday", SYS_settimeofday},
#endif
#ifdef SYS_swapoff
    {"swapoff", SYS_swapoff},
#endif
#ifdef SYS_swapon
    {"swapon", SYS_swapon},
#endif
#ifdef SYS_syslog
    {"syslog", SYS_syslog},
#endif
#ifdef SYS_clone3
    {"clone3", SYS_clone3},
#endif
#ifdef SYS_openat2
    {"openat2", SYS_openat2},
#endif
#ifdef SYS_set_mempolicy_home_node
    {"set_mempolicy_home_node", SYS_set_mempolicy_home_node},
#endif
#ifdef SYS_modify_ldt
    {"modify_ldt", SYS_modify_ldt, 0},
#endif
#ifdef SYS_ioperm
    {"ioperm", SYS_ioperm},
#endif
#ifdef SYS_iopl
    {"iopl", SYS_iopl},
#endif
};

// Calls above 424 that a sandbox has: an allowlist may name newer ones than this file knows.
constexpr bool is_expected(long number) {
  constexpr long kKnown[] = {424 /* pidfd_send_signal */,
                             434 /* pidfd_open */,
                             436 /* close_range */,
                             439 /* faccessat2 */,
                             440 /* process_madvise */,
                             441 /* epoll_pwait2 */,
                             444,
                             445,
                             446 /* landlock */,
                             449 /* futex_waitv */,
                             451 /* cachestat */,
                             452 /* fchmodat2 */,
                             453 /* map_shadow_stack */,
                             454,
                             455,
                             456 /* futex */,
                             462 /* mseal */};
  for (const long known : kKnown) {
    if (number == known) return true;
  }
  return false;
}

#ifdef __x86_64__

// The numbers of the 32-bit entry (arch/x86/entry/syscalls/syscall_32.tbl).
struct Refused32 {
  const char* name;
  long number;
  long first = -1;
};

inline constexpr long kGetpid32 = 20;
inline constexpr long kChmod32 = 15;
inline constexpr long kUnshare32 = 310;

inline constexpr Refused32 kRefused32[] = {
    {"mount", 21},
    {"ptrace", 26},
    {"umount2", 52},
    {"chroot", 61},
    {"sethostname", 74},
    {"settimeofday", 79},
    {"swapon", 87},
    {"reboot", 88},
    {"ioperm", 101},
    {"socketcall", 102},
    {"syslog", 103},
    {"iopl", 110},
    {"swapoff", 115},
    {"setdomainname", 121},
    {"modify_ldt", 123, 0},
    {"adjtimex", 124},
    {"init_module", 128},
    {"delete_module", 129},
    {"quotactl", 131},
    {"capset", 185},
    {"setgroups", 206},
    {"pivot_root", 217},
    {"clock_settime", 264},
    {"kexec_load", 283},
    {"add_key", 286},
    {"request_key", 287},
    {"keyctl", 288},
    {"unshare", 310, 0},
    {"perf_event_open", 336},
    {"fanotify_init", 338},
    {"name_to_handle_at", 341},
    {"open_by_handle_at", 342},
    {"setns", 346},
    {"process_vm_readv", 347},
    {"process_vm_writev", 348},
    {"kcmp", 349},
    {"finit_module", 350},
    {"bpf", 357},
    {"socket", 359},
    {"userfaultfd", 374},
    {"io_uring_setup", 425},
    {"open_tree", 428},
    {"move_mount", 429},
    {"fsopen", 430},
    {"fsconfig", 431},
    {"fsmount", 432},
    {"fspick", 433},
    {"clone3", 435},
    {"openat2", 437},
    {"pidfd_getfd", 438},
    {"mount_setattr", 442},
    {"memfd_secret", 447},
};

#endif  // __x86_64__

}  // namespace escape
