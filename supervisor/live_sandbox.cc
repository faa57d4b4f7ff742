#include "supervisor/live_sandbox.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <utility>

#include "capabilities/caught.h"

namespace sharkcage {
namespace {

constexpr const char* kMonitorEnded = "the process that watches its sandbox has ended";

}  // namespace

LiveSandbox::LiveSandbox(asio::io_context& context, Processes& processes, UniqueFd control)
    : processes_(processes), control_(context, control.release()), names_(context) {}

asio::awaitable<void> LiveSandbox::attend(std::function<void()> ended) {
  const auto self = shared_from_this();
  std::error_code error;
  for (bool alive = true; alive && !error;) {
    co_await control_.async_wait(asio::posix::stream_descriptor::wait_read,
                                 asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    try {
      while (auto event = sandbox::receive_event(control_.native_handle())) {
        alive = event->kind != sandbox::Event::Kind::kEnded;
        if (!alive) break;
        on_event(std::move(*event));
      }
    } catch (const std::exception& problem) {
      spdlog::error("a sandbox: {}", problem.what());
      kill("supervisor");
      break;
    }
  }
  end();
  ended();
}

std::uint64_t LiveSandbox::stage(const sandbox::Command& command, std::chrono::milliseconds wall,
                                 bool last, std::span<const int> stdio, Handler handler) {
  const std::uint64_t number = last_command_ + 1;
  UniqueFd gate =
      sandbox::order_run(control_.native_handle(), {number, last, wall}, command, stdio);
  last_command_ = number;
  ++running_;
  handlers_[number] = {std::move(handler), std::move(gate)};
  return number;
}

void LiveSandbox::go(std::uint64_t command) {
  const auto found = handlers_.find(command);
  if (found != handlers_.end()) sandbox::open_gate(std::move(found->second.gate));
}

void LiveSandbox::drop(std::uint64_t command) {
  const auto found = handlers_.find(command);
  if (found == handlers_.end()) return;
  returned(found->second);
  handlers_.erase(found);
}

bool LiveSandbox::signal(std::uint64_t command, int number) {
  return sandbox::order_signal(control_.native_handle(), command, number);
}

bool LiveSandbox::foreground(std::uint64_t command, bool on) {
  return sandbox::order_foreground(control_.native_handle(), command, on);
}

bool LiveSandbox::release(std::uint64_t command) {
  return order([&] { return sandbox::order_release(control_.native_handle(), command); });
}

bool LiveSandbox::cancel(std::uint64_t command, const std::string& reason) {
  return order([&] { return sandbox::order_cancel(control_.native_handle(), command, reason); });
}

bool LiveSandbox::kill(const std::string& reason) {
  return order([&] { return sandbox::order_kill(control_.native_handle(), reason); });
}

// An end that cannot be ordered is made: without us, the monitor ends the sandbox.
bool LiveSandbox::order(const std::function<bool()>& send) {
  try {
    return send();
  } catch (const std::system_error& problem) {
    spdlog::error("a sandbox: {}", problem.what());
    std::error_code ignored;
    control_.close(ignored);
    return true;
  }
}

void LiveSandbox::admit(const egress::Listen& listen, egress::CallToken token) {
  token.command = last_command_ + 1;
  if (listening_ != 0) return processes_.admit(listening_, std::move(token));
  waiting_.session = listen.session;
  waiting_.skill = listen.skill;
  waiting_.hosts = listen.hosts;
  waiting_.deny_hosts = listen.deny_hosts;
  waiting_.tokens.push_back(std::move(token));
  serve_network();
}

// One without a network is nothing to the egress before it asks for a name.
void LiveSandbox::serve_network() {
  if (listening_ != 0 || network_.empty() || waiting_.tokens.empty()) return;
  const bool names_alone = network_.size() != kNetworkFds;
  if (names_alone && !asked_) return watch_names();
  waiting_.sockets = names_alone ? egress::Sockets::kNames : egress::Sockets::kAll;
  listening_ = processes_.listen(std::move(waiting_), std::move(network_));
}

void LiveSandbox::watch_names() {
  if (names_.is_open()) return;
  UniqueFd own(::fcntl(network_[0].get(), F_DUPFD_CLOEXEC, 0));
  if (!own) return spdlog::error("a sandbox: what it asks for by name is not recorded: fcntl");
  names_.assign(own.release());
  names_.async_wait(asio::posix::stream_descriptor::wait_read,
                    [self = weak_from_this()](std::error_code error) {
                      const auto sandbox = self.lock();
                      if (error || !sandbox) return;
                      sandbox->forget_names();
                      sandbox->asked_ = true;
                      sandbox->serve_network();
                    });
}

// asio leaves it to close(2) to take a descriptor out of its epoll set, which that does not do
// while others have the same open file.
void LiveSandbox::forget_names() {
  if (names_.is_open()) ::close(names_.release());
}

void LiveSandbox::dismiss(const std::string& call) {
  std::erase_if(waiting_.tokens, [&](const auto& token) { return token.call == call; });
  if (listening_ != 0) processes_.dismiss(listening_, call);
}

void LiveSandbox::on_event(sandbox::Event event) {
  if (event.command != 0) return on_command_event(std::move(event));
  if (event.kind == sandbox::Event::Kind::kReady) {
    init_ = event.pid;
    network_ = std::move(event.network);
    serve_network();
  } else if (event.kind == sandbox::Event::Kind::kFailed) {
    failure_ = event.what;
    remedy_ = event.remedy;
    error_ = event.error;
  }
}

void LiveSandbox::on_command_event(sandbox::Event event) {
  const auto found = handlers_.find(event.command);
  if (found == handlers_.end()) return;
  using Kind = sandbox::Event::Kind;
  const Kind kind = event.kind;
  if (kind == Kind::kReturned || kind == Kind::kFailed) returned(found->second);
  if (kind != Kind::kOver && kind != Kind::kFailed && !event.over) {
    return found->second.handler(std::move(event));
  }
  const Handler handler = std::move(found->second.handler);
  handlers_.erase(found);
  handler(std::move(event));
}

void LiveSandbox::returned(Entry& entry) {
  if (!std::exchange(entry.returned, true)) --running_;
}

void LiveSandbox::end() {
  forget_names();
  if (listening_ != 0) processes_.close_listener(std::exchange(listening_, 0));
  std::map<std::uint64_t, Entry> left;
  left.swap(handlers_);
  running_ = 0;
  for (auto& [number, entry] : left) {
    sandbox::Event event;
    event.command = number;
    if (failure_.empty()) {
      event.refused_unknown = kMonitorEnded;
    } else {
      event.kind = sandbox::Event::Kind::kFailed;
      event.what = failure_;
      event.remedy = remedy_;
      event.error = error_;
      if (init_ != 0) event.refused_unknown = failure_;
    }
    entry.handler(std::move(event));
  }
}

}  // namespace sharkcage
