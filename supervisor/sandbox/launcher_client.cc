#include "supervisor/sandbox/launcher_client.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "common/errors.h"
#include "common/json.h"
#include "supervisor/sandbox/syscalls.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::size_t kMaxEvent = 64u << 10;

UniqueFd memory_file(const char* name, std::string_view content) {
  UniqueFd file(::memfd_create(name, MFD_CLOEXEC));
  if (!file) throw_errno("memfd_create");
  write_all(file.get(), content);
  if (::lseek(file.get(), 0, SEEK_SET) != 0) throw_errno("lseek");
  return file;
}

// After fork: async-signal-safe. Leaves the errno of a failed exec in `error`, which the parent
// reads.
[[noreturn]] void become_launcher(const char* program, char* const* argv, int socket, int error,
                                  pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() == parent && ::fcntl(socket, F_SETFD, 0) == 0) {
    ::execv(program, argv);
  }
  const int number = errno;
  if (::write(error, &number, sizeof number) < 0) ::_exit(126);
  ::_exit(127);
}

bool send_order(int control, const Json& order, std::span<const int> fds = {}) {
  if (send_with_fds(control, dump_json(order), fds) >= 0) return true;
  if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return false;
  throw_errno("sendmsg", "an order to a sandbox");
}

void take_refused(Event& event, const Json& json, const std::vector<UniqueFd>& fds) {
  event.refused_unknown = json.value("refused_unknown", "");
  if (fds.empty()) return;
  auto taken = unpack(fds[0].get());
  event.refused = std::move(taken.refusals);
  event.refused_more = taken.more;
}

Event returned_event(const Json& json, const std::vector<UniqueFd>& fds) {
  Event event;
  event.kind = Event::Kind::kReturned;
  if (json.contains("exit")) event.exit = json.at("exit").get<int>();
  event.signal = json.value("signal", 0);
  event.reason = json.value("reason", "");
  event.wall_us = json.value("wall_us", std::uint64_t{0});
  event.cpu_us = json.value("cpu_us", std::uint64_t{0});
  event.max_rss = json.value("max_rss", std::uint64_t{0});
  event.over = json.value("over", false);
  event.not_found = json.value("not_found", false);
  take_refused(event, json, fds);
  for (const Json& limit : json.value("limits", Json::array())) {
    event.limits.push_back(refusal_from_json(limit));
  }
  return event;
}

Event failed_event(const Json& json, const std::vector<UniqueFd>& fds) {
  Event event;
  event.kind = Event::Kind::kFailed;
  event.what = json.value("what", "");
  event.remedy = json.value("remedy", "");
  event.error = json.value("errno", 0);
  take_refused(event, json, fds);
  return event;
}

Event plain_event(const std::string& name, const Json& json, std::vector<UniqueFd> fds) {
  Event event;
  if (name == "ready") {
    event.kind = Event::Kind::kReady;
    event.pid = json.value("pid", 0);
    event.controllers = json.value("controllers", std::vector<std::string>());
    event.network = std::move(fds);
  } else if (name == "terminal" && fds.size() == 1) {
    event.kind = Event::Kind::kTerminal;
    event.terminal = std::move(fds[0]);
  } else if (name == "stopped") {
    event.kind = Event::Kind::kStopped;
    event.signal = json.value("signal", 0);
  } else if (name == "over" || name == "refused") {
    event.kind = name == "over" ? Event::Kind::kOver : Event::Kind::kRefused;
    take_refused(event, json, fds);
  } else {
    throw UserError("a monitor sent a message that is no event");
  }
  return event;
}

Event event_of(std::string_view text, std::vector<UniqueFd> fds) {
  const Json json = Json::parse(text, nullptr, false);
  const std::string name = json.is_object() ? json.value("event", "") : "";
  Event event = name == "returned" ? returned_event(json, fds)
                : name == "failed" ? failed_event(json, fds)
                                   : plain_event(name, json, std::move(fds));
  event.command = json.value("id", std::uint64_t{0});
  return event;
}

}  // namespace

std::string Launcher::default_program() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "sharkcage-launcher").string();
}

Launcher Launcher::start(const std::string& program) {
  auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
  auto [error_read, error_write] = make_pipe();
  std::string name = "sharkcage-launcher";
  std::string number = std::to_string(theirs.get());
  char* const argv[] = {name.data(), number.data(), nullptr};
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw_errno("fork");
  if (pid == 0) become_launcher(program.c_str(), argv, theirs.get(), error_write.get(), parent);
  error_write.reset();
  int failed = 0;
  if (::read(error_read.get(), &failed, sizeof failed) == sizeof failed) {
    ::waitpid(pid, nullptr, 0);
    throw UserError("cannot execute " + program + ": " + std::strerror(failed),
                    "Install it beside sharkcaged.");
  }
  return Launcher(std::move(ours), pid);
}

Launcher::~Launcher() {
  if (!socket_) return;
  socket_.reset();
  ::waitpid(pid_, nullptr, 0);
}

void Launcher::launch(const Spec& spec, int control) {
  const UniqueFd file = memory_file("sharkcage-spec", spec.encode());
  int fds[2];
  fds[kSpecFd] = file.get();
  fds[kControlFd] = control;
  const std::string_view text = spec.policy.exec.any ? kLaunch : kLaunchScoped;
  if (send_with_fds(socket_.get(), text, fds, MSG_DONTWAIT) < 0) {
    throw_errno("sendmsg", "to the launcher");
  }
}

std::pair<UniqueFd, UniqueFd> make_control() {
  auto ends = make_socketpair(SOCK_SEQPACKET);
  if (::fcntl(ends.first.get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("fcntl");
  return ends;
}

std::optional<Event> receive_event(int control) {
  // Kept: to zero a new one costs more than to read an event.
  static thread_local std::vector<char> text(kMaxEvent);
  std::vector<UniqueFd> fds;
  ssize_t size = recv_with_fds(control, text.data(), text.size(), fds, MSG_DONTWAIT);
  // A monitor that ended with an order unread resets the connection. The error is told once, before
  // what it had sent.
  if (size < 0 && errno == ECONNRESET) {
    size = recv_with_fds(control, text.data(), text.size(), fds, MSG_DONTWAIT);
  }
  if (size < 0 && errno == EAGAIN) return std::nullopt;
  if (size == 0) return Event{};
  if (size < 0) throw_errno("recvmsg", "an event of a sandbox");
  return event_of({text.data(), static_cast<std::size_t>(size)}, std::move(fds));
}

UniqueFd order_run(int control, const RunOrder& order, const Command& command,
                   std::span<const int> stdio) {
  const UniqueFd image = memory_file("sharkcage-command", command.encode());
  auto [ours, theirs] = make_socketpair(SOCK_STREAM);
  std::vector<int> fds = {image.get(), theirs.get()};
  fds.insert(fds.end(), stdio.begin(), stdio.end());
  const bool sent = send_order(control,
                               {{"order", "run"},
                                {"id", order.command},
                                {"last", order.last},
                                {"wall_ms", order.wall.count()}},
                               fds);
  return sent ? std::move(ours) : UniqueFd();
}

void open_gate(UniqueFd gate) {
  // Whoever waits there may be gone.
  if (gate) send_with_fds(gate.get(), "!", {}, MSG_DONTWAIT);
}

bool order_signal(int control, std::uint64_t command, int signal) {
  return send_order(control, {{"order", "signal"}, {"id", command}, {"signal", signal}});
}

bool order_foreground(int control, std::uint64_t command, bool on) {
  return send_order(control, {{"order", "foreground"}, {"id", command}, {"on", on}});
}

bool order_release(int control, std::uint64_t command) {
  return send_order(control, {{"order", "release"}, {"id", command}});
}

bool order_cancel(int control, std::uint64_t command, std::string_view reason) {
  return send_order(control, {{"order", "cancel"}, {"id", command}, {"reason", reason}});
}

bool order_kill(int control, std::string_view reason) {
  return send_order(control, {{"order", "kill"}, {"reason", reason}});
}

JudgedPath judge_path(const std::string& source, const std::string& target, Access access,
                      bool skill) {
  const UniqueFd file(
      sys::openat2(AT_FDCWD, source.c_str(), O_PATH, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
  if (!file && errno == ELOOP) {
    throw UserError(source + " has a symbolic link in it", "Name the path that it leads to.");
  }
  if (!file) throw UserError(source + ": " + std::strerror(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw_errno("fstat", source);
  // To connect to a socket is to write to it.
  const bool socket = S_ISSOCK(status.st_mode) && access == Access::kReadWrite;
  if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode) && !socket) {
    throw UserError(source + (S_ISSOCK(status.st_mode)
                                  ? " is a socket, which is granted for writing or not at all"
                                  : " is neither a directory, a regular file nor a socket"));
  }
  JudgedPath path;
  path.source = source;
  path.target = target;
  path.access = access;
  path.directory = S_ISDIR(status.st_mode);
  path.skill = skill;
  path.socket = socket;
  path.device = status.st_dev;
  path.inode = status.st_ino;
  return path;
}

}  // namespace sharkcage::sandbox
