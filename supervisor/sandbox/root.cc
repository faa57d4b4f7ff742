#include "supervisor/sandbox/root.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>

#include "common/errors.h"
#include "supervisor/sandbox/kept.h"
#include "supervisor/sandbox/steps.h"
#include "supervisor/sandbox/weakened.h"

namespace sharkcage::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kPrivateMount = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr uid_t kFallbackId = 1000;
constexpr const char* kFallbackName = "user";

constexpr const char* kDevices[] = {"null", "zero", "full", "random", "urandom", "tty"};

// World-readable or writable parts of /proc that tell about the host, or command it. /proc is
// read-only as a whole.
constexpr const char* kProcFiles[] = {"kcore",         "keys",        "key-users",
                                      "kmsg",          "kallsyms",    "timer_list",
                                      "sysrq-trigger", "sched_debug", "latency_stats"};
constexpr const char* kProcDirectories[] = {"acpi", "scsi"};

Step plain(Step step) {
  step.policy = false;
  return step;
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

// A directory on the way that we may not search can be opened up by a command that owns it.
bool may_exist(const std::string& path) {
  return exists(path) || (errno != ENOENT && errno != ENOTDIR);
}

bool inside(const std::string& path, const std::string& directory) {
  return path == directory ||
         (path.starts_with(directory) && (directory == "/" || path[directory.size()] == '/'));
}

std::string login_name(const Identity& identity) {
  const bool usable = !identity.name.empty() && identity.name != "root" &&
                      identity.name.find_first_of(":\n/") == std::string::npos;
  return usable ? identity.name : kFallbackName;
}

class RootPlanner {
 public:
  RootPlanner(const Spec& spec, const Prepared& prepared, Plan& plan)
      : spec_(spec), prepared_(prepared), plan_(plan), steps_(plan.steps) {}

  void plan(std::vector<std::string>& executable) {
    check_targets();
    plan_system(executable);
    plan_etc();
    plan_sys();
    plan_dev();
    plan_proc();
    plan_private_and_granted();
    plan_kept();
    plan_hidden();
    plan_facade();
  }

 private:
  // No grant may cover what the sandbox itself is made of.
  void check_targets() const {
    for (const JudgedPath& path : spec_.paths) {
      for (const char* system : {"/proc", "/dev", "/sys"}) {
        if (inside(path.target, system)) {
          throw UserError(path.target + " cannot be shown in a sandbox: it belongs to the system");
        }
      }
      if (!path.target.starts_with('/') || path.target == "/" || path.target == "/usr" ||
          path.target == "/etc" || path.target.find("/../") != std::string::npos ||
          path.target.ends_with("/..")) {
        throw UserError(path.target + " cannot be shown in a sandbox");
      }
    }
  }

  void plan_system(std::vector<std::string>& executable) {
    for (const char* name : {"/usr", "/etc", "/dev", "/proc", "/tmp", "/var", "/run"}) {
      steps_.push_back(plain(directory_step(name)));
    }
    if (!shows_below("/var/tmp")) steps_.push_back(plain(link_step("/var/tmp", "/tmp")));
    if (spec_.policy.exec.any) {
      steps_.push_back(plain(bind_step("/usr", "/usr", kReadOnlyMount, true)));
      for (const std::string& name : prepared_.system.top_directories()) {
        steps_.push_back(bind_step("/" + name, "/" + name, kReadOnlyMount, true));
      }
    } else {
      std::vector<Step> scope;
      plan_exec_scope(spec_.policy.exec, prepared_.layout, scope, executable);
      for (Step& step : scope) place_program(std::move(step));
    }
    for (const auto& [path, text] : prepared_.system.links()) {
      if (!path.starts_with("etc/")) steps_.push_back(plain(link_step(path, text)));
    }
  }

  // A program of the home is shown in the private one, which comes later. One that commands may
  // write to is shown by that grant, as a file that cannot be executed.
  void place_program(Step step) {
    const std::string target = "/" + step.target;
    if (spec_.policy.home.empty() || !inside(target, spec_.policy.home)) {
      steps_.push_back(std::move(step));
      return;
    }
    const bool writable =
        std::any_of(spec_.paths.begin(), spec_.paths.end(), [&](const JudgedPath& path) {
          return path.access == Access::kReadWrite && inside(target, path.target);
        });
    if (!writable) in_home_.push_back(std::move(step));
  }

  void plan_etc() {
    for (const char* name : {"/etc/ssl", "/etc/default"}) {
      steps_.push_back(plain(directory_step(name)));
    }
    for (const SystemFiles::Copy& copy : prepared_.system.copies()) {
      if (!copy.path.starts_with("etc/")) continue;
      // Every start of a program maps it: worth a mount.
      if (copy.path == "etc/ld.so.cache") {
        add_text(copy.path, "");
        steps_.push_back(plain(
            bind_step("/" + copy.path, copy.path, kReadOnlyMount | MOUNT_ATTR_NOEXEC, false)));
        continue;
      }
      add_file(copy.path, copy.content);
    }
    for (const std::string& path : prepared_.system.directories()) {
      steps_.push_back(bind_step("/" + path, path, kReadOnlyMount | MOUNT_ATTR_NOEXEC, true));
    }
    for (const auto& [path, text] : prepared_.system.links()) {
      if (path.starts_with("etc/")) steps_.push_back(plain(link_step(path, text)));
    }
    plan_users();
    add_text("etc/profile", "# The environment of a sandbox is set before its first shell.\n");
    add_text("etc/hostname", "sharkcage\n");
    add_text("etc/hosts", "127.0.0.1\tlocalhost sharkcage\n::1\tlocalhost\n");
    add_text("etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:10 attempts:1\n");
    add_text("etc/nsswitch.conf",
             "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n");
    // The loader asks for it at every start of a program, which is to cost nothing.
    add_text("etc/ld.so.preload", "");
    plan_empty_settings();
    steps_.push_back(plain(link_step("/etc/mtab", "/proc/mounts")));
  }

  // What everyday programs look for at every start, and what is no more than a setting of theirs:
  // the host's is not shown, and a record of each would hide those that matter. Always there and
  // always empty, so that they say nothing of the host.
  void plan_empty_settings() {
    for (const char* name : {"/etc/ssh", "/etc/vim"}) steps_.push_back(plain(directory_step(name)));
    for (const char* name : {"etc/pip.conf", "etc/ssh/ssh_config", "etc/vim/vimrc", "etc/wgetrc"}) {
      add_text(name, "");
    }
  }

  // The few files that runtimes size themselves by, with the limits of this sandbox.
  void plan_sys() {
    for (const SystemFiles::Copy& copy : prepared_.system.copies()) {
      if (copy.path.starts_with("sys/")) add_below_sys(copy.path, copy.content);
    }
    steps_.push_back(directory_step("/sys/kernel/mm/hugepages"));
    const std::string memory = std::to_string(spec_.policy.limits.memory) + "\n";
    const bool unified = exists("/sys/fs/cgroup/cgroup.controllers");
    const std::string group = unified ? "sys/fs/cgroup/" : "sys/fs/cgroup/memory/";
    plan_.texts.push_back(memory);
    add_below_sys(group + (unified ? "memory.max" : "memory.limit_in_bytes"), plan_.texts.back());
    add_below_sys(group + (unified ? "memory.high" : "memory.soft_limit_in_bytes"),
                  plan_.texts.back());
  }

  void add_below_sys(const std::string& path, std::string_view content) {
    steps_.push_back(directory_step("/" + path.substr(0, path.rfind('/'))));
    add_file(path, content);
  }

  // Those whose files are seen: the person, root, and everybody else (uid 65534 in the namespace).
  void plan_users() {
    const std::string name = login_name(spec_.identity);
    const std::string uid = std::to_string(inside_uid(spec_.identity));
    const std::string gid = std::to_string(inside_gid(spec_.identity));
    const std::string home = spec_.policy.home.empty() ? "/tmp" : spec_.policy.home;
    const std::string shell = exists("/bin/bash") ? "/bin/bash" : "/bin/sh";
    add_text("etc/passwd", "root:x:0:0:root:/:/usr/sbin/nologin\n" + name + ":x:" + uid + ":" +
                               gid + "::" + home + ":" + shell +
                               "\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n");
    add_text("etc/group", "root:x:0:\n" + name + ":x:" + gid + ":\nnogroup:x:65534:\n");
  }

  void plan_dev() {
    for (const char* name : kDevices) {
      const std::string path = std::string("/dev/") + name;
      if (!exists(path)) continue;
      add_text(path.substr(1), "");
      steps_.push_back(plain(bind_step(path, path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false)));
    }
    steps_.push_back(plain(directory_step("/dev/pts")));
    Step terminals = plain(directory_step("/dev/pts"));
    terminals.kind = Step::Kind::kDevpts;
    terminals.attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    steps_.push_back(terminals);
    steps_.push_back(plain(link_step("/dev/ptmx", "pts/ptmx")));
    steps_.push_back(plain(link_step("/dev/fd", "/proc/self/fd")));
    steps_.push_back(plain(link_step("/dev/stdin", "/proc/self/fd/0")));
    steps_.push_back(plain(link_step("/dev/stdout", "/proc/self/fd/1")));
    steps_.push_back(plain(link_step("/dev/stderr", "/proc/self/fd/2")));
    steps_.push_back(tmpfs_step("/dev/shm", 01777, spec_.policy.limits.tmp, writable_mount()));
  }

  void plan_proc() {
    Step proc = plain(directory_step("/proc"));
    proc.kind = Step::Kind::kProc;
    proc.attributes = kReadOnlyMount | MOUNT_ATTR_NOEXEC;
    steps_.push_back(proc);
    for (const char* name : kProcFiles) {
      const std::string path = std::string("/proc/") + name;
      if (exists(path)) steps_.push_back(mask_step(path));
    }
    for (const char* name : kProcDirectories) {
      const std::string path = std::string("/proc/") + name;
      if (exists(path)) steps_.push_back(mask_step(path));
    }
  }

  // Parents before children, whether they are private or granted. At the same place the grant is on
  // top.
  void plan_private_and_granted() {
    std::vector<Step> placed;
    const std::uint64_t size = spec_.policy.limits.tmp;
    placed.push_back(tmpfs_step("/tmp", 01777, size, writable_mount()));
    // Elsewhere a link to /tmp; a grant below it needs a place of its own.
    if (shows_below("/var/tmp")) {
      placed.push_back(tmpfs_step("/var/tmp", 01777, size, writable_mount()));
    }
    if (!spec_.policy.home.empty() && spec_.policy.home != "/tmp") {
      placed.push_back(tmpfs_step(spec_.policy.home, 0700, size, writable_mount()));
      placed.back().home = true;
      plan_.home = placed.back().target;
      plan_.home_size = size;
    }
    for (const JudgedPath& path : spec_.paths) placed.push_back(granted_step(path));
    std::move(in_home_.begin(), in_home_.end(), std::back_inserter(placed));
    std::stable_sort(placed.begin(), placed.end(),
                     [](const Step& a, const Step& b) { return a.target < b.target; });
    steps_.insert(steps_.end(), placed.begin(), placed.end());
    plan_git_files();
  }

  // The person's files of git's are not there. The commands get files of their own in the places
  // where every git command looks: one says whose commits are made, and none needs to be recorded
  // as looked for in vain.
  void plan_git_files() {
    if (plan_.home.empty()) return;
    const std::string home = "/" + plan_.home;
    const GitIdentity& git = spec_.identity.git;
    std::string text;
    if (!git.name.empty()) text += "\tname = " + git_quoted(git.name) + "\n";
    if (!git.email.empty()) text += "\temail = " + git_quoted(git.email) + "\n";
    if (!text.empty()) text.insert(0, "[user]\n");
    add_to_home(home, "/.gitconfig", std::move(text));
    add_to_home(home, "/.config", std::nullopt);
    add_to_home(home, "/.config/git", std::nullopt);
    for (const char* name : {"config", "attributes", "ignore"}) {
      add_to_home(home, std::string("/.config/git/") + name, "");
    }
  }

  static std::string git_quoted(const std::string& value) {
    std::string out = "\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    return out + '"';
  }

  // A file, or without `text` a directory, that the commands may change, where no grant is.
  void add_to_home(const std::string& home, const std::string& name,
                   std::optional<std::string> text) {
    const std::string target = home + name;
    for (const JudgedPath& path : spec_.paths) {
      const bool in_home = inside(path.target, home);
      if (in_home && (inside(target, path.target) || path.target == target)) return;
    }
    if (!text) {
      steps_.push_back(plain(directory_step(target)));
      return;
    }
    // On the way to a grant it is a directory already.
    for (const JudgedPath& path : spec_.paths) {
      if (inside(path.target, target)) return;
    }
    add_text(target, std::move(*text));
    steps_.back().mode = 0644;
  }

  bool shows_below(const std::string& directory) const {
    return std::any_of(spec_.paths.begin(), spec_.paths.end(),
                       [&](const JudgedPath& path) { return inside(path.target, directory); });
  }

  std::uint64_t writable_mount() const {
    return kPrivateMount | (spec_.policy.exec.any ? 0 : MOUNT_ATTR_NOEXEC);
  }

  Step granted_step(const JudgedPath& path) const {
    std::uint64_t attributes = path.skill ? kPrivateMount : writable_mount();
    if (path.access == Access::kReadOnly) attributes |= MOUNT_ATTR_RDONLY;
    Step step = bind_step(path.source, path.target, attributes, path.directory);
    step.judged = true;
    step.device = path.device;
    step.inode = path.inode;
    return step;
  }

  // Files that run code later, at the top of what a command may write to. The deputy refuses all
  // others by their names; a link cannot be mounted on, and is left to it, too.
  void plan_kept() {
    if (weakened::leaves_out(weakened::Layer::kNames)) return;
    for (const JudgedPath& path : spec_.paths) {
      if (path.access != Access::kReadWrite || !path.directory) continue;
      for (const std::string& name : kept_at_top(path.source)) {
        struct stat status {};
        const std::string relative = "/" + name;
        if (::lstat((path.source + relative).c_str(), &status) != 0) continue;
        if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) continue;
        if (leads_through_link(path.source, name)) continue;
        steps_.push_back(keep_step(path.target + relative));
      }
    }
  }

  // Whether ".git" of ".git/config" is a link.
  static bool leads_through_link(const std::string& top, std::string_view name) {
    for (std::size_t slash = name.find('/'); slash != std::string_view::npos;
         slash = name.find('/', slash + 1)) {
      struct stat status {};
      const std::string directory = top + "/" + std::string(name.substr(0, slash));
      if (::lstat(directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return true;
    }
    return false;
  }

  // A protected path, and what it leads to if it is a link, wherever a grant shows one of them.
  void plan_hidden() {
    std::set<std::string> pinned;  // parents before children
    std::vector<std::string> masked;
    for (const std::string& hidden : spec_.policy.hidden) {
      if (!may_exist(hidden)) continue;
      std::error_code error;
      const fs::path real = fs::canonical(hidden, error);
      if (!error && real.string() != hidden) hide_where_shown(real.string(), pinned, masked);
      hide_where_shown(hidden, pinned, masked);
    }
    for (const std::string& path : pinned) steps_.push_back(pin_step(path));
    for (const std::string& path : masked) steps_.push_back(mask_step(path));
  }

  void hide_where_shown(const std::string& outside, std::set<std::string>& pinned,
                        std::vector<std::string>& masked) {
    struct stat status {};
    if (::lstat(outside.c_str(), &status) == 0 && S_ISLNK(status.st_mode)) return;
    for (const JudgedPath& path : spec_.paths) {
      if (!inside(outside, path.source)) continue;
      const std::string target = path.target + outside.substr(path.source.size());
      masked.push_back(target);
      if (path.access == Access::kReadWrite) pin_between(path.target, target, pinned);
    }
  }

  // A command that moved a directory on the way would give the protected file a path under which
  // no later call hides it.
  static void pin_between(const std::string& top, const std::string& target,
                          std::set<std::string>& pinned) {
    for (std::size_t end = target.rfind('/'); end != std::string::npos && end > top.size();
         end = target.rfind('/', end - 1)) {
      pinned.insert(target.substr(0, end));
    }
  }

  // What lies in no mount of the host's, nor in a tmpfs, is the facade's: it has it ready.
  void plan_facade() const {
    std::vector<const Step*> mounts;
    std::size_t masks = 0;
    for (Step& step : steps_) {
      if (step.kind == Step::Kind::kMask) step.mask = masks++;
      if (step.kind == Step::Kind::kMask || step.kind == Step::Kind::kPin ||
          step.kind == Step::Kind::kKeep) {
        continue;
      }
      // Parents come before their children: the last one is the innermost.
      const auto around = std::find_if(mounts.rbegin(), mounts.rend(), [&](const Step* mount) {
        return step.target != mount->target && inside(step.target, mount->target);
      });
      step.in_facade = around == mounts.rend() || (*around)->home;
      const bool mounted = step.kind != Step::Kind::kDirectory && step.kind != Step::Kind::kFile &&
                           step.kind != Step::Kind::kLink;
      if (mounted) mounts.push_back(&step);
    }
  }

  void add_file(const std::string& path, std::string_view content) {
    Step step = plain(directory_step(path));
    step.kind = Step::Kind::kFile;
    step.mode = 0444;
    step.content = content;
    steps_.push_back(std::move(step));
  }

  void add_text(const std::string& path, std::string text) {
    plan_.texts.push_back(std::move(text));
    add_file(path, plan_.texts.back());
  }

  const Spec& spec_;
  const Prepared& prepared_;
  Plan& plan_;
  std::vector<Step>& steps_;
  std::vector<Step> in_home_;  // programs that the scope names there
};

}  // namespace

uid_t inside_uid(const Identity& identity) {
  return identity.uid == 0 ? kFallbackId : identity.uid;
}

gid_t inside_gid(const Identity& identity) {
  return identity.gid == 0 ? kFallbackId : identity.gid;
}

void plan_root(const Spec& spec, const Prepared& prepared, Plan& plan,
               std::vector<std::string>& executable) {
  RootPlanner(spec, prepared, plan).plan(executable);
}

}  // namespace sharkcage::sandbox
