#include "supervisor/sandbox/limit_watch.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "common/errors.h"
#include "common/machine.h"

namespace sharkcage::sandbox {
namespace {

using namespace std::chrono_literals;

// A fork bomb, as against a program that waits until it may have more processes: for this long at
// the limit and trying again, in the same processes, and busy in the kernel rather than with work.
constexpr auto kCrushTime = 5s;
constexpr auto kCrushKernelTime = 2s;
constexpr std::chrono::milliseconds kCrushPause = 500ms;
constexpr auto kFirstSample = 100ms;
constexpr std::chrono::milliseconds kMostPause = 1s;
// PID 1, and the keeper of the command, beside those that wait.
constexpr std::uint64_t kOurProcesses = 2;
constexpr std::size_t kMaxHistory = 256;

// Some of the processors that this process may use, others for each sandbox.
std::vector<unsigned> some_processors(std::size_t wanted) {
  cpu_set_t usable;
  if (::sched_getaffinity(0, sizeof usable, &usable) != 0) return {};
  std::vector<unsigned> all;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &usable)) all.push_back(i);
  }
  if (all.size() <= wanted) return {};
  std::rotate(all.begin(),
              all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(::getpid()) *
                                                        wanted % all.size()),
              all.end());
  all.resize(wanted);
  return all;
}

bool at_least_half_live(const std::vector<pid_t>& before, const std::vector<pid_t>& now) {
  const std::set<pid_t> living(now.begin(), now.end());
  const auto left =
      std::count_if(before.begin(), before.end(), [&](pid_t pid) { return living.contains(pid); });
  return static_cast<std::size_t>(left) * 2 >= before.size();
}

Refusal limit_refusal(const char* limit, std::uint64_t count, std::int64_t first_us) {
  Refusal refusal;
  refusal.operation = "limit";
  refusal.target = limit;
  refusal.count = count;
  refusal.first_us = first_us;
  return refusal;
}

}  // namespace

LimitWatch::LimitWatch(const std::string& group, const Limits& limits)
    : limits_(limits), group_(group, limits) {
  if (!group_.has("cpu")) {
    processors_ = some_processors(static_cast<std::size_t>(std::ceil(limits.cpus)));
  }
}

std::vector<std::string> LimitWatch::holders() const {
  std::vector<std::string> holders = group_.controllers();
  if (!group_.has(kMemory)) holders.emplace_back("memory: sampled");
  if (!group_.has(kPids)) holders.emplace_back("pids: rlimit");
  if (fixes_processors()) holders.emplace_back("cpu: affinity");
  return holders;
}

void LimitWatch::begin(pid_t init, pid_t facade) {
  if (fixes_processors()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const unsigned processor : processors_) CPU_SET(processor, &set);
    // Its children inherit it (sched_setaffinity(2)).
    if (::sched_setaffinity(init, sizeof set, &set) != 0) throw_errno("sched_setaffinity");
  }
  tally_.emplace(init, facade);
  if (!group_.has(kMemory) || !group_.tells_pids()) next_sample_ = Clock::now() + kFirstSample;
}

void LimitWatch::add_file_system(UniqueFd place) {
  tally_->add_file_system(std::move(place));
}

bool LimitWatch::ran_out_of_memory() {
  count(group_.read_hits());
  return hits_.memory > 0;
}

int LimitWatch::milliseconds_left(bool busy) const {
  if (!busy || next_sample_ == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_sample_ - Clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

std::optional<std::string> LimitWatch::look(const std::vector<pollfd>& events) {
  std::vector<pollfd> ours;
  group_.add_to(ours);
  const bool told = std::any_of(events.begin(), events.end(), [&](const pollfd& event) {
    return event.revents != 0 && std::any_of(ours.begin(), ours.end(),
                                             [&](const pollfd& own) { return own.fd == event.fd; });
  });
  if (told) {
    // The alarm of a memory group comes before the kernel kills: it is the limit all the same.
    const bool alarm = group_.memory_alarmed(events);
    const ControlGroup::Hits before = hits_;
    count(group_.read_hits());
    if (alarm && hits_.memory == before.memory) {
      ++sampled_.memory;
      count(group_.read_hits());
    }
    if (hits_.memory > before.memory) return kMemory;
    if (hits_.pids > before.pids && !crush_) return sample();
  }
  if (Clock::now() >= next_sample_) return sample();
  return std::nullopt;
}

void LimitWatch::count(const ControlGroup::Hits& hits) {
  const ControlGroup::Hits all{std::max(hits.memory, sampled_.memory), hits.pids + sampled_.pids};
  if (all == hits_) return;
  hits_ = all;
  if (history_.size() < kMaxHistory) history_.push_back({all, microseconds_since_1970()});
}

std::optional<std::string> LimitWatch::sample() {
  count(group_.read_hits());
  const bool memory = !group_.has(kMemory);
  std::chrono::milliseconds pause = kMostPause;
  if (memory || !group_.has(kPids) || hits_.pids > refused_ || crush_) {
    const Use use = tally_->take(memory ? limits_.memory : UINT64_MAX);
    if (memory && use.memory > limits_.memory) {
      ++sampled_.memory;
      count(group_.read_hits());
      return kMemory;
    }
    if (is_fork_bomb(use)) return kPids;
    if (memory) pause = Tally::pause(use.memory, limits_.memory);
  }
  if (crush_) pause = std::min(pause, kCrushPause);
  const bool needed = memory || !group_.tells_pids() || crush_;
  next_sample_ = needed ? Clock::now() + pause : Clock::time_point::max();
  return std::nullopt;
}

bool LimitWatch::wants_more(const Use& use) const {
  if (group_.has(kPids)) return hits_.pids > refused_;
  return use.threads >= limits_.pids + most_waiting_keepers(limits_);
}

bool LimitWatch::is_fork_bomb(const Use& use) {
  const bool more = wants_more(use);
  refused_ = hits_.pids;
  if (!more) {
    crush_.reset();
    return false;
  }
  const auto now = Clock::now();
  const bool same = crush_ && at_least_half_live(crush_->use.processes, use.processes);
  if (!same) {
    // The rlimit refuses without counting: one for each time that the limit is reached.
    if (!crush_ && !group_.has(kPids)) {
      ++sampled_.pids;
      count(group_.read_hits());
    }
    crush_ = {now, use};
    return false;
  }
  const auto kernel = use.system - crush_->use.system;
  return now - crush_->began >= kCrushTime && kernel >= kCrushKernelTime &&
         kernel > use.user - crush_->use.user;
}

void LimitWatch::note_processes(std::uint64_t left) {
  const std::uint64_t most = limits_.pids + kOurProcesses + most_waiting_keepers(limits_);
  if (group_.has(kPids) || crush_ || left < most) return;
  ++sampled_.pids;
  count(group_.read_hits());
}

std::vector<Refusal> LimitWatch::since(const Mark& mark) {
  count(group_.read_hits());
  const auto first = [&](std::uint64_t ControlGroup::Hits::*counter) {
    for (const Growth& growth : history_) {
      if (growth.hits.*counter > mark.hits.*counter) return growth.time_us;
    }
    return microseconds_since_1970();
  };
  std::vector<Refusal> refusals;
  if (hits_.memory > mark.hits.memory) {
    refusals.push_back(limit_refusal(kMemory, hits_.memory - mark.hits.memory,
                                     first(&ControlGroup::Hits::memory)));
  }
  if (hits_.pids > mark.hits.pids) {
    refusals.push_back(
        limit_refusal(kPids, hits_.pids - mark.hits.pids, first(&ControlGroup::Hits::pids)));
    refusals.back().at_least = !group_.has(kPids);
  }
  return refusals;
}

}  // namespace sharkcage::sandbox
