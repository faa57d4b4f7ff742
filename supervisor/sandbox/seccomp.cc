#include "supervisor/sandbox/seccomp.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "common/errors.h"
#include "common/fd.h"
#include "supervisor/sandbox/seccomp_tables.h"
#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                                      CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
// The kernel reads most of these arguments as 32 bits; a comparison of 64 could be evaded by the
// upper half.
constexpr std::uint64_t kLow32 = 0xffffffff;

// Rules of one kind: everything else has the default action.
class Program {
 public:
  explicit Program(std::uint32_t default_action)
      : context_(::seccomp_init(default_action), &::seccomp_release) {
    if (!context_) throw std::runtime_error("seccomp_init failed");
    // 32-bit and x32 calls go by other numbers than the ones judged here.
    set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    set(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree instead of a list
  }

  void allow(const char* name) { add(SCMP_ACT_ALLOW, name, {}); }
  void refuse(const char* name, std::initializer_list<scmp_arg_cmp> when = {}, int error = EPERM) {
    add(SCMP_ACT_ERRNO(static_cast<std::uint32_t>(error)), name, when);
  }
  // The call waits for the deputy.
  void ask(const char* name, std::initializer_list<scmp_arg_cmp> when = {}) {
    if (weakened::leaves_out(weakened::Layer::kRecording)) return refuse(name, when);
    add(SCMP_ACT_NOTIFY, name, when);
  }

  // libseccomp 2.5 exports to a descriptor only.
  std::vector<sock_filter> compile() const {
    const UniqueFd memory(::memfd_create("seccomp", MFD_CLOEXEC));
    if (!memory) throw_errno("memfd_create");
    const int result = ::seccomp_export_bpf(context_.get(), memory.get());
    if (result != 0) throw_errno(-result, "seccomp_export_bpf");
    if (::lseek(memory.get(), 0, SEEK_SET) != 0) throw_errno("lseek");
    const std::string bytes = read_fd(memory.get(), 1 << 20, "the seccomp filter");
    std::vector<sock_filter> program(bytes.size() / sizeof(sock_filter));
    std::memcpy(program.data(), bytes.data(), program.size() * sizeof(sock_filter));
    return program;
  }

 private:
  void set(scmp_filter_attr attribute, std::uint32_t value) {
    const int result = ::seccomp_attr_set(context_.get(), attribute, value);
    if (result != 0) throw_errno(-result, "seccomp_attr_set");
  }

  // A call that this architecture or this libseccomp does not know stays unknown: ENOSYS.
  void add(std::uint32_t action, const char* name, std::initializer_list<scmp_arg_cmp> when) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number < 0) return;
    const int result = ::seccomp_rule_add_array(context_.get(), action, number,
                                                static_cast<unsigned>(when.size()), when.begin());
    if (result != 0) throw_errno(-result, "seccomp_rule_add", name);
  }

  std::unique_ptr<void, decltype(&::seccomp_release)> context_;
};

scmp_arg_cmp masked(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

// A program that runs later as another user must not come out of a sandbox (design.md, "Identity").
void ask_about_set_id_bits(Program& asked) {
  struct Mode {
    const char* call;
    unsigned argument;
  };
  constexpr Mode kModes[] = {{"chmod", 1}, {"fchmod", 1}, {"fchmodat", 2}, {"fchmodat2", 2}};
  for (const std::uint64_t bit : {std::uint64_t{S_ISUID}, std::uint64_t{S_ISGID}}) {
    for (const Mode& mode : kModes) asked.ask(mode.call, {masked(mode.argument, bit, bit)});
  }
}

void ask_about_namespaces(Program& asked) {
  for (std::uint64_t bit = 1; bit <= kNamespaces; bit <<= 1) {
    if ((kNamespaces & bit) != 0) asked.ask("clone", {masked(0, bit, bit)});
  }
}

// Calls that make, open for writing, move, link and delete files. Opening for reading, which is
// most of all calls, is not among them. O_TMPFILE holds O_DIRECTORY: only its own bit tells.
void ask_about_files(Program& asked) {
  if (weakened::leaves_out(weakened::Layer::kRecording)) return;
  struct Open {
    const char* call;
    unsigned flags;
  };
  constexpr Open kOpens[] = {{"open", 1}, {"openat", 2}};
  for (const Open& open : kOpens) {
    for (const int bit : {O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_TMPFILE & ~O_DIRECTORY}) {
      const auto flag = static_cast<std::uint64_t>(bit);
      asked.ask(open.call, {masked(open.flags, flag, flag)});
    }
  }
  for (const char* call :
       {"creat", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2", "link",
        "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir", "truncate"}) {
    asked.ask(call);
  }
}

// What the kernel refuses on a read-only mount, or on one where nothing may be executed: asked to
// be recorded only (watched_calls.h).
void ask_about_watched(Program& asked, bool exec_any) {
  if (weakened::leaves_out(weakened::Layer::kRecording)) return;
  for (const char* call :
       {"chmod", "fchmodat", "chown", "lchown", "fchownat", "utime", "utimes", "futimesat",
        "utimensat", "setxattr", "lsetxattr", "removexattr", "lremovexattr"}) {
    asked.ask(call);
  }
  if (exec_any) return;
  asked.ask("execve");
  asked.ask("execveat");
}

// Limits of another process, PID 1 for one, may be read and not set.
void ask_about_limits_of_others(Program& asked) {
  asked.ask("prlimit64", {{0, SCMP_CMP_NE, 0, 0}, {2, SCMP_CMP_NE, 0, 0}});
}

// Internet sockets, TCP and UDP, and Unix streams and sequences of packets. Anything else could
// load a module of the kernel that nobody has looked at for years. A Unix datagram can be sent to
// an address that is in memory (sendmsg), where a filter cannot look, and what is bound and
// connected is judged by the deputy.
void ask_about_sockets(Program& asked) {
  static_assert(AF_UNIX == 1 && AF_INET == 2 && AF_INET6 == 10);
  struct Block {
    std::uint64_t mask, value;
  };
  // 0 … 63 without 1, 2 and 10.
  constexpr Block kFamilies[] = {{0xff, 0},  {0xff, 3},  {0xfc, 4},  {0xfe, 8},
                                 {0xff, 11}, {0xfc, 12}, {0xf0, 16}, {0xe0, 32}};
  for (const char* call : {"socket", "socketpair"}) {
    for (const Block& block : kFamilies) {
      asked.ask(call, {masked(0, 0xffffff00 | block.mask, block.value)});
    }
    asked.ask(call, {{0, SCMP_CMP_GE, 64, 0}});
    for (const int type : {SOCK_RAW, SOCK_RDM, SOCK_DCCP, SOCK_PACKET}) {
      asked.ask(call, {masked(1, 0xf, static_cast<std::uint64_t>(type))});
    }
    asked.ask(call, {{2, SCMP_CMP_GT, IPPROTO_UDP, 0}});
  }
  asked.ask("socketpair", {masked(1, 0xf, SOCK_DGRAM)});
  asked.ask("bind");
  asked.ask("connect");
  asked.ask("sendto", {{4, SCMP_CMP_NE, 0, 0}});
}

// Terminals: no injected input (TIOCSTI), no console selection (TIOCLINUX), no console stolen
// (TIOCCONS), no line discipline (TIOCSETD), which would load its module.
void ask_about_terminals(Program& asked) {
  for (const std::uint64_t request : {std::uint64_t{TIOCSTI}, std::uint64_t{TIOCLINUX},
                                      std::uint64_t{TIOCCONS}, std::uint64_t{TIOCSETD}}) {
    asked.ask("ioctl", {masked(1, kLow32, request)});
  }
}

// Requests 0 … 255 of a kind ("type", ioctl(2)) but `allowed`, by blocks of a power of two.
// Direction and size, which differ between 32 and 64 bits, do not matter.
void ask_about_requests(Program& asked, std::uint64_t kind, std::uint64_t first, std::uint64_t size,
                        std::initializer_list<std::uint64_t> allowed) {
  const auto in_block = [&](std::uint64_t one) { return one >= first && one < first + size; };
  if (std::none_of(allowed.begin(), allowed.end(), in_block)) {
    asked.ask("ioctl", {masked(1, 0xffff & ~(size - 1), kind << 8 | first)});
  } else if (size > 1) {
    ask_about_requests(asked, kind, first, size / 2, allowed);
    ask_about_requests(asked, kind, first + size / 2, size / 2, allowed);
  }
}

// Requests to a file system that make names in a directory which is open for reading (subvolumes
// and snapshots of btrfs and bcachefs, reflinks of ocfs2), or change what a name is: flags, of
// which one makes a directory fold case. Data may be shared, flags and labels be read.
void ask_about_file_systems(Program& asked) {
  constexpr std::uint64_t kAll = 256;
  const auto number = [](std::uint64_t request) { return request & 0xff; };
  ask_about_requests(asked, 0x94, 0, kAll,
                     {number(FICLONE), number(FICLONERANGE), number(FIDEDUPERANGE),
                      number(FS_IOC_GETFSLABEL), number(BTRFS_IOC_FS_INFO)});
  ask_about_requests(asked, 0xbc, 0, kAll, {});
  asked.ask("ioctl", {masked(1, 0xffff, 'o' << 8 | 4)});  // OCFS2_IOC_REFLINK
  for (const std::uint64_t request :
       {std::uint64_t{FS_IOC_SETFLAGS}, std::uint64_t{FS_IOC_FSSETXATTR},
        std::uint64_t{FS_IOC_SET_ENCRYPTION_POLICY}, std::uint64_t{FS_IOC_ADD_ENCRYPTION_KEY},
        std::uint64_t{FS_IOC_REMOVE_ENCRYPTION_KEY}}) {
    asked.ask("ioctl", {masked(1, 0xffff, request & 0xffff)});
  }
}

// What programs try without wanting it, so that nobody is told: resolvers ask for the kernel's
// routes (netlink), the C library for the system log (Unix datagrams), runtimes for the interfaces,
// some for a connection that begins with data.
// Of the requests 0x8900 … 0x89ff only SIOCATMARK (0x8905) is left, which TCP urgent data needs.
void refuse_quietly(Program& quiet) {
  quiet.refuse("socket", {masked(0, kLow32, AF_NETLINK)}, EAFNOSUPPORT);
  // syslog(3), whose end nobody waits for.
  quiet.refuse("socket", {masked(0, kLow32, AF_UNIX), masked(1, 0xf, SOCK_DGRAM)}, EAFNOSUPPORT);
  // Data in the SYN connects without connect(2), past the deputy. Programs that try it fall back to
  // connect(2) at this error, which is that of a kernel without it.
  for (const auto& [call, flags] : {std::pair{"sendto", 3u}, {"sendmsg", 2u}, {"sendmmsg", 3u}}) {
    quiet.refuse(call, {masked(flags, MSG_FASTOPEN, MSG_FASTOPEN)}, EOPNOTSUPP);
  }
  struct Block {
    std::uint64_t mask, value;
  };
  constexpr Block kRequests[] = {{0xff, 0x04}, {0xfe, 0x06}, {0xfc, 0x00}, {0xf8, 0x08},
                                 {0xf0, 0x10}, {0xe0, 0x20}, {0xc0, 0x40}, {0x80, 0x80}};
  for (const Block& block : kRequests) {
    quiet.refuse("ioctl", {masked(1, 0xffffff00 | block.mask, 0x8900 | block.value)});
  }
}

// `first` decides what it names and leaves the rest to `second`. One program costs less than two
// filters: its "allow" becomes a jump to the other's beginning.
std::vector<sock_filter> chain(std::vector<sock_filter> first,
                               const std::vector<sock_filter>& second) {
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (first[i].code == (BPF_RET | BPF_K) && first[i].k == SECCOMP_RET_ALLOW) {
      first[i] = BPF_STMT(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(first.size() - i - 1));
    }
  }
  first.insert(first.end(), second.begin(), second.end());
  if (first.size() > BPF_MAXINSNS) throw std::runtime_error("the seccomp filter is too long");
  return first;
}

}  // namespace

// clone3 and openat2 take flags in memory, where a filter cannot look; as unknown calls (ENOSYS)
// they make the C library use clone and openat.
std::vector<sock_filter> build_filter(bool exec_any) {
  if (weakened::leaves_out(weakened::Layer::kSeccomp)) {
    return {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  }
  Program quiet(SCMP_ACT_ALLOW);
  refuse_quietly(quiet);

  Program asked(SCMP_ACT_ALLOW);
  for (const char* name : kRefusedCalls) asked.ask(name);
  ask_about_files(asked);
  ask_about_watched(asked, exec_any);
  ask_about_set_id_bits(asked);
  ask_about_namespaces(asked);
  ask_about_limits_of_others(asked);
  ask_about_sockets(asked);
  ask_about_terminals(asked);
  ask_about_file_systems(asked);
  // MFD_NOEXEC_SEAL keeps a memfd from execve only: the dynamic loader would still map and run it.
  if (!exec_any) asked.ask("memfd_create");

  Program allowed(SCMP_ACT_ERRNO(ENOSYS));
  for (const char* name : kAllowedCalls) allowed.allow(name);
  return chain(quiet.compile(), chain(asked.compile(), allowed.compile()));
}

int error_of_refused(int call, const std::array<std::uint64_t, 6>& args) {
  if (call == SYS_memfd_create) return EACCES;
  if (call != SYS_socket && call != SYS_socketpair) return EPERM;
  const auto family = static_cast<int>(args[0]);
  const auto type = static_cast<int>(args[1]) & 0xf;
  if (family != AF_INET && family != AF_INET6) return EAFNOSUPPORT;
  return type == SOCK_STREAM || type == SOCK_DGRAM || type == SOCK_SEQPACKET ? EPROTONOSUPPORT
                                                                             : EPERM;
}

std::string call_name(int call) {
  char* name = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
  if (name == nullptr) return "number " + std::to_string(call);
  std::string text = name;
  std::free(name);
  return text;
}

// In front of the other rules. A number of another architecture's table means another call there,
// which they refuse anyway.
std::vector<sock_filter> with_fixed_processors(const std::vector<sock_filter>& filter) {
  std::vector<sock_filter> fixed = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setaffinity, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)};
  fixed.insert(fixed.end(), filter.begin(), filter.end());
  return fixed;
}

}  // namespace sharkcage::sandbox
