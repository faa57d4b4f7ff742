#include "cli/stdio.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "cli/forwarded.h"
#include "common/errors.h"

namespace sharkcage::cli {
namespace {

constexpr std::size_t kBlock = 65536;
// What a pipe holds at most (pipe(7), pipe-max-size: 1 MiB), in the smallest pieces that it gives.
constexpr int kMaxDrainReads = 256;
// A pipe or terminal that reports POLLOUT takes at least this much without blocking (pipe(7)).
constexpr std::size_t kUnblockedWrite = 4096;
// A capture keeps this much of each stream; the rest is read and dropped.
constexpr std::size_t kMaxCapture = 64u << 20;
// The kernel moves a pty's last output by a work queue: how long to wait for it after the exit.
constexpr int kTerminalDrainMs = 200;
// Nobody tells that a shell has put us into the foreground unless we were stopped (bash's fg).
constexpr int kForegroundLookMs = 200;

void make_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) throw_errno("fcntl", "O_NONBLOCK");
}

const char* stream_name(int fd) {
  return fd == STDIN_FILENO ? "stdin" : fd == STDOUT_FILENO ? "stdout" : "stderr";
}

// The supervisor takes pipes and Unix stream sockets only.
bool can_be_passed(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno("fstat", stream_name(fd));
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) throw_errno("fcntl", stream_name(fd));
  if ((flags & O_PATH) != 0 || S_ISDIR(status.st_mode)) {
    throw UserError(std::string(stream_name(fd)) + " is " +
                        (S_ISDIR(status.st_mode) ? "a directory" : "only a path (O_PATH)") +
                        ", which can be neither read nor written",
                    "Redirect it from or to a file, a pipe or a terminal.");
  }
  if (S_ISFIFO(status.st_mode)) return true;
  if (!S_ISSOCK(status.st_mode)) return false;
  int family = 0;
  int type = 0;
  socklen_t size = sizeof family;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) throw_errno("getsockopt");
  size = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) throw_errno("getsockopt");
  return family == AF_UNIX && type == SOCK_STREAM;
}

std::optional<Window> window_of(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return std::nullopt;
  Window window;
  if (size.ws_row != 0 && size.ws_col != 0) window = {size.ws_row, size.ws_col};
  return window;
}

// The forwarded signals as a descriptor; as they were again at the end of its life. A signal that
// our parent had us ignore (nohup) stays ignored.
class Signals {
 public:
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : kForwarded) {
      struct sigaction action {};
      if (::sigaction(signal, nullptr, &action) != 0) throw_errno("sigaction");
      if (action.sa_handler != SIG_IGN) sigaddset(&set, signal);
    }
    fd_.reset(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd_) throw_errno("signalfd");
    if (::sigprocmask(SIG_BLOCK, &set, &before_) != 0) throw_errno("sigprocmask");
    old_pipe_ = ::signal(SIGPIPE, SIG_IGN);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() {
    ::signal(SIGPIPE, old_pipe_);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  sigset_t before_{};
  void (*old_pipe_)(int) = SIG_DFL;
};

Ending ending_of_exit(const Json& params) {
  Ending ending;
  ending.reason = params.value("reason", std::string());
  ending.message = params.value("message", std::string());
  ending.refused = params.value("refused", std::uint64_t{0});
  ending.refused_records = params.value("refused_records", std::uint64_t{1});
  ending.not_found = params.value("not_found", false);
  if (ending.reason == "wall") {
    ending.status = kTimeLimit;
    if (ending.message.empty()) ending.message = "The command ran into its time limit.";
  } else if (ending.reason == "sandbox" || ending.reason == "supervisor") {
    ending.status = kSandboxFailed;
  } else if (params.contains("signal")) {
    ending.status = 128 + params["signal"].get<int>();
  } else if (params.contains("exit")) {
    ending.status = params["exit"].get<int>();
  } else {
    ending.status = kSandboxFailed;
    if (ending.message.empty())
      ending.message = "The supervisor did not say how the command ended.";
  }
  return ending;
}

}  // namespace

void Stdio::Relay::end() {
  ended = true;
  own.reset();  // end of file, or SIGPIPE, for the command
}

void Stdio::Relay::read_some() {
  char block[kBlock];
  const ssize_t got = ::read(from, block, sizeof block);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {  // EIO: the last process of a pty has gone, or our own terminal has
    end();
    return;
  }
  const auto size = static_cast<std::size_t>(got);
  if (capture != nullptr) {
    capture->append(block, std::min(size, kMaxCapture - std::min(kMaxCapture, capture->size())));
  } else {
    buffer.assign(block, size);
  }
}

void Stdio::Relay::write_some() {
  const ssize_t written = ::write(to, buffer.data(), std::min(buffer.size(), kUnblockedWrite));
  if (written < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (written < 0) {
    buffer.clear();
    end();
    return;
  }
  buffer.erase(0, static_cast<std::size_t>(written));
}

void Stdio::Relay::step(short events) {
  if (ended || events == 0) return;
  if ((events & POLLNVAL) != 0) return end();
  if (buffer.empty()) {
    read_some();
  } else {
    write_some();
  }
}

bool Stdio::on_terminal() {
  return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
}

Stdio::Stdio(bool terminal) {
  occupy_standard_fds();
  find_job();
  if (terminal) {
    window_ = window_of(STDIN_FILENO);
    if (!window_) {
      throw UserError("A terminal was asked for and stdin is none", "Run it from a terminal.");
    }
    return;
  }
  connect_input(STDIN_FILENO);
  connect_output(STDOUT_FILENO, nullptr);
  connect_output(STDERR_FILENO, nullptr);
}

Stdio::Stdio(Capture) {
  occupy_standard_fds();
  find_job();
  connect_input(STDIN_FILENO);
  connect_output(STDOUT_FILENO, &captured_[0]);
  connect_output(STDERR_FILENO, &captured_[1]);
}

void Stdio::find_job() {
  on_tty_ = ::isatty(STDIN_FILENO) == 1;
  foreground_ = !on_tty_ || in_foreground();
}

Json Stdio::terminal() const {
  Json out = {{"rows", window_->rows}, {"columns", window_->columns}};
  if (!foreground_) out["background"] = true;
  return out;
}

void Stdio::connect_input(int fd) {
  if (can_be_passed(fd)) {
    passed_[fd] = true;
    to_pass_.push_back(fd);
    return;
  }
  auto [read_end, write_end] = make_pipe();
  make_nonblocking(write_end.get());
  to_pass_.push_back(read_end.get());
  far_ends_.push_back(std::move(read_end));
  const int to = write_end.get();
  relays_.push_back({.from = fd, .to = to, .own = std::move(write_end), .output = false});
}

void Stdio::connect_output(int fd, std::string* capture) {
  if (capture == nullptr && can_be_passed(fd)) {
    passed_[fd] = true;
    to_pass_.push_back(fd);
    return;
  }
  auto [read_end, write_end] = make_pipe();
  make_nonblocking(read_end.get());
  to_pass_.push_back(write_end.get());
  far_ends_.push_back(std::move(write_end));
  const int from = read_end.get();
  relays_.push_back({.from = from, .to = fd, .capture = capture, .own = std::move(read_end)});
}

// What was passed belongs to the command: as long as we held it too, its peer would wait for us.
// stderr stays, for our own messages.
void Stdio::let_go_of_passed() {
  far_ends_.clear();
  to_pass_.clear();
  if (!passed_[STDIN_FILENO] && !passed_[STDOUT_FILENO]) return;
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) throw_errno("open", "/dev/null");
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO}) {
    if (passed_[fd] && ::dup2(null.get(), fd) < 0) throw_errno("dup2", stream_name(fd));
  }
}

void Stdio::start_terminal(rpc::Client& client) {
  if (!window_ || client.received_fds().empty()) return;
  master_ = std::move(client.received_fds().front());
  client.received_fds().pop_front();
  make_nonblocking(master_.get());
  relays_.push_back({.from = STDIN_FILENO, .to = master_.get(), .own = {}, .output = false});
  relays_.push_back({.from = master_.get(), .to = STDOUT_FILENO, .own = {}});
}

Ending Stdio::attend(rpc::Client& client, const std::string& call) {
  const Signals signals;
  struct Restore {
    ~Restore() { raw.leave(); }
    RawMode& raw;
  };
  const Restore restore{raw_};
  let_go_of_passed();
  bool connected = true;
  for (;;) {
    while (auto message = client.take_notification()) {
      const std::string method = message->value("method", std::string());
      const Json params = message->value("params", Json::object());
      if (params.value("call", std::string()) != call) continue;
      if (method == "exec.started" && window_) {
        start_terminal(client);
        if (foreground_) raw_.enter();
      } else if (method == "exec.stopped" && window_) {
        on_stopped(client, call, params.value("signal", SIGSTOP));
      } else if (method == "exec.exit") {
        drain();
        return ending_of_exit(params);
      }
    }
    if (!connected) {
      drain();
      return {
          kSandboxFailed, "supervisor",
          "The connection to the supervisor ended while the command ran; its sandbox is gone too."};
    }
    wait_and_step(client, signals.fd(), call, connected);
  }
}

void Stdio::wait_and_step(rpc::Client& client, int signals, const std::string& call,
                          bool& connected) {
  look_for_foreground(client, call);
  std::vector<pollfd> polled = {{client.fd(), POLLIN, 0}, {signals, POLLIN, 0}};
  for (const Relay& relay : relays_) {
    // poll(2) skips negative descriptors.
    const bool read = relay.wants_read();
    // In the background the terminal's keys are for somebody else.
    const bool not_ours = relay.from == STDIN_FILENO && !foreground_ && read;
    polled.push_back({relay.ended || not_ours ? -1
                      : read                  ? relay.from
                                              : relay.to,
                      static_cast<short>(read ? POLLIN : POLLOUT), 0});
  }
  const int patience = foreground_ ? -1 : kForegroundLookMs;
  if (::poll(polled.data(), polled.size(), patience) < 0) {
    if (errno == EINTR) return;
    throw_errno("poll");
  }
  for (std::size_t i = 0; i < relays_.size(); ++i) relays_[i].step(polled[i + 2].revents);
  if (polled[1].revents != 0) forward_signals(client, signals, call);
  if (polled[0].revents != 0) connected = client.pump();
}

void Stdio::forward_signals(rpc::Client& client, int signals, const std::string& call) {
  signalfd_siginfo info{};
  while (::read(signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    const int signal = static_cast<int>(info.ssi_signo);
    if (signal == SIGWINCH) {
      if (!window_) continue;
      window_ = window_of(STDIN_FILENO);
      if (!window_) window_ = Window{};
      client.post("exec.resize",
                  {{"call", call}, {"rows", window_->rows}, {"columns", window_->columns}});
      continue;
    }
    if (signal == SIGCONT && window_) {
      go_on(client, call, in_foreground());
      continue;
    }
    client.post("exec.signal", {{"call", call}, {"signal", signal}});
    // The command stops and so do we; whoever continues us continues it (SIGCONT is forwarded). On
    // a terminal it tells when it has stopped.
    if (signal == SIGTSTP && !window_ && !stop_job(signal, false)) {
      client.post("exec.signal", {{"call", call}, {"signal", SIGCONT}});
    }
  }
}

// The whole job stops, as if the command itself were a process of it.
void Stdio::on_stopped(rpc::Client& client, const std::string& call, int signal) {
  const bool wants_terminal = signal == SIGTTIN || signal == SIGTTOU;
  if (wants_terminal && in_foreground()) return go_on(client, call, true);
  drain();  // what an editor writes to leave the screen as it was
  raw_.leave();
  // SIGCONT, which is forwarded, says that we go on.
  if (stop_job(wants_terminal ? signal : SIGTSTP, true)) return;
  // Nobody would continue us: then the command goes on as well, and may have its terminal.
  go_on(client, call, true);
}

void Stdio::go_on(rpc::Client& client, const std::string& call, bool with_terminal) {
  foreground_ = in_foreground();
  if (foreground_) take_terminal(client, call);
  client.post("exec.foreground", {{"call", call}, {"on", with_terminal}});
  client.post("exec.signal", {{"call", call}, {"signal", SIGCONT}});
}

void Stdio::take_terminal(rpc::Client& client, const std::string& call) {
  raw_.enter();
  const auto size = window_of(STDIN_FILENO);
  if (!size || (size->rows == window_->rows && size->columns == window_->columns)) return;
  window_ = size;
  client.post("exec.resize",
              {{"call", call}, {"rows", window_->rows}, {"columns", window_->columns}});
}

void Stdio::look_for_foreground(rpc::Client& client, const std::string& call) {
  if (!on_tty_) return;
  const bool before = std::exchange(foreground_, in_foreground());
  if (before || !foreground_ || !window_ || !master_) return;
  take_terminal(client, call);
  client.post("exec.foreground", {{"call", call}, {"on", true}});
}

// The command has returned: what it wrote is in the pipes, which hold at most so much. Whoever it
// left behind may hold them for as long as it likes, so nothing waits for an end of file.
void Stdio::drain() {
  for (Relay& relay : relays_) {
    if (!relay.output) continue;
    for (int reads = 0; !relay.ended && (reads < kMaxDrainReads || !relay.buffer.empty());) {
      if (!relay.buffer.empty()) {
        pollfd ready{relay.to, POLLOUT, 0};
        if (::poll(&ready, 1, -1) > 0) relay.write_some();
        continue;
      }
      pollfd ready{relay.from, POLLIN, 0};
      if (::poll(&ready, 1, window_ ? kTerminalDrainMs : 0) <= 0) break;
      relay.read_some();
      ++reads;
    }
  }
}

Ending ending_of(const rpc::Error& error) {
  const bool refused = error.code == rpc::kBlocked || error.code == rpc::kForbidden;
  Ending ending{refused ? kBlocked : kSandboxFailed, refused ? "blocked" : "sandbox",
                error.message};
  if (error.data.is_object()) {
    const std::string remedy = error.data.value("remedy", std::string());
    ending.message = UserError(ending.message, remedy).full();
  }
  return ending;
}

void occupy_standard_fds() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // open(2) takes the lowest free number, which is this one.
    if (::open("/dev/null", O_RDWR) != fd) throw_errno("open", "/dev/null");
  }
}

}  // namespace sharkcage::cli
