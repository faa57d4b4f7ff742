// sc doctor: can this machine do what is promised, and is the installation whole?
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "cli/commands.h"
#include "common/config.h"
#include "common/errors.h"
#include "common/places.h"

namespace sharkcage::cli {
namespace {

struct Check {
  std::string name;
  bool ok = false;
  bool required = true;
  std::string detail;
  std::string remedy;
};

constexpr int kOldestMajor = 6;
constexpr int kOldestMinor = 1;

Check check_kernel() {
  utsname name{};
  ::uname(&name);
  int major = 0;
  int minor = 0;
  std::sscanf(name.release, "%d.%d", &major, &minor);
  const bool ok = major > kOldestMajor || (major == kOldestMajor && minor >= kOldestMinor);
  return {"kernel", ok, true, name.release, "Sharkcage needs Linux 6.1 (Debian 12) or newer."};
}

long first_number(const std::string& path, long fallback) {
  std::ifstream file(path);
  long value = fallback;
  file >> value;
  return file ? value : fallback;
}

// Settings that keep an ordinary user from making namespaces. root needs none of them.
Check check_user_namespaces() {
  Check check{"user namespaces", true, true, "available", ""};
  const bool root = ::geteuid() == 0;
  if (first_number("/proc/sys/user/max_user_namespaces", 1) == 0) {
    check.ok = false;
    check.detail = "switched off (user.max_user_namespaces is 0)";
    check.remedy = "sudo sysctl user.max_user_namespaces=15000";
  } else if (!root && first_number("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0) {
    check.ok = false;
    check.detail = "root only (kernel.unprivileged_userns_clone is 0)";
    check.remedy = "sudo sysctl kernel.unprivileged_userns_clone=1, or make a system install";
  } else if (!root &&
             first_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) == 1) {
    check.required = false;
    check.ok = false;
    check.detail = "restricted by AppArmor: only programs with a profile may make them";
    check.remedy = "See INSTALL.md, AppArmor: a profile for sharkcage-launcher";
  }
  return check;
}

Check check_landlock() {
  // landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION.
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1u);
  if (abi > 0) return {"Landlock", true, true, "ABI " + std::to_string(abi), ""};
  return {"Landlock", false, false, std::string("not available (") + std::strerror(errno) + ")",
          "Boot with \"landlock\" in the kernel's lsm= list; mounts hold without it."};
}

Check check_configuration() {
  const std::string path = find_places().config_file();
  if (::access(path.c_str(), F_OK) != 0) {
    return {"configuration", true, true, "defaults (no " + path + ")", ""};
  }
  if (::access(path.c_str(), R_OK) != 0)
    return {"configuration", true, false, path + " (not readable by you)", ""};
  try {
    load_config(path);
    return {"configuration", true, true, path, ""};
  } catch (const UserError& error) {
    return {"configuration", false, true, error.what(), error.remedy()};
  }
}

Check check_programs() {
  std::string missing;
  for (const char* name :
       {"sharkcaged", "sc-exec", "sc-attend", "sharkcage-launcher", "sharkcage-egress"}) {
    if (::access(sibling(name).c_str(), X_OK) != 0)
      missing += std::string(missing.empty() ? "" : ", ") + name;
  }
  const std::string folder = std::filesystem::path(sibling("sc")).parent_path().string();
  if (missing.empty()) return {"programs", true, true, folder, ""};
  return {"programs", false, true, "missing in " + folder + ": " + missing,
          "Install Sharkcage again: ./install.sh"};
}

// The supervisor's own view: it has tried a real sandbox.
void add_supervisor_checks(std::vector<Check>& checks) {
  Json status;
  try {
    status = connect().call("status.get", Json::object());
  } catch (const UserError& error) {
    checks.push_back({"supervisor", false, true, error.what(), error.remedy()});
    return;
  } catch (const rpc::RemoteError& error) {
    checks.push_back(
        {"supervisor", false, true, error.what(), text_of(error.error().data, "remedy")});
    return;
  }
  checks.push_back({"supervisor", true, true, text_of(status, "server"), ""});
  const Json audit = status.value("audit", Json::object());
  const bool healthy = audit.value("healthy", false);
  checks.push_back({"audit log", healthy, true,
                    healthy ? "can be written" : text_of(audit, "reason"),
                    healthy ? "" : "Nothing runs until it can be; see the supervisor's log."});
  for (const Json& facility : status.value("facilities", Json::array())) {
    checks.push_back({text_of(facility, "name"), facility.value("ok", false),
                      facility.value("required", true), text_of(facility, "detail"),
                      text_of(facility, "remedy")});
  }
}

Json to_json(const std::vector<Check>& checks, bool passed) {
  Json list = Json::array();
  for (const Check& check : checks) {
    Json entry = {{"name", check.name},
                  {"ok", check.ok},
                  {"required", check.required},
                  {"detail", check.detail}};
    if (!check.ok && !check.remedy.empty()) entry["remedy"] = check.remedy;
    list.push_back(std::move(entry));
  }
  return {{"ok", passed}, {"checks", std::move(list)}};
}

int doctor(const Invocation& invocation) {
  std::vector<Check> checks = {check_kernel(), check_user_namespaces(), check_landlock(),
                               check_programs(), check_configuration()};
  add_supervisor_checks(checks);
  bool passed = true;
  for (const Check& check : checks) passed = passed && (check.ok || !check.required);
  if (invocation.json) {
    print_json(to_json(checks, passed));
    return passed ? kDone : kFailed;
  }
  const bool colours = colours_on(STDOUT_FILENO);
  Table table;
  std::vector<std::pair<std::string, std::string>> remedies;  // checks, what helps them
  for (const Check& check : checks) {
    const Colour colour = check.ok         ? Colour::kGreen
                          : check.required ? Colour::kRed
                                           : Colour::kYellow;
    table.add({{check.ok         ? "ok"
                : check.required ? "FAIL"
                                 : "weak",
                colour},
               check.name,
               check.detail});
    if (!check.ok && !check.remedy.empty()) {
      const auto same = std::find_if(remedies.begin(), remedies.end(), [&](const auto& known) {
        return known.second == check.remedy;
      });
      if (same == remedies.end()) {
        remedies.emplace_back(check.name, check.remedy);
      } else {
        same->first += ", " + check.name;
      }
    }
  }
  std::string text = table.text(colours) + (remedies.empty() ? "" : "\nWhat to do:\n");
  for (const auto& [names, remedy] : remedies) {
    text += "  " + Cell(names + ": " + remedy).painted(colours) + '\n';
  }
  print(text);
  return passed ? kDone : kFailed;
}

}  // namespace

void add_doctor(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      add_command(app, invocation, "doctor",
                  "Check this machine and this installation, with remedies", "sc doctor");
  command->callback(
      [&invocation] { invocation.action = [&invocation] { return doctor(invocation); }; });
}

}  // namespace sharkcage::cli
