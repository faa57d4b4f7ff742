#include "supervisor/egress/refusals.h"

#include <algorithm>
#include <utility>

namespace sharkcage::egress {
namespace {

constexpr const char* kMoreRefused = "more refused attempts, of which only the number was kept";
constexpr const char* kMoreFailed = "more unresolvable names, of which only the number was kept";

Connection without_destination(Connection event) {
  event.protocol.clear();
  event.program.clear();
  event.host.clear();
  event.address.clear();
  event.rule.clear();
  event.port = 0;
  event.reason = event.decision == Decision::kBlock ? kMoreRefused : kMoreFailed;
  return event;
}

}  // namespace

std::optional<Connection> Refusals::add(Connection event, Time now) {
  const auto kind_of = [](const Connection& of) {
    return Kind(of.decision, of.protocol, of.program, of.host, of.port, of.address, of.rule,
                of.reason);
  };
  Kinds& kinds = calls_[event.call];
  auto known = kinds.find(kind_of(event));
  if (known == kinds.end()) {
    if (kinds.size() >= kMaxDistinct) forget_quiet(kinds, now);
    if (kinds.size() >= kMaxDistinct) event = without_destination(std::move(event));
    known = kinds.try_emplace(kind_of(event), Entry{std::nullopt, now, {}}).first;
  }
  Entry& entry = known->second;
  if (entry.counted) {
    entry.counted->count += event.count;
  } else {
    entry.counted = std::move(event);
  }
  if (entry.due <= now) return take(entry, now);
  next_due_ = std::min(next_due_, entry.due);
  return std::nullopt;
}

Connection Refusals::take(Entry& entry, Time now) {
  // One of which nothing was heard for the longest pause is as good as new.
  const bool fresh = entry.pause.count() == 0 || now - entry.due >= kMaxPause;
  entry.pause = fresh ? kFirstPause : std::min(2 * entry.pause, kMaxPause);
  entry.due = now + entry.pause;
  return *std::exchange(entry.counted, std::nullopt);
}

void Refusals::forget_quiet(Kinds& kinds, Time now) {
  std::erase_if(kinds, [now](const auto& kind) {
    return !kind.second.counted && now - kind.second.due >= kMaxPause;
  });
}

std::vector<Connection> Refusals::take_due(Time now) {
  std::vector<Connection> due;
  next_due_ = Time::max();
  for (auto& [call, kinds] : calls_) {
    for (auto& [kind, entry] : kinds) {
      if (!entry.counted) continue;
      if (entry.due <= now) {
        due.push_back(take(entry, now));
      } else {
        next_due_ = std::min(next_due_, entry.due);
      }
    }
    forget_quiet(kinds, now);
  }
  std::erase_if(calls_, [](const auto& call) { return call.second.empty(); });
  return due;
}

std::vector<Connection> Refusals::take_of(const std::string& call) {
  std::vector<Connection> counted;
  const auto found = calls_.find(call);
  if (found == calls_.end()) return counted;
  for (auto& [kind, entry] : found->second) {
    if (entry.counted) counted.push_back(std::move(*entry.counted));
  }
  calls_.erase(found);
  return counted;
}

std::vector<Connection> Refusals::take_all() {
  std::vector<Connection> counted;
  while (!calls_.empty()) {
    for (Connection& event : take_of(std::string(calls_.begin()->first))) {
      counted.push_back(std::move(event));
    }
  }
  return counted;
}

}  // namespace sharkcage::egress
