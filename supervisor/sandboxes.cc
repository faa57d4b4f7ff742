#include "supervisor/sandboxes.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <utility>

#include "common/errors.h"
#include "supervisor/process_tree.h"

namespace sharkcage {
namespace {

// Sleeping ones cost memory, and only the policies that were used last are likely to be used next.
constexpr std::ptrdiff_t kMaxPrepared = 2;

// Why warm ones end, for their background processes' sake nobody is told but the debug log.
constexpr const char* kIdle = "idle";
constexpr const char* kOld = "old";
constexpr const char* kReplaced = "replaced";

}  // namespace

bool Seat::shares(const Seat& other) const {
  return !scope.empty() && scope == other.scope && agent == other.agent && skill == other.skill &&
         content_digest == other.content_digest && workspace == other.workspace &&
         access == other.access && owner == other.owner;
}

const char* name_of(Sandboxes::Kind kind) {
  static constexpr const char* kNames[] = {"fresh", "warm", "prepared"};
  return kNames[static_cast<std::size_t>(kind)];
}

Sandboxes::Sandboxes(asio::io_context& context, Processes& processes, Ends& ends, Options options)
    : context_(context),
      processes_(processes),
      ends_(ends),
      options_(std::move(options)),
      git_identities_(options_.git_identity, options_.privileged),
      timer_(context) {}

Basis Sandboxes::basis_of(const Policy& policy, const Account& account) {
  Basis basis = make_basis(policy, account, options_.skills_dir, options_.privileged);
  const bool commits = !policy.workspace.empty() && policy.workspace_access == Access::kReadWrite;
  if (commits) basis.git = git_identities_.of(account, policy.home);
  return basis;
}

Sandboxes::Taken Sandboxes::take(const Seat& seat, const Policy& policy) {
  Basis basis = basis_of(policy, account_of(seat.owner));
  const bool warm = !seat.scope.empty() && options_.warm.sandboxes > 0;
  if (warm) {
    for (Entry& entry : entries_) {
      if (entry.kind != Kind::kWarm || entry.retiring || entry.ending) continue;
      if (!entry.seat.shares(seat)) continue;
      if (entry.basis.still_allows(basis)) return {entry.sandbox, true};
      // What it may do is no longer what was approved, or its files are others.
      retire(entry, kReplaced);
    }
    make_room();
  }
  Place entry = prepared_for(basis);
  if (entry == entries_.end()) entry = make(Kind::kPrepared, {}, std::move(basis));
  entry->kind = warm ? Kind::kWarm : Kind::kFresh;
  entry->seat = seat;
  entry->idle_since = Clock::now();
  watch_time();
  return {entry->sandbox, warm};
}

void Sandboxes::returned(const LiveSandbox& sandbox) {
  for (Entry& entry : entries_) {
    if (entry.sandbox.get() != &sandbox) continue;
    entry.idle_since = Clock::now();
    if (entry.kind == Kind::kWarm) entry.basis.note_repositories();
    if (entry.retiring && sandbox.running() == 0) kill(entry, kReplaced);
    // Its command could not even be ordered.
    if (entry.kind == Kind::kFresh && sandbox.commands() == 0) kill(entry, kIdle);
  }
  watch_time();
}

void Sandboxes::end_skill(const std::string& skill, const std::string& reason) {
  for (Entry& entry : entries_) {
    if (entry.basis.policy.skill == skill) kill(entry, reason);
  }
}

void Sandboxes::end_scope(uid_t owner, const std::string& scope, const std::string& reason) {
  for (Entry& entry : entries_) {
    if (entry.kind == Kind::kWarm && entry.seat.owner == owner && entry.seat.scope == scope) {
      kill(entry, reason);
    }
  }
}

std::vector<std::uint64_t> Sandboxes::end_session(
    std::optional<uid_t> owner, const std::string& session, const std::string& reason,
    const std::function<bool(const LiveSandbox&)>& spared) {
  std::vector<std::uint64_t> ended;
  for (Entry& entry : entries_) {
    if (!entry.belongs_to(owner, session) || spared(*entry.sandbox)) continue;
    ended.push_back(entry.number);
    kill(entry, reason);
  }
  return ended;
}

bool Sandboxes::has_session(std::optional<uid_t> owner, const std::string& session) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.belongs_to(owner, session); });
}

bool Sandboxes::has(std::uint64_t sandbox) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.number == sandbox; });
}

void Sandboxes::end_all(const std::string& reason) {
  closed_ = true;
  timer_.cancel();
  for (Entry& entry : entries_) kill(entry, reason);
}

std::vector<Sandboxes::Shown> Sandboxes::list() const {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto now = Clock::now();
  std::vector<Shown> list;
  for (const Entry& entry : entries_) {
    Shown shown;
    shown.kind = entry.kind;
    shown.seat = entry.seat;
    shown.skill = entry.basis.policy.skill;
    shown.age = duration_cast<milliseconds>(now - entry.made);
    shown.commands = entry.sandbox->running();
    if (shown.commands == 0) shown.idle = duration_cast<milliseconds>(now - entry.idle_since);
    shown.processes = count_process_tree(entry.sandbox->init());
    list.push_back(std::move(shown));
  }
  return list;
}

Sandboxes::Place Sandboxes::make(Kind kind, Seat seat, Basis basis) {
  sandbox::Spec spec;
  spec.policy = basis.policy;
  spec.paths = basis.paths;
  spec.identity = {basis.account.uid, basis.account.gid, basis.account.name, 0, basis.git};
  if (options_.privileged) spec.identity.host_uid = host_ids_.take();
  auto [ours, theirs] = sandbox::make_control();
  try {
    processes_.launch(spec, theirs.get());
  } catch (...) {
    host_ids_.give_back(spec.identity.host_uid);
    throw;
  }
  Entry entry;
  entry.number = ++last_number_;
  entry.sandbox = std::make_shared<LiveSandbox>(context_, processes_, std::move(ours));
  entry.kind = kind;
  entry.seat = std::move(seat);
  entry.basis = std::move(basis);
  entry.host_uid = spec.identity.host_uid;
  entry.made = entry.idle_since = Clock::now();
  const Place place = entries_.insert(entries_.end(), std::move(entry));
  asio::co_spawn(context_, place->sandbox->attend([this, place] { ended(place); }), asio::detached);
  return place;
}

Sandboxes::Place Sandboxes::prepared_for(const Basis& basis) {
  const Place found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.kind == Kind::kPrepared && !entry.ending && entry.basis.allows_the_same(basis);
  });
  // Its age counts from its first command.
  if (found != entries_.end()) found->made = Clock::now();
  return found;
}

// For one more warm sandbox: the one that was idle for the longest time goes.
void Sandboxes::make_room() {
  std::size_t kept = 0;
  Entry* oldest = nullptr;
  for (Entry& entry : entries_) {
    if (entry.kind != Kind::kWarm || entry.ending) continue;
    ++kept;
    if (entry.sandbox->running() > 0) continue;
    if (oldest == nullptr || entry.idle_since < oldest->idle_since) oldest = &entry;
  }
  if (kept < options_.warm.sandboxes) return;
  if (oldest == nullptr) {
    throw UserError(
        "All " + std::to_string(kept) + " warm sandboxes are in use",
        "Wait until a command has returned, or raise warm.sandboxes in the configuration.");
  }
  kill(*oldest, kIdle);
}

// For the next calls like the one that was, as many as may be kept: calls come in a row, and the
// next may come before one is complete. What they show is judged anew.
void Sandboxes::prepare(const Basis& used) {
  if (closed_) return;
  const auto is_prepared = [](const Entry& entry) {
    return entry.kind == Kind::kPrepared && !entry.ending;
  };
  try {
    const Basis basis = basis_of(used.policy, used.account);
    // Those of other policies that were used before make room, the oldest first.
    for (Entry& entry : entries_) {
      if (std::count_if(entries_.begin(), entries_.end(), is_prepared) < kMaxPrepared) break;
      if (is_prepared(entry) && !entry.basis.allows_the_same(basis)) kill(entry, kReplaced);
    }
    while (std::count_if(entries_.begin(), entries_.end(), is_prepared) < kMaxPrepared) {
      make(Kind::kPrepared, {}, basis);
    }
    watch_time();
  } catch (const std::exception& error) {
    // The next call finds out by itself.
    spdlog::debug("no sandbox was prepared: {}", error.what());
  }
}

void Sandboxes::retire(Entry& entry, const std::string& reason) {
  entry.retiring = true;
  if (entry.sandbox->running() == 0) kill(entry, reason);
}

void Sandboxes::kill(Entry& entry, const std::string& reason) {
  if (std::exchange(entry.ending, true)) return;
  entry.sandbox->kill(reason);
}

void Sandboxes::ended(Place entry) {
  host_ids_.give_back(entry->host_uid);
  const bool used = entry->kind == Kind::kFresh && !entry->ending;
  const Basis basis = std::move(entry->basis);
  entries_.erase(entry);
  ends_.note();
  if (used) prepare(basis);
}

Sandboxes::Clock::time_point Sandboxes::time_over(const Entry& entry) const {
  if (entry.ending || entry.kind == Kind::kFresh) return Clock::time_point::max();
  const auto idle = entry.sandbox->running() > 0 ? Clock::time_point::max()
                                                 : entry.idle_since + options_.warm.idle;
  const auto old = entry.retiring ? Clock::time_point::max() : entry.made + options_.warm.age;
  return std::min(idle, old);
}

void Sandboxes::watch_time() {
  auto next = Clock::time_point::max();
  for (const Entry& entry : entries_) next = std::min(next, time_over(entry));
  if (closed_ || next == Clock::time_point::max()) return;
  timer_.expires_at(next);
  timer_.async_wait([this](std::error_code error) {
    if (!error) on_time();
  });
}

void Sandboxes::on_time() {
  const auto now = Clock::now();
  for (Entry& entry : entries_) {
    if (time_over(entry) > now) continue;
    if (entry.sandbox->running() == 0) {
      kill(entry, kIdle);
    } else {
      retire(entry, kOld);
    }
  }
  watch_time();
}

}  // namespace sharkcage
