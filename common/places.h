// Where an instance keeps its things. Three layouts: SHARKCAGE_HOME, a system install, a user install.
#pragma once

#include <string>

namespace sharkcage {

struct Places {
  enum class Install { kHome, kSystem, kUser };

  Install install = Install::kUser;
  std::string config_dir;  // etc: config.json
  std::string state_dir;   // var: audit log, approvals, skill content
  std::string run_dir;     // run: supervisor.sock

  std::string config_file() const { return config_dir + "/config.json"; }
  std::string socket() const { return run_dir + "/supervisor.sock"; }
  std::string audit_db() const { return state_dir + "/audit/audit.db"; }
  std::string seal_file() const { return state_dir + "/seal/head"; }
  std::string key_file() const { return state_dir + "/keys/instance.key"; }
  std::string approvals_db() const { return state_dir + "/approvals.db"; }
  std::string skills_dir() const { return state_dir + "/skills"; }
  std::string lock_file() const { return state_dir + "/supervisor.lock"; }
};

// The instance that the environment names: SHARKCAGE_HOME if set (must be absolute), else the system
// install for root and for anyone where only that one runs, else the XDG directories
// (XDG Base Directory Specification 0.8). Throws UserError.
Places find_places();

// Creates the directories of `places` with mode 0700 (a system install's run directory is 0755, so
// that peers reach the socket, whose roles guard it). Refuses directories that belong to another
// user or that others can write to. Throws UserError, system_error.
void create_places(const Places& places);

// A home directory of `uid` from the user database, or empty.
std::string home_of(unsigned uid);

}  // namespace sharkcage
