#include "supervisor/judge.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "common/errors.h"
#include "common/text.h"
#include "supervisor/attribution.h"
#include "supervisor/file_rights.h"
#include "supervisor/sandbox/launcher_client.h"

namespace sharkcage {
namespace {

void require_owner(const std::string& path, uid_t owner) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) throw_errno("lstat", path);
  if (status.st_uid != owner) {
    throw UserError("The workspace " + path + " belongs to user id " +
                        std::to_string(status.st_uid) + ", not to user id " +
                        std::to_string(owner) + ", for whom the call is",
                    "Give a workspace of that user.");
  }
}

}  // namespace

std::vector<sandbox::JudgedPath> judge_paths(const Policy& policy, const std::string& skills_dir,
                                             uid_t owner, gid_t group, bool privileged) {
  std::vector<sandbox::JudgedPath> paths;
  {
    const FileRights rights(owner, group, privileged);
    if (!policy.workspace.empty()) {
      paths.push_back(
          sandbox::judge_path(policy.workspace, policy.workspace, policy.workspace_access));
      if (privileged && policy.workspace_access == Access::kReadWrite) {
        require_owner(policy.workspace, owner);
      }
    }
    for (const auto& file : policy.files) {
      const std::string& source = file.source.empty() ? file.path : file.source;
      paths.push_back(sandbox::judge_path(source, file.path, file.access));
    }
  }
  for (const auto& skill : policy.skills) {
    for (const auto& place : skill.paths) {
      paths.push_back(sandbox::judge_path(skills_dir + "/" + skill.digest, place, Access::kReadOnly,
                                          /*skill=*/true));
    }
  }
  std::stable_sort(paths.begin(), paths.end(),
                   [](const auto& a, const auto& b) { return a.target < b.target; });
  return paths;
}

std::string workspace_of(const std::string& path, const Peer& peer, bool privileged) {
  const FileRights rights(peer.uid, peer.gid, privileged);
  const std::string normal = normal_path(path, "/");
  std::error_code error;
  const std::string real = std::filesystem::canonical(normal, error).string();
  if (error) throw UserError("workspace: " + printable(path) + ": " + error.message());
  if (real != normal) {
    throw UserError("workspace: " + printable(path) + " leads through a symbolic link",
                    "Give the real path: " + real);
  }
  if (!std::filesystem::is_directory(real, error)) {
    throw UserError("workspace: " + printable(path) + " is not a directory",
                    "Give the directory that it is in.");
  }
  return normal;
}

void check_stdio(int fd, const std::string& name) {
  const std::string remedy = "Pass a pipe, or let sc-exec relay it.";
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) throw_errno("fcntl", name);
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno("fstat", name);
  if ((flags & O_PATH) == 0 && S_ISFIFO(status.st_mode)) return;
  if ((flags & O_PATH) == 0 && S_ISSOCK(status.st_mode)) {
    int domain = 0;
    int type = 0;
    int listening = 1;
    socklen_t size = sizeof domain;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
        ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
        ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && domain == AF_UNIX &&
        type == SOCK_STREAM && listening == 0) {
      return;
    }
  }
  throw UserError(name + " is neither a pipe nor a Unix stream socket", remedy);
}

}  // namespace sharkcage
