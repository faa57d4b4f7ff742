// sharkcaged: the supervisor's program.
//
// The order matters: the launcher is started before any thread exists, the host is tested before
// anything is served, and the lock is held before anything is written.
#include <grp.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>

#include "capabilities/catalogue.h"
#include "capabilities/hosts.h"
#include "capabilities/manifest.h"
#include "capabilities/network_programs.h"
#include "common/errors.h"
#include "common/machine.h"
#include "common/text.h"
#include "supervisor/host_ids.h"
#include "supervisor/supervisor.h"

namespace sharkcage {
namespace {

constexpr rlim_t kDescriptors = 16384;

// The identity that calls get, for the test of the host.
sandbox::Identity test_identity(HostIds& ids) {
  sandbox::Identity identity{::getuid(), ::getgid(), "sharkcage", 0, {}};
  if (::geteuid() == 0) identity.host_uid = ids.take();
  return identity;
}

void require_sandbox(const std::vector<sandbox::Facility>& facilities) {
  if (sandbox::can_sandbox(facilities)) return;
  std::string problem = "This host cannot sandbox, so nothing is served:";
  std::string remedy;
  for (const auto& facility : facilities) {
    if (facility.ok || !facility.required) continue;
    problem += "\n  " + facility.name + ": " + facility.detail;
    if (!facility.remedy.empty()) remedy += (remedy.empty() ? "" : " ") + facility.remedy;
  }
  throw UserError(problem + "\n", remedy);
}

// Paths are opened with the rights of the person for whom a call is (judge.cc): root's groups would
// add to them.
void drop_groups() {
  if (::geteuid() == 0 && ::getgroups(0, nullptr) > 0 && ::setgroups(0, nullptr) != 0) {
    throw_errno("setgroups");
  }
}

// What the configuration's parser does not know the form of.
void check_config(Config& config, const std::string& file) {
  for (const auto& [name, host] : config.services)
    parse_host(host, file + ": services." + printable(name));
  for (const auto& host : config.deny_hosts) parse_host(host, file + ": deny_hosts");
  for (const auto& [name, skill] : config.network.skills) {
    const std::string place = file + ": network.skills." + printable(name);
    if (name != kAgent && !is_skill_name(name)) {
      throw UserError(place + ": not a name of a skill", "\"agent\" is the baseline.");
    }
    for (const auto& host : skill.deny_hosts) parse_host(host, place + ".deny_hosts");
  }
  resolve_network_programs(config.network, file + ": network");
  for (const auto& [name, client] : config.egress_clients) {
    if (client.skill == kAgent || is_skill_name(client.skill)) continue;
    throw UserError(file + ": egress_clients." + name + ".skill: not a name of a skill",
                    "\"agent\" is the baseline.");
  }
  try {
    Catalogue{config.capabilities};
  } catch (const UserError& error) {
    throw UserError(file + ": " + error.what(), error.remedy());
  }
}

// Each connection and each call needs some; a shell's usual 1024 are soon used up.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("getrlimit", "RLIMIT_NOFILE");
  if (limit.rlim_cur >= kDescriptors) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, kDescriptors);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("setrlimit", "RLIMIT_NOFILE");
}

int serve() {
  ::umask(0077);
  drop_groups();
  raise_descriptor_limit();
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a write beyond RLIMIT_FSIZE fails with EFBIG, which is told
  const Places places = find_places();
  create_places(places);
  const UniqueFd lock = take_lock(places);
  Config config = load_config(places.config_file());
  check_config(config, places.config_file());
  config.limits = limits_within(config.limits, this_machine());
  sandbox::Launcher launcher = sandbox::Launcher::start();
  HostIds ids;
  auto facilities = sandbox::smoke_test(launcher, test_identity(ids), places.state_dir);
  require_sandbox(facilities);
  Supervisor supervisor(places, std::move(config), std::move(launcher), std::move(facilities));
  return supervisor.run();
}

}  // namespace
}  // namespace sharkcage

int main(int argc, char** argv) {
  CLI::App app(
      "sharkcaged: decides every tool call, runs it in a sandbox, and writes it down.\n"
      "Serves in the foreground until SIGTERM; `sc start` runs it in the background.");
  app.set_version_flag("--version", std::string("sharkcaged ") + sharkcage::kVersion);
  app.footer("Example:\n  SHARKCAGE_HOME=/tmp/cage sharkcaged");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  spdlog::set_default_logger(spdlog::stderr_color_st("sharkcaged"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%f %l %v");
  try {
    return sharkcage::serve();
  } catch (const sharkcage::UserError& error) {
    std::fprintf(stderr, "sharkcaged: %s\n", error.full().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sharkcaged: %s\n", error.what());
  }
  return 1;
}
