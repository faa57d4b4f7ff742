// The names of one sandbox that stand for addresses inside, and what was found when they were asked
// for. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "supervisor/egress/resolver.h"

namespace sharkcage::egress {

class NameTable {
 public:
  using Clock = std::chrono::steady_clock;

  // Beyond these the oldest one is forgotten.
  static constexpr std::size_t kMaxNames = 4096;
  // As long as a client may keep an answer of ours (dns::kTimeToLive).
  static constexpr std::chrono::seconds kFresh{60};

  // The number of a name, which begins to stand for it. It follows from the name, as far as it is
  // free, so that another egress after this one finds the same.
  std::uint32_t number(const std::string& name);

  // What a lookup has found, of a name that has a number, and whether it was lately.
  void note(const std::string& name, Resolution resolution, Clock::time_point now);
  std::optional<Resolution> fresh(const std::string& name, Clock::time_point now) const;

 private:
  struct Entry {
    std::uint32_t number = 0;
    Resolution resolution;
    Clock::time_point until{};
  };
  std::map<std::string, Entry> entries_;
  std::set<std::uint32_t> numbers_;
  std::deque<std::string> oldest_;
};

}  // namespace sharkcage::egress
