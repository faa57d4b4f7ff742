#include "tests/unit/sandbox/sandbox_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>

#include "common/errors.h"

namespace sharkcage::sandbox::testing {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kPatience = 60s;
// A person and a host uid that nobody has here: the kernel needs no user database.
constexpr uid_t kPerson = 23456;
constexpr uid_t kHostUid = 1234567;

std::string make_base() {
  std::string path = "/tmp/sharkcage-sandbox-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) throw_errno("mkdtemp", path);
  if (::chmod(path.c_str(), 0755) != 0) throw_errno("chmod", path);
  return path;
}

// A program that becomes an ordinary user before it becomes the launcher: what a user install is,
// tested as root.
std::string user_launcher() {
  static const std::string directory = make_base();
  static const std::string program = [] {
    const std::string copy = directory + "/sharkcage-launcher";
    fs::copy_file(Launcher::default_program(), copy, fs::copy_options::overwrite_existing);
    const std::string path = directory + "/as-user";
    std::ofstream(path) << "#!/bin/sh\nexec setpriv --reuid " << kPerson << " --regid " << kPerson
                        << " --clear-groups " << copy << " \"$@\"\n";
    ::chmod(path.c_str(), 0755);
    ::chmod(copy.c_str(), 0755);
    std::atexit([] { fs::remove_all(directory); });
    return path;
  }();
  return program;
}

bool drain(UniqueFd& fd, std::string& text) {
  char block[65536];
  const ssize_t got = ::read(fd.get(), block, sizeof block);
  if (got > 0) {
    text.append(block, static_cast<std::size_t>(got));
    return true;
  }
  fd.reset();
  return false;
}

}  // namespace

std::vector<Install> installs() {
  if (::geteuid() == 0) return {Install::kPrivileged, Install::kUser};
  return {Install::kUser};
}

std::string name_of(const ::testing::TestParamInfo<Install>& info) {
  return info.param == Install::kPrivileged ? "Privileged" : "User";
}

std::string Outcome::text() const {
  std::string text = failed.empty() ? "" : "failed: " + failed + " (" + remedy + ")\n";
  if (exit) text += "exit " + std::to_string(*exit) + "\n";
  if (signal != 0) text += "signal " + std::to_string(signal) + "\n";
  if (!reason.empty()) text += "reason " + reason + "\n";
  for (const std::string& refusal : refusals()) text += "refused " + refusal + "\n";
  if (!refused_unknown.empty()) text += refused_unknown + "\n";
  for (const Refusal& limit : limits) {
    text += "limit " + limit.target + ", " + std::to_string(limit.count) + "\n";
  }
  return text + "stdout: " + out + "\nstderr: " + err;
}

namespace {

std::string text_of(const Refusal& refusal) {
  return refusal.operation + " " + refusal.target + (refusal.to.empty() ? "" : " -> " + refusal.to);
}

}  // namespace

std::vector<std::string> Outcome::refusals() const {
  std::vector<std::string> texts;
  for (const Refusal& refusal : refused) texts.push_back(text_of(refusal));
  return texts;
}

std::vector<std::string> Outcome::told() const {
  std::vector<std::string> texts;
  for (const Refusal& refusal : refused) {
    if (!refusal.hidden) texts.push_back(text_of(refusal));
  }
  return texts;
}

Call::Call(Launcher& launcher, const Trial& trial) : trial_(trial) {
  auto [near, far] = make_control();
  control_ = std::move(near);
  launcher.launch(trial, far.get());
}

void Call::start_on_terminal() {
  open_gate(order_run(control_.get(), {kCommand, true, trial_.policy.limits.wall}, trial_, {}));
}

void Call::start(const std::string& input) {
  open_gate(start_at_gate(input));
}

UniqueFd Call::start_at_gate(const std::string& input) {
  auto [in_read, in_write] = make_pipe();
  UniqueFd gate = start_with(in_read.get());
  // The tests' inputs fit a pipe.
  if (!input.empty()) write_all(in_write.get(), input);
  return gate;
}

UniqueFd Call::start_on_socket() {
  auto [ours, theirs] = make_socketpair(SOCK_STREAM);
  open_gate(start_with(theirs.get()));
  return std::move(ours);
}

UniqueFd Call::start_with(int input) {
  auto [out_read, out_write] = make_pipe();
  auto [err_read, err_write] = make_pipe();
  const int fds[3] = {input, out_write.get(), err_write.get()};
  UniqueFd gate =
      order_run(control_.get(), {kCommand, true, trial_.policy.limits.wall}, trial_, fds);
  out_ = std::move(out_read);
  err_ = std::move(err_read);
  return gate;
}

void Call::record(Event event) {
  switch (event.kind) {
    case Event::Kind::kReady:
      outcome_.ready = true;
      break;
    case Event::Kind::kReturned:
      outcome_.exit = event.exit;
      outcome_.signal = event.signal;
      outcome_.reason = event.reason;
      outcome_.wall_us = event.wall_us;
      outcome_.cpu_us = event.cpu_us;
      outcome_.max_rss = event.max_rss;
      outcome_.refused = event.refused;
      outcome_.refused_unknown = event.refused_unknown;
      outcome_.limits = event.limits;
      break;
    case Event::Kind::kFailed:
      outcome_.failed = event.what;
      outcome_.remedy = event.remedy;
      break;
    case Event::Kind::kTerminal:
    case Event::Kind::kStopped:
    case Event::Kind::kRefused:
    case Event::Kind::kOver:
      break;
    case Event::Kind::kEnded:
      ended_ = true;
      break;
  }
  events_.push_back(std::move(event));
}

// One round; false when nothing more can come.
bool Call::pump(Clock::time_point deadline) {
  pollfd waiting[3] = {
      {ended_ ? -1 : control_.get(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
  if (waiting[0].fd < 0 && waiting[1].fd < 0 && waiting[2].fd < 0) return false;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  if (left.count() <= 0 || ::poll(waiting, 3, static_cast<int>(left.count())) <= 0) {
    throw std::runtime_error("the sandbox did not come to an end\n" + outcome_.text());
  }
  if (waiting[0].revents != 0) {
    if (auto event = receive_event(control_.get())) record(std::move(*event));
  }
  if (waiting[1].revents != 0) drain(out_, outcome_.out);
  if (waiting[2].revents != 0) drain(err_, outcome_.err);
  return true;
}

Event Call::wait_for(Event::Kind kind) {
  const auto deadline = Clock::now() + kPatience;
  for (;;) {
    for (auto event = events_.begin(); event != events_.end(); ++event) {
      if (event->kind != kind) continue;
      Event found = std::move(*event);
      events_.erase(event);
      return found;
    }
    if (ended_ || !pump(deadline)) {
      throw std::runtime_error("the event did not come\n" + outcome_.text());
    }
  }
}

void Call::wait_for_output(const std::string& marker) {
  const auto deadline = Clock::now() + kPatience;
  while (outcome_.out.find(marker) == std::string::npos) {
    if (!pump(deadline)) throw std::runtime_error("no \"" + marker + "\"\n" + outcome_.text());
  }
}

Outcome Call::finish() {
  const auto deadline = Clock::now() + kPatience;
  while (pump(deadline)) continue;
  return outcome_;
}

Sandbox::Sandbox() : base_(make_base()), home_(base_ + "/home"), workspace_(home_ + "/workspace") {
  fs::create_directories(workspace_);
  give_to_person(home_);
  give_to_person(workspace_);
}

Sandbox::~Sandbox() {
  std::error_code error;
  fs::remove_all(base_, error);
}

uid_t Sandbox::person_uid() const {
  return ::geteuid() == 0 ? kPerson : ::geteuid();
}

void Sandbox::give_to_person(const std::string& path) const {
  if (::geteuid() == 0 && ::lchown(path.c_str(), kPerson, kPerson) != 0) throw_errno("chown", path);
}

Launcher Sandbox::own_launcher() const {
  return Launcher::start(::geteuid() == 0 && !privileged() ? user_launcher()
                                                           : Launcher::default_program());
}

Launcher& Sandbox::launcher() {
  static std::unique_ptr<Launcher> launchers[2];
  auto& launcher = launchers[privileged() ? 0 : 1];
  if (!launcher) launcher = std::make_unique<Launcher>(own_launcher());
  return *launcher;
}

Trial Sandbox::spec(std::vector<std::string> argv) const {
  Trial spec;
  spec.policy.skill = "agent";
  spec.policy.workspace = workspace_;
  spec.policy.home = home_;
  spec.policy.exec.any = true;
  spec.identity.uid = person_uid();
  spec.identity.gid = ::geteuid() == 0 ? kPerson : ::getegid();
  spec.identity.name = "pat";
  spec.identity.host_uid = privileged() ? kHostUid : 0;
  spec.argv = std::move(argv);
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home_, "LANG=C.UTF-8"};
  spec.workdir = workspace_;
  grant(spec, workspace_, Access::kReadWrite);
  return spec;
}

Trial& Sandbox::scoped(Trial& spec, std::vector<std::string> programs) {
  spec.policy.exec.any = false;
  spec.policy.exec.programs = std::move(programs);
  std::sort(spec.policy.exec.programs.begin(), spec.policy.exec.programs.end());
  return spec;
}

void Sandbox::grant(Spec& spec, const std::string& path, Access access) const {
  spec.paths.push_back(judge_path(path, path, access));
}

Outcome Sandbox::run(const Trial& trial, const std::string& input) {
  Call call(launcher(), trial);
  call.start(input);
  return call.finish();
}

::testing::AssertionResult Sandbox::holds(const Trial& trial) {
  const Outcome outcome = run(trial);
  if (outcome.exit == 0) return ::testing::AssertionSuccess() << outcome.text();
  return ::testing::AssertionFailure() << outcome.text();
}

::testing::AssertionResult Sandbox::holds(const std::string& line) {
  return holds(spec({"/bin/bash", "-c", line}));
}

std::string Sandbox::write(const std::string& relative, const std::string& content,
                           unsigned mode) const {
  const fs::path path = fs::path(base_) / relative;
  for (fs::path part = base_; const fs::path& name : fs::path(relative).parent_path()) {
    part /= name;
    if (fs::create_directory(part)) give_to_person(part.string());
  }
  std::ofstream(path) << content;
  ::chmod(path.c_str(), mode);
  give_to_person(path.string());
  return path.string();
}

pid_t descendant(pid_t launcher, const std::string& name) {
  std::map<pid_t, pid_t> parents;
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (pid <= 0 || !std::getline(file, line)) continue;
    const std::size_t end = line.rfind(')');
    parents[pid] = std::atoi(line.c_str() + end + 4);
    if (line.substr(line.find('(') + 1, end - line.find('(') - 1) == name) found.push_back(pid);
  }
  for (const pid_t pid : found) {
    for (pid_t at = pid; at > 1; at = parents[at]) {
      if (at == launcher) return pid;
    }
  }
  return 0;
}

}  // namespace sharkcage::sandbox::testing
