#include "supervisor/sandbox/make_plan.h"

#include <sys/resource.h>

#include "supervisor/sandbox/cgroup.h"
#include "supervisor/sandbox/landlock.h"
#include "supervisor/sandbox/root.h"
#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

// What runs in a user namespace beside the commands and the keepers that wait. More than a control
// group of processes leaves for us, so that where there is one it refuses first, and counts.
constexpr std::uint64_t kOurProcesses = 12;

void plan_identity(const Spec& spec, Plan& plan) {
  if (!spec.identity.privileged()) return;
  plan.become_uid = inside_uid(spec.identity);
  plan.become_gid = inside_gid(spec.identity);
}

// The same rights as the mounts give, so that neither layer alone is all there is.
void plan_landlock(const Spec& spec, int abi, const std::vector<std::string>& executable,
                   Plan& plan) {
  if (abi == 0) return;
  const LandlockRights rights(abi);
  const bool any = spec.policy.exec.any;
  plan.landlock_handled = rights.handled;
  plan.landlock_scoped = rights.scoped;
  plan.landlock_attr_size = rights.attr_size;
  auto& rules = plan.landlock_rules;
  rules.push_back({"/", rights.read | (any ? rights.execute : 0)});
  rules.push_back({"/dev", rights.device});
  for (const std::string& path :
       {std::string("/dev/shm"), std::string("/tmp"), std::string("/var/tmp"), spec.policy.home}) {
    if (!path.empty()) rules.push_back({path, rights.write});
  }
  for (const JudgedPath& path : spec.paths) {
    std::uint64_t access = path.access == Access::kReadWrite ? rights.write : 0;
    if (path.skill) access |= rights.execute;
    if (access != 0) rules.push_back({path.target, access});
  }
  if (any) return;
  for (const std::string& path : executable) rules.push_back({path, rights.execute});
}

// Of signals that wait and of message queues, which are counted by user (getrlimit(2)): in a user
// install together with the person's own. A sandbox gets one part in four, as in counts.cc.
constexpr rlim_t kShare = 4;

void plan_limits(const Limits& limits, Plan& plan) {
  if (weakened::leaves_out(weakened::Layer::kLimits)) return;
  plan.rlimits = {{RLIMIT_NOFILE, limits.open_files},
                  {RLIMIT_FSIZE, limits.file_size},
                  {RLIMIT_NPROC, limits.pids + kOurProcesses + most_waiting_keepers(limits)},
                  {RLIMIT_CORE, 0}};
  for (const auto resource : {RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE}) {
    rlimit all{};
    if (::getrlimit(resource, &all) != 0 || all.rlim_cur == RLIM_INFINITY) continue;
    plan.rlimits.push_back({static_cast<int>(resource), all.rlim_cur / kShare});
  }
}

}  // namespace

Plan make_plan(const Spec& spec, const Prepared& prepared) {
  Plan plan;
  std::vector<std::string> executable;
  plan_identity(spec, plan);
  plan.network = spec.policy.network();
  plan_root(spec, prepared, plan, executable);
  plan_landlock(spec, prepared.landlock_abi, executable, plan);
  plan.filter = spec.policy.exec.any ? &prepared.filter_any : &prepared.filter_scoped;
  plan_limits(spec.policy.limits, plan);
  plan.exec_any = spec.policy.exec.any;
  return plan;
}

}  // namespace sharkcage::sandbox
