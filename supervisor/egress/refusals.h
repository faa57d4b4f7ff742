// Attempts that came to nothing, of one listener: the first of a kind is told at once, those like
// it are counted and told by number.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "supervisor/egress/control.h"

namespace sharkcage::egress {

// Alike are attempts of one call with the same protocol, program, destination, rule and reason.
// What is told of them has their number since the time before (`count`) and the time of the first
// of these. The pauses between double from `kFirstPause` to `kMaxPause`, as those of a sandbox's
// other refusals do (supervisor/sandbox/commands.cc). Whatever is added is in exactly one event
// that is taken. One thread.
class Refusals {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::seconds kFirstPause{5};
  static constexpr std::chrono::seconds kMaxPause{600};
  // Kinds of one call. Others are told without a destination, by number alone.
  static constexpr std::size_t kMaxDistinct = 128;

  // One event that `dialled_nothing`. What is to be told at once; nothing when it was counted.
  std::optional<Connection> add(Connection event, Time now);

  // What is due.
  std::vector<Connection> take_due(Time now);
  // All that was counted, due or not, of a call that is over; its kinds are forgotten.
  std::vector<Connection> take_of(const std::string& call);
  std::vector<Connection> take_all();

  // When `take_due` is to be called; Time::max() when nothing was counted.
  Time next_due() const { return next_due_; }

 private:
  using Kind = std::tuple<Decision, std::string, std::string, std::string, unsigned, std::string,
                          std::string, std::string>;
  struct Entry {
    std::optional<Connection> counted;  // of those not told yet
    Time due;                           // told at the earliest
    std::chrono::seconds pause{0};
  };
  using Kinds = std::map<Kind, Entry>;

  static Connection take(Entry& entry, Time now);
  static void forget_quiet(Kinds& kinds, Time now);

  std::map<std::string, Kinds> calls_;
  Time next_due_ = Time::max();
};

}  // namespace sharkcage::egress
