#include "common/places.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include "common/errors.h"

namespace sharkcage {
namespace {

constexpr const char* kSystemRun = "/run/sharkcage";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

// XDG: a relative value must be ignored.
std::string xdg(const char* name, const std::string& fallback) {
  const std::string value = environment(name);
  return !value.empty() && value.front() == '/' ? value : fallback;
}

void create_private(const std::string& path, mode_t mode) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(parent, error);
  if (error) {
    throw UserError("Cannot make the directory " + parent.string() + " (" + error.message() + ")",
                    "Let an instance lie where you may write (SHARKCAGE_HOME, XDG_STATE_HOME), or "
                    "start it as the user whose it is.");
  }
  if (::mkdir(path.c_str(), mode) == 0) {
    // Whatever the umask is: peers of a system install must reach the socket.
    if (::chmod(path.c_str(), mode) != 0) throw_errno("chmod", path);
  } else if (errno != EEXIST) {
    throw_errno("mkdir", path);
  }
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) throw_errno("lstat", path);
  if (!S_ISDIR(status.st_mode)) throw UserError(path + " is not a directory");
  if (status.st_uid != ::geteuid()) {
    throw UserError(path + " belongs to user id " + std::to_string(status.st_uid) + ", not to " +
                        std::to_string(::geteuid()),
                    "Choose another directory or change its owner.");
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    throw UserError(path + " can be written by other users", "Run: chmod go-w " + path);
  }
}

}  // namespace

std::string home_of(unsigned uid) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return {};
  }
  return found->pw_dir;
}

Places find_places() {
  Places places;
  if (const std::string home = environment("SHARKCAGE_HOME"); !home.empty()) {
    if (home.front() != '/') {
      throw UserError("SHARKCAGE_HOME is \"" + home + "\", which is not an absolute path");
    }
    places.install = Places::Install::kHome;
    places.config_dir = home + "/etc";
    places.state_dir = home + "/var";
    places.run_dir = home + "/run";
    return places;
  }
  const std::string home = environment("HOME").empty() ? home_of(::geteuid()) : environment("HOME");
  places.config_dir = xdg("XDG_CONFIG_HOME", home + "/.config") + "/sharkcage";
  places.state_dir = xdg("XDG_STATE_HOME", home + "/.local/state") + "/sharkcage";
  const std::string runtime = xdg("XDG_RUNTIME_DIR", "");
  places.run_dir = runtime.empty() ? places.state_dir + "/run" : runtime + "/sharkcage";

  const bool user_runs = std::filesystem::exists(places.socket());
  const bool system_runs =
      ::access((std::string(kSystemRun) + "/supervisor.sock").c_str(), F_OK) == 0;
  if (::geteuid() == 0 || (system_runs && !user_runs)) {
    places.install = Places::Install::kSystem;
    places.config_dir = "/etc/sharkcage";
    places.state_dir = "/var/lib/sharkcage";
    places.run_dir = kSystemRun;
  }
  return places;
}

void create_places(const Places& places) {
  create_private(places.config_dir, 0700);
  create_private(places.state_dir, 0700);
  create_private(places.run_dir, ::geteuid() == 0 ? 0755 : 0700);
  for (const char* folder : {"/audit", "/seal", "/keys", "/skills"}) {
    create_private(places.state_dir + folder, 0700);
  }
}

}  // namespace sharkcage
