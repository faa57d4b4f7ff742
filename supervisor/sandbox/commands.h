// The commands of one sandbox, as its monitor sees them: started by order of the supervisor, heard
// through their keepers, their output relayed, ended at their limits of time and output.
#pragma once

#include <poll.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "common/fd.h"
#include "common/json.h"
#include "supervisor/sandbox/init_channel.h"
#include "supervisor/sandbox/input_relay.h"
#include "supervisor/sandbox/limit_watch.h"
#include "supervisor/sandbox/output_relay.h"
#include "supervisor/sandbox/refusals.h"

namespace sharkcage::sandbox {

class Commands {
 public:
  using Clock = std::chrono::steady_clock;
  struct Hooks {
    // To the supervisor.
    std::function<void(const Json& event, const std::vector<UniqueFd>& fds)> tell;
    // Ends the sandbox, because that is the only way to end a command.
    std::function<void(const std::string& reason)> end_sandbox;
    // What the attendants have refused since the last time. Throws when they cannot tell.
    std::function<RefusalTable::Taken()> collect;
    // Has `note_refused` called at the next refusal, once. False when there is one to collect.
    std::function<bool()> arm;
  };

  explicit Commands(Hooks hooks) : hooks_(std::move(hooks)) {}
  // Before anything else. `watch` outlives this. `output`: bytes that one command may write.
  void hold_to(LimitWatch& watch, std::uint64_t output);

  // Commands of the PID 1 at the other end of `init`, which must stay open.
  void attach(int init) { init_ = init; }

  // The order "run". False for one that is none.
  bool run(const Json& order, std::vector<UniqueFd> fds);
  // To the command's process group. One that has returned is no error.
  void signal(std::uint64_t id, int number);
  // Whether the command is in the foreground of its terminal.
  void foreground(std::uint64_t id, bool on);
  // The client has gone, and has read what it wanted of a terminal: what the command left behind
  // writes into nothing.
  void release(std::uint64_t id);
  // Ends the command and whatever comes from it.
  void cancel(std::uint64_t id, const std::string& reason);

  // Whether a command was ordered ever.
  bool any() const { return any_; }

  // For the monitor's loop: what to wait for, how long, and what to do then.
  void add_to(std::vector<pollfd>& events) const;
  void hear(const std::vector<pollfd>& events);
  // Until the next time limit; -1 as long as none runs.
  int milliseconds_left() const;
  void keep_time();
  // Something was refused since it was asked for. What is refused to processes of a command that
  // has returned is told while they run: soon, then less and less often.
  void note_refused();
  // Whether a command runs, or something that one left behind.
  bool busy() const { return !commands_.empty(); }
  // Whether the output of a command that has returned is still on its way to its client, and what
  // it left behind is gone. Then the end of PID 1 is not the end of this.
  bool relaying() const;
  // Nobody waits for that output any more.
  void drop_output();

  // PID 1 is gone, killed for `reason` if that is not empty: what keepers said before counts, and
  // the commands that have not returned are told as killed. Of each that was not over is told that
  // it is, with what was refused to it since the last time. `usage` is of PID 1 and its children.
  void close(const std::string& reason, const rusage& usage);

 private:
  struct KeeperEnd {
    UniqueFd channel;
    pid_t session = 0;  // inside; 0 before it is told
  };
  struct Command {
    std::uint64_t id = 0;
    bool last = false;
    KeeperEnd keeper;
    Clock::time_point started;
    Clock::time_point deadline = Clock::time_point::max();
    std::string reason;   // why we end it
    bool ending = false;  // its keeper was ordered to end everything
    bool returned = false;
    bool over = false;
    RefusalTable refused;  // that is still to be told
    std::uint64_t refused_more = 0;
    std::string refused_unknown;          // why more may have been refused than is known; or empty
    std::unique_ptr<InputRelay> input;    // of a socket
    std::unique_ptr<OutputRelay> output;  // none with a terminal
    UniqueFd terminal;                    // its master
    bool released = false;                // nobody reads it any more
    std::uint64_t drained = 0;            // bytes, since then
    LimitWatch::Mark mark;
    Json outcome;  // "returned", to be told when the output is through
  };

  Command* find(std::uint64_t id);
  Command* newest_there();
  bool hear(Command& command);
  void on_report(Command& command, InitReport& report, const std::vector<UniqueFd>& fds);
  void collect_refused(Command& now);
  bool left_running(const Command& command) const;
  void watch_refused();
  void tell_refused();
  void learn_sessions();
  Command& owner_of(const Refusal& refusal, Command& now);
  static std::vector<UniqueFd> take_refused(Command& command, Json& event);
  void tell(Command& command, Json event);
  void on_over(Command& command);
  void note_over(Command& command);
  void tell_over(Command& command);
  void note_returned(Command& command, const InitReport& report);
  void tell_returned(Command& command);
  void keep_output(Command& command);
  void drain_terminal(Command& command);
  void tell_failed(Command& command, InitReport& report);
  KeeperEnd make_keeper(bool last);
  void lost(Command& command);

  const Hooks hooks_;
  int init_ = -1;
  std::vector<KeeperEnd> waiting_;  // those that have no command
  LimitWatch* watch_ = nullptr;
  std::uint64_t output_ = 0;
  std::list<Command> commands_;
  Clock::time_point refused_due_ = Clock::time_point::max();  // when to tell what was refused
  Clock::time_point refused_told_ = Clock::time_point::min();
  std::chrono::seconds refused_pause_{0};
  bool any_ = false;   // a command was ordered
  bool full_ = false;  // the last one was
  bool closed_ = false;
};

}  // namespace sharkcage::sandbox
