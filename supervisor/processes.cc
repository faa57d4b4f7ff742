#include "supervisor/processes.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <asio/error.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <memory>

#include "common/errors.h"

namespace sharkcage {
namespace {

constexpr std::chrono::seconds kShortLife{10};
constexpr std::chrono::milliseconds kFirstPause{100};
constexpr unsigned kMaxDoublings = 3;

// After that many short lives in succession.
std::chrono::milliseconds pause_after(unsigned short_lives) {
  if (short_lives <= 1) return std::chrono::milliseconds(0);
  return kFirstPause * (1u << std::min(short_lives - 2, kMaxDoublings));
}

int duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
  return copy;
}

}  // namespace

Processes::Processes(asio::io_context& context, sandbox::Launcher launcher,
                     std::string egress_program, Hooks hooks)
    : context_(context),
      hooks_(std::move(hooks)),
      launcher_(std::move(launcher)),
      egress_(std::move(egress_program)) {}

void Processes::start() {
  egress_.start();
  lives_ = {{"launcher", {}}, {"egress", {}}};
  watch_launcher();
  watch_egress();
}

void Processes::stop() {
  stopping_ = true;
  launcher_watch_.reset();
  egress_watch_.reset();
  egress_.stop();
  hear(egress_.on_readable());
  launcher_.reset();
}

void Processes::launch(const sandbox::Spec& spec, int control) {
  if (!launcher_) throw UserError("The launcher is not running", "It is being started again.");
  launcher_->launch(spec, control);
}

std::uint64_t Processes::listen(egress::Listen listen, std::vector<UniqueFd> sockets) {
  const std::uint64_t id = egress_.listen(std::move(listen), std::move(sockets));
  flush_egress();
  return id;
}

void Processes::admit(std::uint64_t listener, egress::CallToken token) {
  egress_.admit(listener, std::move(token));
  flush_egress();
}

void Processes::dismiss(std::uint64_t listener, const std::string& call) {
  egress_.dismiss(listener, call);
  flush_egress();
}

void Processes::close_listener(std::uint64_t id) {
  egress_.close(id);
  flush_egress();
}

Processes::Health Processes::launcher() const {
  const auto life = lives_.find("launcher");
  return {launcher_ ? launcher_->pid() : 0, life == lives_.end() ? 0 : life->second.restarts};
}

Processes::Health Processes::egress() const {
  const auto life = lives_.find("egress");
  return {egress_.running() ? egress_.pid() : 0, life == lives_.end() ? 0 : life->second.restarts};
}

void Processes::watch_launcher() {
  launcher_watch_.emplace(context_, duplicate(launcher_->fd()));
  launcher_watch_->async_wait(asio::posix::stream_descriptor::wait_read,
                              [this](std::error_code error) {
                                if (error || stopping_) return;
                                launcher_watch_.reset();
                                launcher_.reset();
                                ended("launcher", "ended unexpectedly");
                              });
}

void Processes::watch_egress() {
  egress_watch_.emplace(context_, duplicate(egress_.fd()));
  egress_writing_ = false;
  read_egress();
  flush_egress();
}

void Processes::read_egress() {
  using Descriptor = asio::posix::stream_descriptor;
  egress_watch_->async_wait(Descriptor::wait_read, [this](std::error_code error) {
    if (!error && !stopping_) on_egress();
  });
}

void Processes::on_egress() {
  const auto events = egress_.on_readable();
  hear(events);
  if (!egress_.running()) {
    egress_watch_.reset();
    ended("egress", egress_.ended());
  } else if (events.size() < egress::EgressClient::kMaxEvents) {
    read_egress();
  } else {
    hooks_.recorded([this] {
      if (!stopping_) read_egress();
    });
  }
}

void Processes::hear(const std::vector<egress::Event>& events) {
  for (const auto& event : events) {
    if (const auto* connection = std::get_if<egress::Connection>(&event)) {
      hooks_.connection(*connection);
    } else if (const auto* failed = std::get_if<egress::Failed>(&event)) {
      spdlog::error("egress: {}", failed->reason);
    }
  }
}

void Processes::flush_egress() {
  if (egress_writing_ || !egress_watch_ || !egress_.wants_write()) return;
  egress_writing_ = true;
  egress_watch_->async_wait(asio::posix::stream_descriptor::wait_write,
                            [this](std::error_code error) {
                              if (error || stopping_) return;
                              egress_writing_ = false;
                              egress_.on_writable();
                              flush_egress();
                            });
}

void Processes::ended(const std::string& name, const std::string& how) {
  hooks_.died(name, how);
  ++lives_[name].restarts;
  restart(name);
}

void Processes::restart(const std::string& name) {
  Life& life = lives_[name];
  const bool was_short = std::chrono::steady_clock::now() - life.began < kShortLife;
  life.short_ones = was_short ? life.short_ones + 1 : 0;
  auto pause = pause_after(life.short_ones);
  // Its sandboxes are still dying. What they leave behind, the next one removes when it starts.
  if (name == "launcher") pause = std::max(pause, kFirstPause);
  auto timer = std::make_shared<asio::steady_timer>(context_, pause);
  timer->async_wait([this, timer, name](std::error_code error) {
    if (!error && !stopping_) start_again(name);
  });
}

void Processes::start_again(const std::string& name) {
  lives_[name].began = std::chrono::steady_clock::now();
  try {
    if (name == "launcher") {
      launcher_.emplace(sandbox::Launcher::start());
      watch_launcher();
    } else {
      egress_.start();
      watch_egress();
    }
    spdlog::info("{} started again", name);
  } catch (const std::exception& problem) {
    spdlog::error("{} cannot be started again: {}", name, problem.what());
    restart(name);
  }
}

}  // namespace sharkcage
