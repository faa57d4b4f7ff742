// What a sandbox refused, as it was seen by the process that refused it.
//
//   attendant:  table.add({"read", "/home/u/.aws/credentials", …});     // while commands run
//   monitor:    if (counter.value() != seen) collect(attendant)         // when a command returns,
//                                                                       // and when it is over
//
// Pulled, not sent: a command that is refused a million times costs a counter, not a million
// messages.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "common/fd.h"
#include "common/json.h"

namespace sharkcage::sandbox {

struct Refusal {
  // "read", "list", "stat", "access", "write", "create", "delete", "rename", "link", "execute" (of
  // a path), "connect", "bind" (of an address), "system call" (of its name), "limit" (of its name).
  std::string operation;
  std::string target;   // a path inside, an address, a name
  std::string to = {};  // of "rename" and "link": the other path; of "connect": see docs/audit.md
  pid_t pid = 0;        // inside
  std::string program = {};   // its name (comm)
  pid_t command = 0;          // its keeper, by the pid inside; 0: not known
  std::int64_t first_us = 0;  // microseconds since 1970, of the first one
  std::uint64_t count = 1;
  // It is not shown, whether it exists or not: the supervisor asks outside whether anything was
  // refused at all.
  bool hidden = false;
  // To our own process, which was about to execute the command: its memory is not looked into, and
  // `target` is the first name on the way that is missing. The supervisor knows the way.
  bool start = false;
  // Of a limit that refuses without counting: `count` is how often it was seen to be reached.
  bool at_least = false;
};

std::int64_t microseconds_since_1970();

// Equal refusals of one program in one command are one entry, with the pid of the first. Bounded:
// what does not fit is counted by `more`. One thread.
class RefusalTable {
 public:
  static constexpr std::size_t kMaxDistinct = 1024;

  void add(Refusal refusal);
  bool empty() const { return entries_.empty() && more_ == 0; }
  // In the order of their first time, with the number of those that did not fit. Empties the table.
  struct Taken {
    std::vector<Refusal> refusals;
    std::uint64_t more = 0;
  };
  Taken take();

 private:
  using Key = std::tuple<pid_t, std::string, std::string, std::string, std::string>;
  std::map<Key, Refusal> entries_;
  std::uint64_t more_ = 0;
};

// What the monitor sees of an attendant without asking it, in memory that both share: how many
// refusals it has written down, and since when it has been at what it is doing.
class RefusalCounter {
 public:
  // `alarm`: an eventfd, which the attendant keeps; -1: none. Throws system_error. Made before the
  // attendants are forked.
  explicit RefusalCounter(int alarm = -1);
  void increment();
  std::uint64_t value() const;
  // The next increment makes the alarm readable, once. One that came just before may not have.
  void arm();
  int alarm() const { return alarm_; }

  // While the attendant serves.
  class Busy {
   public:
    explicit Busy(RefusalCounter& counter);
    ~Busy();
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

   private:
    RefusalCounter& counter_;
  };
  // Zero when it waits for something to do.
  std::chrono::milliseconds busy_for() const;

 private:
  struct Shared {
    std::uint64_t refusals;
    std::int64_t busy_since;  // milliseconds of the monotonic clock; 0: not busy
    std::uint32_t armed;
  };
  Shared* shared_;
  const int alarm_;
};

// An attendant's answer to `kCollect` on its channel: one message with this text, and a memfd that
// holds the table.
inline constexpr std::string_view kCollect = "collect";
void answer_collect(int channel, RefusalTable& table);

// A memfd with what was taken, and back: it may be larger than a message. Throws system_error,
// UserError for what is no such thing.
UniqueFd pack(const RefusalTable::Taken& taken);
RefusalTable::Taken unpack(int memory);

// Asks for the table and waits for it. Throws system_error, UserError when the attendant is gone or
// does not answer within a second: what it knew is lost, and the caller must not go on as if there
// had been nothing.
RefusalTable::Taken collect(int channel);

// As in the list that goes with an event of the monitor, and in an outcome's payload.
Json refusal_to_json(const Refusal& refusal);
Refusal refusal_from_json(const Json& value);

}  // namespace sharkcage::sandbox
