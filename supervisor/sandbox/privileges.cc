// Async-signal-safe: runs in PID 1 between clone and execve.
#include "supervisor/sandbox/privileges.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

constexpr unsigned long kSecurebits =
    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

// What a weakened launcher does instead of dropping them: a program executed by another user than
// the namespace's root would lose them unless they are ambient (capabilities(7)).
int hand_on_capabilities() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct all[2] = {};
  if (::syscall(SYS_capget, &header, all) != 0) return -1;
  for (__user_cap_data_struct& part : all) part.inheritable = part.permitted;
  if (::syscall(SYS_capset, &header, all) != 0) return -1;
  for (unsigned long capability = 0; capability < 64; ++capability) {
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
  }
  return 0;
}

// To the capabilities of `kept` (below 32), and those not inheritable.
int lower_capabilities(std::uint32_t kept) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  if (::prctl(PR_SET_SECUREBITS, kSecurebits, 0, 0, 0) != 0) return -1;
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return -1;
  // The kernel may know more capabilities than this header: EINVAL tells the end.
  for (unsigned long capability = 0; ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0;) {
    ++capability;
  }
  if (errno != EINVAL) return -1;
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  const __user_cap_data_struct data[2] = {{kept, kept, 0}, {0, 0, 0}};
  return static_cast<int>(::syscall(SYS_capset, &header, data));
}

}  // namespace

// The raw calls: glibc's setresuid would ask its other threads to follow, and there are none.
int become_sandbox_user(const Plan& plan) {
  if (plan.become_uid < 0) return 0;
  if (::syscall(SYS_setgroups, 0, nullptr) != 0) return -1;
  const auto gid = static_cast<gid_t>(plan.become_gid);
  const auto uid = static_cast<uid_t>(plan.become_uid);
  if (::syscall(SYS_setresgid, gid, gid, gid) != 0) return -1;
  // No capability is lost here: uid 0 of the namespace is not involved (capabilities(7), "Effect of
  // user ID changes on capabilities").
  return static_cast<int>(::syscall(SYS_setresuid, uid, uid, uid));
}

int drop_privileges() {
  if (weakened::leaves_out(weakened::Layer::kPrivileges)) return hand_on_capabilities();
  return lower_capabilities(0);
}

int drop_privileges_but(std::initializer_list<unsigned> kept) {
  std::uint32_t mask = 0;
  for (const unsigned capability : kept) mask |= std::uint32_t{1} << capability;
  return lower_capabilities(mask);
}

}  // namespace sharkcage::sandbox
