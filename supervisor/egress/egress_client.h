// The supervisor's side of the egress: starts the process, hands it listening sockets, hears what
// happened. Plain functions on one descriptor, so that any event loop can drive them.
//
//   EgressClient egress(bin_dir + "/sharkcage-egress");
//   egress.start();                         // watch egress.fd() for reading
//   id = egress.listen(listen, sockets);    // before the command starts
//   for (Event& e : egress.on_readable())   // whenever fd() is readable
//   if (!egress.running()) egress.start();  // watch the new fd(); kept listeners are served again
//   egress.admit(id, token);                // one more call in the same sandbox
//   egress.dismiss(id, call);               // when a call ends
//   egress.close(id);                       // when the sandbox ends
//
// Not thread-safe: one thread (or strand) owns it. Whatever order is not yet written waits inside;
// while `wants_write()` holds, watch fd() for writing as well and call `on_writable()`.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/fd.h"
#include "supervisor/egress/control.h"
#include "supervisor/egress/refused_counts.h"

namespace sharkcage::egress {

class EgressClient {
 public:
  explicit EgressClient(std::string executable) : executable_(std::move(executable)) {}
  // Ends the process, if there is one, and waits for its end.
  ~EgressClient() { stop(); }
  EgressClient(const EgressClient&) = delete;
  EgressClient& operator=(const EgressClient&) = delete;

  // Starts a process (posix_spawn(3): safe with threads) and hands it every kept listener. Does not
  // wait for `Ready`: connections wait in their listeners' backlogs until then. Must not be
  // running. Nothing else may reap the process. Throws std::system_error.
  void start();

  // Ends the process and waits for its end. Listeners are kept; what it had told and what is told
  // in its place is returned by the next `on_readable`.
  void stop();

  // False before `start`, and once the process has died or broken the protocol. Only `on_readable`,
  // `on_writable` and `stop` change it from true to false.
  bool running() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }

  // The control socket (nonblocking), -1 when not running. A new one with each start.
  int fd() const { return control_.get(); }

  // Reads what has arrived, without blocking, and at most `kMaxEvents`: one that sends as fast as
  // it can does not keep the caller from its other work. At the process's death it also returns,
  // for every connection that was open, the closing event that the process could not send (reason
  // "the egress died"), for every listener the number of refused attempts of which it had not told
  // yet, and `Closed` for every listener that was closing, so that each allowed connection has
  // exactly one end. Never throws for what the process
  // sends: one that breaks the protocol is killed, which is its death.
  static constexpr std::size_t kMaxEvents = 256;
  std::vector<Event> on_readable();

  bool wants_write() const { return !outgoing_.empty(); }
  void on_writable();

  // Serves `sockets` (what NetworkFd lists, or a listening socket alone) under the given rules and
  // tokens, now and in every process started later, until `close`. `listen.id` is ignored, the
  // returned id is unique for this client. While no process is running it is only kept. Throws
  // UserError for a token or a rule that the egress would refuse; nothing is kept then.
  std::uint64_t listen(Listen listen, std::vector<UniqueFd> sockets);

  // One more call that uses the listener, and the end of one: its token ends, its connections are
  // cut. Unknown ids and calls are ignored. `admit` throws UserError for a token that the egress
  // would refuse.
  void admit(std::uint64_t id, CallToken token);
  void dismiss(std::uint64_t id, const std::string& call);

  // All tokens end, all connections are cut, the kept socket is closed. `Closed` follows when a
  // process was running. Unknown ids are ignored: a call may end twice.
  void close(std::uint64_t id);

  // How the last process ended, for the log: "signal 9", "exit 1", "protocol error: …".
  const std::string& ended() const { return ended_; }

 private:
  struct Kept {
    Listen listen;
    std::vector<UniqueFd> sockets;
  };
  struct Outgoing {
    std::string text;
    std::vector<UniqueFd> fds;
  };

  void send(const Order& order, const std::vector<UniqueFd>& fds = {});
  enum class Read { kEvent, kNothing, kEnd };
  Read read_one();
  void note(const Event& event);
  void died(std::string how);
  void tell_untold();

  std::string executable_;
  pid_t pid_ = -1;
  UniqueFd control_;
  UniqueFd lifeline_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Kept> kept_;
  std::map<std::uint64_t, Connection> open_;
  std::set<std::uint64_t> closing_;
  std::optional<RefusedCounts> refused_;
  std::vector<std::uint64_t> told_;  // of these, by place
  std::deque<Outgoing> outgoing_;
  std::vector<Event> pending_;
  std::unique_ptr<char[]> packet_;
  std::string ended_;
};

}  // namespace sharkcage::egress
