// The supervisor's processes, the launcher and the egress: kept running, their ends recorded.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "supervisor/egress/egress_client.h"
#include "supervisor/sandbox/launcher_client.h"

namespace sharkcage {

// One thread. Each process is started again when it dies: the egress at once, the launcher after
// 0.1 s, and where it had died within ten seconds twice after a pause that doubles up to 0.8 s: one
// that cannot live does not eat the machine, one that was killed is back within a second.
class Processes {
 public:
  struct Hooks {
    // "launcher" or "egress", and how it ended. Called before it is started again.
    std::function<void(const std::string& name, const std::string& how)> died;
    std::function<void(const egress::Connection&)> connection;
    // Calls back, on the loop, once all that `connection` was told is in the log. The egress is not
    // heard meanwhile where it has much to say: it waits, and so does whoever makes it speak.
    std::function<void(std::function<void()> then)> recorded;
  };

  // Takes over a launcher that was started before any thread.
  Processes(asio::io_context& context, sandbox::Launcher launcher, std::string egress_program,
            Hooks hooks);

  // Starts the egress and watches both.
  void start();
  // No more restarts; ends both.
  void stop();

  // Throws std::system_error or UserError when the launcher is not there.
  void launch(const sandbox::Spec& spec, int control);

  std::uint64_t listen(egress::Listen listen, std::vector<UniqueFd> sockets);
  void admit(std::uint64_t listener, egress::CallToken token);
  void dismiss(std::uint64_t listener, const std::string& call);
  void close_listener(std::uint64_t id);

  struct Health {
    pid_t pid = 0;  // 0: not running
    unsigned restarts = 0;
  };
  Health launcher() const;
  Health egress() const;

 private:
  void watch_launcher();
  void watch_egress();
  void flush_egress();
  void read_egress();
  void on_egress();
  void hear(const std::vector<egress::Event>& events);
  void restart(const std::string& name);
  void start_again(const std::string& name);
  void ended(const std::string& name, const std::string& how);

  asio::io_context& context_;
  Hooks hooks_;
  std::optional<sandbox::Launcher> launcher_;
  egress::EgressClient egress_;
  // Watched duplicates: the clients own the descriptors themselves.
  std::optional<asio::posix::stream_descriptor> launcher_watch_;
  std::optional<asio::posix::stream_descriptor> egress_watch_;
  struct Life {
    std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
    unsigned restarts = 0;
    unsigned short_ones = 0;  // in succession, this one not counted
  };
  std::map<std::string, Life> lives_;
  bool stopping_ = false;
  bool egress_writing_ = false;
};

}  // namespace sharkcage
