// The supervisor's processes, the launcher and the egress: kept running, their ends recorded.
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "supervisor/egress/egress_client.h"
#include "supervisor/sandbox/launcher_client.h"

namespace sharkcage {

// One thread. Each process is started again when it dies, with a pause that doubles from a tenth of a
// second up to ten, so that one that cannot live does not eat the machine.
class Processes {
 public:
  struct Hooks {
    // "launcher" or "egress", and how it ended. Called before it is started again.
    std::function<void(const std::string& name, const std::string& how)> died;
    std::function<void(const egress::Connection&)> connection;
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

  std::uint64_t listen(egress::Listen listen, UniqueFd socket);
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
  void restart(const std::string& name, unsigned attempt);
  void ended(const std::string& name, const std::string& how);

  asio::io_context& context_;
  Hooks hooks_;
  std::optional<sandbox::Launcher> launcher_;
  egress::EgressClient egress_;
  // Watched duplicates: the clients own the descriptors themselves.
  std::optional<asio::posix::stream_descriptor> launcher_watch_;
  std::optional<asio::posix::stream_descriptor> egress_watch_;
  std::map<std::string, unsigned> restarts_;
  bool stopping_ = false;
  bool egress_writing_ = false;
};

}  // namespace sharkcage
