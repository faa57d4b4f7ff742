#include "supervisor/sandbox/refusals.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "common/errors.h"

namespace sharkcage::sandbox {
namespace {

constexpr int kCollectTimeoutMs = 1000;
constexpr std::size_t kMaxTable = 16u << 20;

// Coarse: it is read for every notification.
std::int64_t monotonic_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

std::int64_t microseconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

void RefusalTable::add(Refusal refusal) {
  Key key{refusal.command, refusal.program, refusal.operation, refusal.target, refusal.to};
  if (const auto known = entries_.find(key); known != entries_.end()) {
    known->second.count += refusal.count;
  } else if (entries_.size() < kMaxDistinct) {
    entries_.emplace(std::move(key), std::move(refusal));
  } else {
    more_ += refusal.count;
  }
}

RefusalTable::Taken RefusalTable::take() {
  Taken taken;
  taken.more = std::exchange(more_, 0);
  for (auto& [key, refusal] : entries_) taken.refusals.push_back(std::move(refusal));
  entries_.clear();
  std::stable_sort(taken.refusals.begin(), taken.refusals.end(),
                   [](const Refusal& a, const Refusal& b) { return a.first_us < b.first_us; });
  return taken;
}

RefusalCounter::RefusalCounter(int alarm) : alarm_(alarm) {
  void* page =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw_errno("mmap", "the counter of refusals");
  shared_ = static_cast<Shared*>(page);
}

void RefusalCounter::increment() {
  std::atomic_ref(shared_->refusals).fetch_add(1);
  std::atomic_ref armed(shared_->armed);
  if (armed.load() == 0 || armed.exchange(0) == 0) return;
  // Of the monitor alone, which reads it: nothing more is to be done about a failure.
  const std::uint64_t one = 1;
  if (::write(alarm_, &one, sizeof one) != sizeof one) return;
}

// Whoever arms looks at the value afterwards, whoever increments looks here afterwards: one of the
// two sees the other.
void RefusalCounter::arm() {
  std::atomic_ref(shared_->armed).store(1);
}

std::uint64_t RefusalCounter::value() const {
  return std::atomic_ref(shared_->refusals).load();
}

RefusalCounter::Busy::Busy(RefusalCounter& counter) : counter_(counter) {
  std::atomic_ref(counter_.shared_->busy_since).store(monotonic_ms(), std::memory_order_relaxed);
}

RefusalCounter::Busy::~Busy() {
  std::atomic_ref(counter_.shared_->busy_since).store(0, std::memory_order_relaxed);
}

std::chrono::milliseconds RefusalCounter::busy_for() const {
  const auto since = std::atomic_ref(shared_->busy_since).load(std::memory_order_relaxed);
  return std::chrono::milliseconds(since == 0 ? 0 : monotonic_ms() - since);
}

void answer_collect(int channel, RefusalTable& table) {
  const UniqueFd memory = pack(table.take());
  const int fds[] = {memory.get()};
  if (send_with_fds(channel, kCollect, fds) < 0) throw_errno("sendmsg", "the refusals");
}

UniqueFd pack(const RefusalTable::Taken& taken) {
  Json list = Json::array();
  for (const Refusal& refusal : taken.refusals) list.push_back(refusal_to_json(refusal));
  std::string bytes;
  Json::to_cbor(Json{{"refusals", std::move(list)}, {"more", taken.more}}, bytes);
  UniqueFd memory(::memfd_create("refusals", MFD_CLOEXEC));
  if (!memory) throw_errno("memfd_create", "the refusals");
  write_all(memory.get(), bytes);
  if (::lseek(memory.get(), 0, SEEK_SET) != 0) throw_errno("lseek", "the refusals");
  return memory;
}

RefusalTable::Taken unpack(int memory) {
  const std::string bytes = read_fd(memory, kMaxTable, "the refusals");
  RefusalTable::Taken taken;
  try {
    const Json value = Json::from_cbor(bytes.begin(), bytes.end());
    value.at("more").get_to(taken.more);
    for (const Json& refusal : value.at("refusals")) {
      taken.refusals.push_back(refusal_from_json(refusal));
    }
  } catch (const Json::exception& error) {
    throw UserError(std::string("What the sandbox refused cannot be read: ") + error.what());
  }
  return taken;
}

RefusalTable::Taken collect(int channel) {
  if (send_with_fds(channel, kCollect, {}) < 0) throw_errno("sendmsg", "to an attendant");
  pollfd answer{channel, POLLIN, 0};
  const int ready = ::poll(&answer, 1, kCollectTimeoutMs);
  if (ready < 0) throw_errno("poll", "an attendant");
  char text[16];
  std::vector<UniqueFd> fds;
  if (ready == 0 || recv_with_fds(channel, text, sizeof text, fds, MSG_DONTWAIT) <= 0 ||
      fds.size() != 1) {
    throw UserError("the process that writes it down does not answer");
  }
  return unpack(fds[0].get());
}

Json refusal_to_json(const Refusal& refusal) {
  return {{"operation", refusal.operation},
          {"target", refusal.target},
          {"to", refusal.to},
          {"pid", refusal.pid},
          {"program", refusal.program},
          {"command", refusal.command},
          {"first_us", refusal.first_us},
          {"count", refusal.count},
          {"hidden", refusal.hidden},
          {"start", refusal.start},
          {"at_least", refusal.at_least}};
}

Refusal refusal_from_json(const Json& value) {
  Refusal refusal;
  value.at("operation").get_to(refusal.operation);
  value.at("target").get_to(refusal.target);
  value.at("to").get_to(refusal.to);
  value.at("pid").get_to(refusal.pid);
  value.at("program").get_to(refusal.program);
  value.at("command").get_to(refusal.command);
  value.at("first_us").get_to(refusal.first_us);
  value.at("count").get_to(refusal.count);
  value.at("hidden").get_to(refusal.hidden);
  value.at("start").get_to(refusal.start);
  value.at("at_least").get_to(refusal.at_least);
  return refusal;
}

}  // namespace sharkcage::sandbox
