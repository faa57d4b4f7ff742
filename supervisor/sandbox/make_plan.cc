#include "supervisor/sandbox/make_plan.h"

#include <sys/resource.h>

#include <algorithm>

#include "supervisor/sandbox/landlock.h"
#include "supervisor/sandbox/root.h"
#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";

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

void plan_limits(const Limits& limits, Plan& plan) {
  if (weakened::leaves_out(weakened::Layer::kLimits)) return;
  plan.rlimits = {{RLIMIT_NOFILE, limits.open_files},
                  {RLIMIT_FSIZE, limits.file_size},
                  {RLIMIT_NPROC, limits.pids},
                  {RLIMIT_CORE, 0}};
}

std::string search_path(const std::vector<std::string>& environment) {
  for (const std::string& variable : environment) {
    if (variable.starts_with("PATH=")) return variable.substr(5);
  }
  return kDefaultPath;
}

// execvp(3): a name with a slash is a path, any other is looked for along PATH.
void plan_candidates(const Spec& spec, Plan& plan) {
  const std::string& name = spec.argv[0];
  if (name.empty()) return;
  if (name.find('/') != std::string::npos) {
    plan.candidates.push_back(name);
    return;
  }
  const std::string path = search_path(spec.environment);
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find(':', start), path.size());
    const std::string directory = path.substr(start, end - start);
    plan.candidates.push_back((directory.empty() ? "." : directory) + "/" + name);
    start = end + 1;
  }
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> list;
  list.reserve(strings.size() + 1);
  for (std::string& text : strings) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

void plan_command(Spec& spec, Plan& plan) {
  plan_candidates(spec, plan);
  plan.workdir = spec.workdir;
  plan.argv = pointers(spec.argv);
  plan.environment = pointers(spec.environment);
  static char shell[] = "/bin/sh";
  plan.script_argv = plan.argv;
  plan.script_argv.insert(plan.script_argv.begin(), shell);
  plan.exec_any = spec.policy.exec.any;
}

}  // namespace

Plan make_plan(Spec& spec, const Prepared& prepared) {
  Plan plan;
  std::vector<std::string> executable;
  plan_identity(spec, plan);
  plan.network = spec.policy.network();
  plan.terminal = spec.terminal.enabled;
  plan.rows = static_cast<unsigned short>(spec.terminal.rows);
  plan.columns = static_cast<unsigned short>(spec.terminal.columns);
  plan_root(spec, prepared, plan, executable);
  plan_landlock(spec, prepared.landlock_abi, executable, plan);
  plan.filter = spec.policy.exec.any ? &prepared.filter_any : &prepared.filter_scoped;
  plan_limits(spec.policy.limits, plan);
  plan_command(spec, plan);
  return plan;
}

}  // namespace sharkcage::sandbox
