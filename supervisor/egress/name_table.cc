#include "supervisor/egress/name_table.h"

#include <utility>

#include "capabilities/caught.h"

namespace sharkcage::egress {
namespace {

// FNV-1a: the same in every process.
std::uint64_t hash_of(const std::string& name) {
  std::uint64_t hash = 14695981039346656037u;
  for (const char c : name) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 1099511628211u;
  }
  return hash;
}

}  // namespace

std::uint32_t NameTable::number(const std::string& name) {
  const auto known = entries_.find(name);
  if (known != entries_.end()) return known->second.number;
  if (entries_.size() >= kMaxNames) {
    const auto old = entries_.find(oldest_.front());
    oldest_.pop_front();
    numbers_.erase(old->second.number);
    entries_.erase(old);
  }
  // Neither the first nor the last address of the block.
  constexpr std::uint32_t kUsable = kNameNumbers - 2;
  auto place = static_cast<std::uint32_t>(hash_of(name) % kUsable);
  while (!numbers_.insert(1 + place).second) place = (place + 1) % kUsable;
  entries_[name].number = 1 + place;
  oldest_.push_back(name);
  return 1 + place;
}

void NameTable::note(const std::string& name, Resolution resolution, Clock::time_point now) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return;
  found->second.resolution = std::move(resolution);
  found->second.until = now + kFresh;
}

std::optional<Resolution> NameTable::fresh(const std::string& name, Clock::time_point now) const {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second.until <= now) return std::nullopt;
  return found->second.resolution;
}

}  // namespace sharkcage::egress
