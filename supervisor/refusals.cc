#include "supervisor/refusals.h"

#include <sys/stat.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "common/text.h"
#include "supervisor/file_rights.h"
#include "supervisor/local_look.h"

namespace sharkcage {
namespace {

using sandbox::Refusal;

// Of the 64 KiB of a payload (audit/record.h), the rest is for what else an outcome says.
constexpr std::size_t kMaxListed = 40u << 10;

bool inside(const std::string& path, const std::string& directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

// Where run-time systems ask how large the machine is (glibc, node, java, Go), and go on without an
// answer: nobody wanted what is there.
bool about_the_machine(const std::string& path) {
  return inside(path, "/sys/devices/system") || inside(path, "/sys/fs/cgroup") ||
         inside(path, "/sys/kernel/mm");
}

// Settings of the sandbox's own processes (java's core dumps): /proc is read-only as a whole, and
// says nothing of anybody else.
bool about_itself(const std::string& path) {
  constexpr std::string_view kProc = "/proc/";
  return path.starts_with(kProc) && path.size() > kProc.size() && path[kProc.size()] >= '0' &&
         path[kProc.size()] <= '9';
}

// How the host is laid out: mount(8) and df(1) look at the devices that their own mount table
// names, and at the top of the tree, where everybody's directories have the same names.
bool about_the_layout(const LocalLook& look, const Refusal& refusal) {
  if (!refusal.hidden || refusal.operation != "stat" || refusal.target.empty()) return false;
  const bool at_top = refusal.target.find('/', 1) == std::string::npos;
  if (!at_top && !inside(refusal.target, "/dev")) return false;
  const LocalPlace place = look.find(refusal.target, false);
  struct stat status {};
  if (!place.file || ::fstat(place.file.get(), &status) != 0) return false;
  return at_top ? S_ISDIR(status.st_mode) : S_ISBLK(status.st_mode);
}

// The operation that would have worked outside on a file that is not shown; empty for none. One to
// be made needs its directory, and one that is there would not have been made but written. Where it
// would be on a file system that is not asked, it is taken to be as the command hoped: better a
// line too many.
std::string hidden_operation(const LocalLook& look, const Refusal& refusal, const Policy& policy) {
  const std::string path = path_outside(refusal.target, policy);
  if (path.empty()) return {};
  const Presence presence = look.find(path, false).presence;
  const bool creates = refusal.operation == "create";
  if (presence == Presence::kUnknown) return refusal.operation;
  if (presence == Presence::kThere) return creates ? "write" : refusal.operation;
  if (!creates) return {};
  const std::string directory = path.substr(0, path.rfind('/'));
  return look.find(directory, true).presence != Presence::kMissing ? refusal.operation : "";
}

const char* member_for(std::string_view operation) {
  if (operation == "connect" || operation == "bind") return "address";
  if (operation == "system call") return "call";
  if (operation == "limit") return "limit";
  return "path";
}

Json described(const Refusal& refusal, const std::string& operation) {
  const auto first =
      std::chrono::system_clock::time_point(std::chrono::microseconds(refusal.first_us));
  Json out = {{"operation", operation},
              {member_for(refusal.operation), refusal.target},
              {"first", rfc3339(first)},
              {"count", refusal.count}};
  // Who hit a limit of the whole sandbox is chance, and not looked at.
  if (refusal.pid != 0) {
    out["pid"] = refusal.pid;
    out["program"] = refusal.program;
  }
  if (!refusal.to.empty()) out["to"] = refusal.to;
  return out;
}

Json unknown(const std::string& why) {
  return {{"operation", "unknown"}, {"reason", why}};
}

}  // namespace

std::string path_outside(const std::string& path, const Policy& policy) {
  for (const FileGrant& file : policy.files) {
    if (!file.source.empty() && inside(path, file.path)) {
      return file.source + path.substr(file.path.size());
    }
  }
  return path;
}

void add_refusals(Json& payload, std::vector<Refusal> refused, std::uint64_t more,
                  const Policy& policy, const Owner& owner, const Start& start) {
  if (refused.empty() && more == 0) return;
  Json listed = Json::array();
  std::size_t size = 0;
  const FileRights rights(owner.uid, owner.gid, owner.privileged);
  const LocalLook look({policy.home, policy.workspace});
  refused = with_start(std::move(refused), start, policy, look);
  for (const Refusal& refusal : refused) {
    if (about_the_machine(refusal.target) || about_itself(refusal.target) ||
        about_the_layout(look, refusal)) {
      continue;
    }
    const std::string operation =
        refusal.hidden ? hidden_operation(look, refusal, policy) : refusal.operation;
    if (operation.empty()) continue;
    Json entry = described(refusal, operation);
    size += dump_json(entry).size() + 1;
    if (size > kMaxListed) {
      more += refusal.count;
    } else {
      listed.push_back(std::move(entry));
    }
  }
  // Who makes enough of noise that is nothing must not be the one of whom nothing is shown.
  if (listed.empty() && more > 0) {
    listed.push_back(unknown("of " + std::to_string(more) + " attempts only the number was kept"));
  }
  if (!listed.empty()) payload["refused"] = std::move(listed);
  if (more > 0) payload["refused_more"] = more;
}

void add_unknown_refusals(Json& payload, const std::string& why) {
  if (why.empty()) return;
  payload["refused_unknown"] = why;
  payload["refused"].push_back(unknown(why));
}

}  // namespace sharkcage
