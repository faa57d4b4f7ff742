// One sandbox that exists, as the supervisor sees it: its monitor's socket, the commands in it, its
// listener at the egress.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/fd.h"
#include "supervisor/processes.h"
#include "supervisor/sandbox/launcher_client.h"

namespace sharkcage {

// One thread.
class LiveSandbox : public std::enable_shared_from_this<LiveSandbox> {
 public:
  // What happens to one command. kOver, a kReturned that says it, kFailed or kEnded is the last
  // event; kFailed tells that it did not run, or that the sandbox could not go on, kEnded that what
  // watched it is gone. Of these two `refused_unknown` says whether something may have been refused
  // of which nobody will know.
  using Handler = std::function<void(sandbox::Event)>;

  // `control`: the near end of the socket whose far end the launcher got.
  LiveSandbox(asio::io_context& context, Processes& processes, UniqueFd control);

  // Hands events to the commands' handlers until nothing of the sandbox is left, then calls
  // `ended`.
  asio::awaitable<void> attend(std::function<void()> ended);

  // Makes a command ready; returns its number. `last`: the sandbox ends with it. Throws UserError
  // for a command that cannot be executed anywhere, std::system_error.
  std::uint64_t stage(const sandbox::Command& command, std::chrono::milliseconds wall, bool last,
                      std::span<const int> stdio, Handler handler);
  // Executes it. Nothing happens when it is gone.
  void go(std::uint64_t command);
  // It is not executed after all, and its handler hears nothing more.
  void drop(std::uint64_t command);
  bool signal(std::uint64_t command, int number);
  // Ends the command and whatever comes from it; the sandbox with it if that is the only way.
  bool foreground(std::uint64_t command, bool on);
  bool release(std::uint64_t command);
  bool cancel(std::uint64_t command, const std::string& reason);
  // Ends the sandbox.
  bool kill(const std::string& reason);

  // The call that is staged next may use the network under `listen` (without id and tokens, the
  // same each time), until `dismiss`.
  void admit(const egress::Listen& listen, egress::CallToken token);
  void dismiss(const std::string& call);

  // Commands that have not returned, and those of which processes are left.
  std::size_t running() const { return running_; }
  std::size_t commands() const { return handlers_.size(); }
  // PID 1, as this process numbers it; 0 before the sandbox is complete.
  pid_t init() const { return init_; }

 private:
  struct Entry {
    Handler handler;
    UniqueFd gate;  // until it is opened
    bool returned = false;
  };
  void on_event(sandbox::Event event);
  void on_command_event(sandbox::Event event);
  void returned(Entry& entry);
  bool order(const std::function<bool()>& send);
  void serve_network();
  void watch_names();
  void forget_names();
  void end();

  Processes& processes_;
  asio::posix::stream_descriptor control_;
  std::map<std::uint64_t, Entry> handlers_;
  std::uint64_t last_command_ = 0;
  std::size_t running_ = 0;
  pid_t init_ = 0;
  std::vector<UniqueFd> network_;         // its sockets, until the first call is admitted
  std::uint64_t listening_ = 0;           // the listener's id at the egress
  asio::posix::stream_descriptor names_;  // as long as nobody has asked for one, without a network
  bool asked_ = false;
  egress::Listen waiting_;  // what was admitted before the listener came
  std::string failure_;     // why the sandbox could not be made
  std::string remedy_;
  int error_ = 0;
};

}  // namespace sharkcage
