// The sandboxes that exist: fresh ones, each for one command; warm ones, which a session keeps; and
// prepared ones, complete and without a command yet.
#pragma once

#include <sys/types.h>

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/config.h"
#include "supervisor/basis.h"
#include "supervisor/ends.h"
#include "supervisor/git_identities.h"
#include "supervisor/host_ids.h"
#include "supervisor/live_sandbox.h"
#include "supervisor/processes.h"

namespace sharkcage {

// Who shares a warm sandbox: two commands do only if all of this is the same, and their bases too.
struct Seat {
  std::string scope;    // of the session (Call::scope); empty: nobody, the sandbox is fresh
  std::string session;  // for people
  std::string agent;
  std::string skill;
  std::string content_digest;
  std::string workspace;
  Access access = Access::kReadWrite;
  uid_t owner = 0;

  bool shares(const Seat& other) const;
};

// One thread.
class Sandboxes {
 public:
  struct Options {
    std::string skills_dir;   // the content store
    bool privileged = false;  // commands get user ids of their own
    WarmLimits warm;
    GitIdentitySource git_identity;
  };
  Sandboxes(asio::io_context& context, Processes& processes, Ends& ends, Options options);

  struct Taken {
    std::shared_ptr<LiveSandbox> sandbox;
    bool warm = false;  // else it is to end with its command
  };
  // A sandbox for one command: the warm one of `seat` if it has one on the same basis, else one
  // that was prepared on it, else a new one. Throws UserError for a path of the policy that may not
  // be shown and when no more warm ones may be kept, std::system_error without a launcher.
  Taken take(const Seat& seat, const Policy& policy);

  // To be called when a command in `sandbox` has returned, and when none could be started there.
  void returned(const LiveSandbox& sandbox);

  void end_skill(const std::string& skill, const std::string& reason);
  void end_scope(uid_t owner, const std::string& scope, const std::string& reason);
  // The warm ones that were made for a session, of one user or of all, but for those that are to be
  // spared; returns which.
  std::vector<std::uint64_t> end_session(std::optional<uid_t> owner, const std::string& session,
                                         const std::string& reason,
                                         const std::function<bool(const LiveSandbox&)>& spared);
  bool has_session(std::optional<uid_t> owner, const std::string& session) const;
  // Until nothing of it is left.
  bool has(std::uint64_t sandbox) const;
  // None is prepared any more.
  void end_all(const std::string& reason);

  std::size_t size() const { return entries_.size(); }
  bool privileged() const { return options_.privileged; }

  enum class Kind { kFresh, kWarm, kPrepared };
  struct Shown {
    Kind kind = Kind::kFresh;
    Seat seat;  // of a prepared one: empty
    std::string skill;
    std::chrono::milliseconds age{0};
    std::chrono::milliseconds idle{0};
    std::size_t commands = 0;   // that have not returned
    std::size_t processes = 0;  // all, with those of our own; 0: cannot be told
  };
  std::vector<Shown> list() const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    std::uint64_t number = 0;
    std::shared_ptr<LiveSandbox> sandbox;
    Kind kind = Kind::kFresh;
    Seat seat;
    Basis basis;
    uid_t host_uid = 0;
    Clock::time_point made;
    Clock::time_point idle_since;
    bool retiring = false;  // takes no more commands; ends when the last one has returned
    bool ending = false;    // was told to end

    bool belongs_to(std::optional<uid_t> owner, const std::string& session) const {
      return kind == Kind::kWarm && seat.session == session && (!owner || seat.owner == *owner);
    }
  };
  using Place = std::list<Entry>::iterator;

  Basis basis_of(const Policy& policy, const Account& account);
  Place make(Kind kind, Seat seat, Basis basis);
  Place prepared_for(const Basis& basis);
  void make_room();
  void prepare(const Basis& used);
  void retire(Entry& entry, const std::string& reason);
  void kill(Entry& entry, const std::string& reason);
  void ended(Place entry);
  // When an entry's time is over: a warm one's that is idle or old, a prepared one's.
  Clock::time_point time_over(const Entry& entry) const;
  void watch_time();
  void on_time();

  asio::io_context& context_;
  Processes& processes_;
  Ends& ends_;
  std::uint64_t last_number_ = 0;
  const Options options_;
  GitIdentities git_identities_;
  HostIds host_ids_;
  std::list<Entry> entries_;
  asio::steady_timer timer_;
  bool closed_ = false;
};

const char* name_of(Sandboxes::Kind kind);

}  // namespace sharkcage
