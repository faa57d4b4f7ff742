#include "supervisor/sandbox/failures.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace sharkcage::sandbox {
namespace {

std::string with_error(const std::string& what, int error) {
  return error == 0 ? what : what + ": " + std::strerror(error);
}

// The first number in a file of /proc/sys, or -1.
long setting(const char* path) {
  std::ifstream file(path);
  long value = -1;
  file >> value;
  return file ? value : -1;
}

bool apparmor_restricts() {
  return setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1;
}

const char* attempt_of(InitReport::What what) {
  switch (what) {
    case InitReport::kIdentity:
      return "take on the sandbox's user";
    case InitReport::kHostname:
      return "name the sandbox's host";
    case InitReport::kLoopback:
      return "bring up the network interface";
    case InitReport::kMarks:
      return "change";
    case InitReport::kListener:
      return "listen for the proxy on";
    case InitReport::kRoot:
      return "make the sandbox's root file system at";
    case InitReport::kFacade:
      return "let the facade serve";
    case InitReport::kMountTmpfs:
      return "mount a private file system on";
    case InitReport::kMountProc:
      return "mount a fresh";
    case InitReport::kMountDevpts:
      return "mount terminals on";
    case InitReport::kMountBind:
      return "show";
    case InitReport::kChanged:
      return "show";
    case InitReport::kMakePath:
      return "make a place inside for";
    case InitReport::kMask:
      return "hide";
    case InitReport::kPivot:
      return "enter the sandbox's root file system";
    case InitReport::kWorkdir:
      return "enter the working directory";
    case InitReport::kTerminalDevice:
      return "open a terminal with";
    case InitReport::kDescriptors:
      return "close what was left open";
    case InitReport::kPrivileges:
      return "give up privileges";
    case InitReport::kLandlock:
      return "restrict file access with Landlock at";
    case InitReport::kSeccomp:
      return "restrict system calls";
    case InitReport::kCommand:
      return "start the command:";
    case InitReport::kNothing:
      break;
  }
  return "make the sandbox";
}

std::string sentence_of(const Failure& failure) {
  std::string path = failure.path;
  if (failure.what != InitReport::kMountBind && failure.what != InitReport::kChanged &&
      failure.what != InitReport::kWorkdir && !path.empty() && path[0] != '/' &&
      failure.what != InitReport::kListener && failure.what != InitReport::kLoopback &&
      failure.what != InitReport::kCommand && failure.what != InitReport::kLandlock) {
    path.insert(0, "/");
  }
  std::string text = std::string("could not ") + attempt_of(failure.what);
  if (!path.empty()) text += " " + path;
  if (failure.what == InitReport::kChanged) {
    return text + ": it is another file now than the one that was judged";
  }
  if (failure.what == InitReport::kIdentity && !path.empty()) {
    return with_error("could not show " + std::string(failure.path) + " under the sandbox's user",
                      failure.error);
  }
  return with_error(text, failure.error);
}

std::string remedy_of(const Failure& failure) {
  switch (failure.what) {
    case InitReport::kIdentity:
      return failure.error == EINVAL ? "Its file system has no id-mapped mounts (ext4, xfs and "
                                       "btrfs have them, tmpfs since "
                                       "Linux 6.3): move it to one that has, or use a user install."
                                     : "";
    case InitReport::kMountProc:
      return failure.error == EPERM
                 ? "Part of the host's /proc is covered, as in most containers: run on the host "
                   "itself, "
                   "or start the container with an uncovered /proc (docker run --security-opt "
                   "systempaths=unconfined)."
                 : "";
    case InitReport::kChanged:
      return "Run the call again; if it happens again, another program replaces that path.";
    case InitReport::kWorkdir:
      return "Choose a directory that the sandbox shows: the workspace or one that was granted.";
    case InitReport::kRoot:
    case InitReport::kMountTmpfs:
    case InitReport::kHostname:
    case InitReport::kLoopback:
      return failure.error == EPERM || failure.error == EACCES ? namespaces_remedy(failure.error)
                                                               : "";
    default:
      return "";
  }
}

}  // namespace

Failed::Failed(const std::string& what, int error, std::string remedy)
    : std::runtime_error(with_error(what, error)), error_(error), remedy_(std::move(remedy)) {}

Failed::Failed(const Failure& failure)
    : std::runtime_error(sentence_of(failure)),
      error_(failure.error),
      remedy_(remedy_of(failure)) {}

std::string namespaces_remedy(int error) {
  if (setting("/proc/sys/user/max_user_namespaces") == 0) {
    return "User namespaces are turned off: set user.max_user_namespaces to 10000 with sysctl.";
  }
  if (setting("/proc/sys/kernel/unprivileged_userns_clone") == 0 && ::geteuid() != 0) {
    return "Unprivileged user namespaces are turned off: set kernel.unprivileged_userns_clone to 1 "
           "with sysctl.";
  }
  if (apparmor_restricts() && ::geteuid() != 0) {
    return "AppArmor restricts unprivileged user namespaces on this host: load a profile that "
           "allows "
           "\"userns,\" for sharkcage-launcher.";
  }
  if (error == ENOSPC || error == EUSERS) {
    return "The limit of user namespaces is reached: raise user.max_user_namespaces with sysctl.";
  }
  if (error == EPERM) {
    return "A container or a security module forbids new namespaces here: allow clone with "
           "CLONE_NEWUSER (docker: a seccomp profile that permits it).";
  }
  if (error == EINVAL || error == ENOSYS) {
    return "This kernel lacks a namespace: Linux 6.1 with user, mount, pid, net, ipc, uts and "
           "cgroup "
           "namespaces is needed.";
  }
  return "";
}

}  // namespace sharkcage::sandbox
