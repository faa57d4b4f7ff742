#include "supervisor/sandbox/smoke_test.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>

#include "capabilities/caught.h"
#include "common/errors.h"
#include "supervisor/sandbox/syscalls.h"

namespace sharkcage::sandbox {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kTimeout = 10s;
constexpr std::size_t kMaxOutput = 64u << 10;

// What a command sees of itself, with nothing but the shell. $1 is the file to write.
constexpr const char* kScript = R"(
while read -r key value; do echo "$key $value"; done < /proc/self/status
for process in /proc/[0-9]*; do echo "Process: ${process#/proc/}"; done
while read -r source place type rest; do [ "$place" != / ] || echo "Root: $type"; done < /proc/mounts
while read -r name rest; do case $name in *:) echo "Interface: $name";; esac; done < /proc/net/dev
: > "$1" && echo "Written: yes"
)";

// A directory of the person's own below another one, removed at the end.
class Scratch {
 public:
  Scratch(const std::string& parent, const Identity& identity)
      : path_(fs::canonical(parent).string() + "/.smoke-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) throw_errno("mkdtemp", path_);
    if (::geteuid() == 0 && ::chown(path_.c_str(), identity.uid, identity.gid) != 0) {
      throw_errno("chown", path_);
    }
  }
  ~Scratch() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  std::string file() const { return path_ + "/written"; }

 private:
  std::string path_;
};

struct Result {
  std::string failed, remedy;
  std::optional<int> exit;
  bool network = false;
  std::vector<std::string> controllers;
  std::string output;
};

Spec spec_of(const Scratch& scratch, const Identity& identity) {
  Spec spec;
  spec.identity = identity;
  spec.policy.skill = "agent";
  spec.policy.workspace = scratch.path();
  spec.policy.home = "/home/user";
  spec.policy.exec.any = true;
  spec.policy.limits.cpus = 0.5;                 // so that something must hold it
  spec.policy.hosts = {{"localhost", 1, true}};  // so that there are listeners
  spec.paths.push_back(judge_path(scratch.path(), scratch.path(), Access::kReadWrite));
  return spec;
}

Command command_of(const Scratch& scratch) {
  Command command;
  command.argv = {"/bin/sh", "-c", kScript, "sh", scratch.file()};
  command.environment = {"PATH=/usr/bin:/bin"};
  command.workdir = scratch.path();
  return command;
}

void record(Event& event, Result& result) {
  if (event.kind == Event::Kind::kReady) {
    result.network = event.network.size() == kNetworkFds;
    result.controllers = event.controllers;
  } else if (event.kind == Event::Kind::kReturned) {
    result.exit = event.exit;
  } else if (event.kind == Event::Kind::kFailed) {
    result.failed = event.what;
    result.remedy = event.remedy;
  }
}

Result run(Launcher& launcher, const Spec& spec, const Command& command) {
  Result result;
  auto [control, far] = make_control();
  launcher.launch(spec, far.get());
  far.reset();
  auto [output, theirs] = make_pipe();
  auto [input, unused] = make_pipe();
  unused.reset();
  const int fds[3] = {input.get(), theirs.get(), theirs.get()};
  open_gate(order_run(control.get(), {.wall = kTimeout}, command, fds));
  theirs.reset();
  const auto deadline = Clock::now() + kTimeout;
  for (bool ended = false; !ended || output;) {
    pollfd waiting[2] = {{ended ? -1 : control.get(), POLLIN, 0}, {output.get(), POLLIN, 0}};
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0 || ::poll(waiting, 2, static_cast<int>(left.count())) == 0) {
      result.failed = "the sandbox did not end within 10 seconds";
      return result;
    }
    if (waiting[0].revents != 0) {
      auto event = receive_event(control.get());
      if (event) record(*event, result);
      ended = event && event->kind == Event::Kind::kEnded;
    }
    if (waiting[1].revents != 0) {
      char block[4096];
      const ssize_t got = ::read(output.get(), block, sizeof block);
      if (got <= 0 || result.output.size() > kMaxOutput) {
        output.reset();
      } else {
        result.output.append(block, static_cast<std::size_t>(got));
      }
    }
  }
  return result;
}

// "Key: value" lines; a key may come again.
std::multimap<std::string, std::string> parse(const std::string& output) {
  std::multimap<std::string, std::string> values;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) values.emplace(line.substr(0, colon), line.substr(colon + 2));
  }
  return values;
}

class Report {
 public:
  explicit Report(const Result& result) : values_(parse(result.output)) {}

  void add(std::string name, bool ok, std::string detail, std::string remedy = {},
           bool required = true) {
    if (ok) remedy.clear();
    facilities_.push_back({std::move(name), ok, required, std::move(detail), std::move(remedy)});
  }

  std::string first(const std::string& key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? "" : found->second;
  }
  std::size_t count(const std::string& key) const { return values_.count(key); }

  // Every capability set of the command is empty.
  bool no_capabilities() const {
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
      const std::string value = first(set);
      if (value.empty() || value.find_first_not_of('0') != std::string::npos) return false;
    }
    return true;
  }

  std::vector<Facility> take() { return std::move(facilities_); }

 private:
  std::multimap<std::string, std::string> values_;
  std::vector<Facility> facilities_;
};

void report_landlock(Report& report) {
  const int abi = sys::landlock_create_ruleset(nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi > 0) {
    report.add("landlock", true, "ABI " + std::to_string(abi), "", false);
    return;
  }
  report.add("landlock", false, std::string("this kernel has none in use: ") + std::strerror(errno),
             "Add landlock to the kernel's parameter lsm= for a second layer of file rules.",
             false);
}

void report_files(const Scratch& scratch, const Identity& identity, Report& report) {
  struct stat status {};
  const bool written = ::lstat(scratch.file().c_str(), &status) == 0;
  const bool kept = written && (!identity.privileged() || status.st_uid == identity.uid);
  report.add(identity.privileged() ? "id-mapped mounts" : "workspace", kept,
             kept ? "files that commands make belong to the person"
             : written
                 ? "a file that a command made belongs to uid " + std::to_string(status.st_uid)
                 : "a command could not write to its workspace",
             "Keep workspaces on a file system with id-mapped mounts (ext4, xfs, btrfs).");
}

void report_facade(Report& report) {
  const bool served = report.first("Root") == "fuse";
  report.add("missing files", served,
             served ? "are recorded when a command asks for them"
                    : "are not recorded when a command asks for them: /dev/fuse cannot be used",
             "Load the module fuse, and let the supervisor's user open /dev/fuse (mode 0666, as "
             "udev gives it).",
             false);
}

void report_limit(const std::string& name, const std::string& controller,
                  const std::string& instead, const Result& result, Report& report) {
  const auto& found = result.controllers;
  const bool group = std::find(found.begin(), found.end(), controller) != found.end();
  report.add(name, group, group ? "by control group" : "approximate: " + instead,
             "Where systemd runs, start the service that install.sh sets up, which has control "
             "groups of its own (Delegate=yes), not \"sc start\" from a shell: with them "
             "limits hold exactly.",
             false);
}

void report_limits(const Result& result, Report& report) {
  report_limit("memory limit", "memory", "processes are added up several times a second", result,
               report);
  report_limit("process limit", "pids", "by rlimit; how often it refuses is not counted", result,
               report);
  report_limit("processor limit", "cpu", "whole processors, by affinity", result, report);
}

}  // namespace

std::vector<Facility> smoke_test(Launcher& launcher, const Identity& identity,
                                 const std::string& directory) {
  const Scratch scratch(directory, identity);
  const Result result = run(launcher, spec_of(scratch, identity), command_of(scratch));
  Report report(result);
  if (!result.failed.empty()) {
    report.add("sandbox", false, result.failed, result.remedy);
    return report.take();
  }
  report.add("sandbox", result.exit == 0,
             result.exit == 0 ? "made, and a command ran in it" : "a command failed in it");
  report.add(
      "user namespace",
      report.first("Uid").find("\t0") == std::string::npos && !report.first("Uid").starts_with("0"),
      "commands have uid " + report.first("Uid").substr(0, report.first("Uid").find('\t')));
  report.add("no capabilities", report.no_capabilities(), "every set is empty");
  report.add("no new privileges", report.first("NoNewPrivs") == "1", "set");
  report.add("seccomp", report.first("Seccomp") == "2", "a filter is active");
  report.add("processes", report.count("Process") > 0 && report.count("Process") <= 4,
             std::to_string(report.count("Process")) + " visible");
  report.add("network", report.count("Interface") == 1 && result.network, "lo alone");
  report_files(scratch, identity, report);
  report_landlock(report);
  report_facade(report);
  report_limits(result, report);
  return report.take();
}

bool can_sandbox(const std::vector<Facility>& facilities) {
  for (const Facility& facility : facilities) {
    if (facility.required && !facility.ok) return false;
  }
  return true;
}

}  // namespace sharkcage::sandbox
