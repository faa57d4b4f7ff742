#include "supervisor/egress/egress_client.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "common/errors.h"

namespace sharkcage::egress {
namespace {

// Above what an egress can hold (services.h).
constexpr std::size_t kMaxOpen = 65536;
// The largest number that JSON carries exactly: memory that the egress writes may say anything.
constexpr std::uint64_t kMaxCount = 1ull << 53;

// A copy of `fd` that no dup2 to one of the well-known numbers can hit.
UniqueFd out_of_the_way(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, kCountsFd + 1);
  if (copy < 0) throw_errno("fcntl F_DUPFD_CLOEXEC");
  return UniqueFd(copy);
}

void check(int error, const char* call) {
  if (error != 0) throw_errno(error, call);
}

// posix_spawn's two objects, with their lifetimes.
class SpawnPlan {
 public:
  SpawnPlan(int control, int lifeline, int counts) {
    check(::posix_spawn_file_actions_init(&actions_), "posix_spawn_file_actions_init");
    check(::posix_spawnattr_init(&attributes_), "posix_spawnattr_init");
    check(::posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0), "addopen");
    check(::posix_spawn_file_actions_addopen(&actions_, 1, "/dev/null", O_WRONLY, 0), "addopen");
    check(::posix_spawn_file_actions_adddup2(&actions_, control, kControlFd), "adddup2");
    check(::posix_spawn_file_actions_adddup2(&actions_, lifeline, kLifelineFd), "adddup2");
    check(::posix_spawn_file_actions_adddup2(&actions_, counts, kCountsFd), "adddup2");
    // Whatever another thread opened without close-on-exec is not for the egress.
    check(::posix_spawn_file_actions_addclosefrom_np(&actions_, kCountsFd + 1), "addclosefrom");
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    check(::posix_spawnattr_setsigmask(&attributes_, &none), "setsigmask");
    check(::posix_spawnattr_setsigdefault(&attributes_, &all), "setsigdefault");
    // A session of its own: no terminal, and no Ctrl-C that was meant for the supervisor.
    check(::posix_spawnattr_setflags(
              &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID),
          "setflags");
  }
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  pid_t run(const std::string& executable) const {
    std::string name = executable.substr(executable.rfind('/') + 1);
    std::array<char*, 2> argv{name.data(), nullptr};
    std::array<char*, 1> environment{nullptr};
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, executable.c_str(), &actions_, &attributes_, argv.data(),
                                    environment.data());
    if (error != 0) throw_errno(error, "posix_spawn", executable);
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

std::string wait_for_end(pid_t pid) {
  int status = 0;
  pid_t waited;
  do {
    waited = ::waitpid(pid, &status, 0);
  } while (waited < 0 && errno == EINTR);
  if (waited < 0) return "its status was taken by another";
  if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
  return "exit " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

void EgressClient::start() {
  if (running()) throw std::logic_error("the egress runs already");
  auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
  auto [lifeline_read, lifeline_write] = make_pipe();
  if (::fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("fcntl O_NONBLOCK");
  const UniqueFd control = out_of_the_way(theirs.get());
  const UniqueFd lifeline = out_of_the_way(lifeline_read.get());
  refused_.emplace();
  told_.assign(RefusedCounts::kPlaces, 0);
  const UniqueFd counts = out_of_the_way(refused_->memory());
  pid_ = SpawnPlan(control.get(), lifeline.get(), counts.get()).run(executable_);
  control_ = std::move(ours);
  lifeline_ = std::move(lifeline_write);
  outgoing_.clear();
  for (const auto& [id, kept] : kept_) send(kept.listen, kept.sockets);
}

void EgressClient::stop() {
  if (running()) died("");
}

std::vector<Event> EgressClient::on_readable() {
  try {
    while (running() && pending_.size() < kMaxEvents) {
      const Read read = read_one();
      if (read == Read::kNothing) break;
      if (read == Read::kEnd) died("");
    }
  } catch (const UserError& error) {
    died(std::string("protocol error: ") + error.what());
  }
  return std::exchange(pending_, {});
}

EgressClient::Read EgressClient::read_one() {
  // Kept, since it is mapped anew otherwise; only what packets fill of it is ever touched.
  if (!packet_) packet_ = std::make_unique_for_overwrite<char[]>(kMaxMessage);
  std::vector<UniqueFd> fds;
  const ssize_t size = recv_with_fds(control_.get(), packet_.get(), kMaxMessage, fds, MSG_DONTWAIT);
  if (size < 0 && errno == EAGAIN) return Read::kNothing;
  if (size <= 0) return Read::kEnd;
  if (!fds.empty()) throw UserError("a descriptor came with it");
  Event event = event_from_text({packet_.get(), static_cast<std::size_t>(size)});
  note(event);
  pending_.push_back(std::move(event));
  return Read::kEvent;
}

void EgressClient::note(const Event& event) {
  if (const auto* connection = std::get_if<Connection>(&event)) {
    if (dialled_nothing(*connection)) {
      told_[connection->id % told_.size()] += connection->count;
    } else if (connection->phase == Phase::kOpen) {
      if (open_.size() >= kMaxOpen) throw UserError("more connections than it may have");
      open_[connection->connection] = *connection;
    } else {
      open_.erase(connection->connection);
    }
  } else if (const auto* closed = std::get_if<Closed>(&event)) {
    closing_.erase(closed->id);
  }
}

void EgressClient::on_writable() {
  while (running() && !outgoing_.empty()) {
    const Outgoing& next = outgoing_.front();
    std::vector<int> fds;
    for (const UniqueFd& fd : next.fds) fds.push_back(fd.get());
    if (send_with_fds(control_.get(), next.text, fds, MSG_DONTWAIT) < 0) {
      // Any other failure is the end of the process, which `on_readable` sees and reports.
      if (errno != EAGAIN) outgoing_.clear();
      return;
    }
    outgoing_.pop_front();
  }
}

std::uint64_t EgressClient::listen(Listen listen, std::vector<UniqueFd> sockets) {
  check_listen(listen);
  listen.id = last_id_ + 1;
  if (order_to_text(listen).size() > kMaxMessage) {
    throw UserError("the policy names more hosts than the egress takes in one order",
                    "Approve patterns or networks in place of single hosts.");
  }
  const std::uint64_t id = ++last_id_;
  const Kept& kept = kept_[id] = Kept{std::move(listen), std::move(sockets)};
  if (running()) send(kept.listen, kept.sockets);
  return id;
}

void EgressClient::admit(std::uint64_t id, CallToken token) {
  const auto found = kept_.find(id);
  if (found == kept_.end()) return;
  if (found->second.listen.sockets != Sockets::kNames) check_token(token);
  found->second.listen.tokens.push_back(token);
  if (running()) send(Admit{id, std::move(token)});
}

void EgressClient::dismiss(std::uint64_t id, const std::string& call) {
  const auto found = kept_.find(id);
  if (found == kept_.end()) return;
  std::erase_if(found->second.listen.tokens,
                [&](const CallToken& token) { return token.call == call; });
  if (running()) send(Dismiss{id, call});
}

void EgressClient::close(std::uint64_t id) {
  if (kept_.erase(id) == 0 || !running()) return;
  closing_.insert(id);
  send(Close{id});
}

void EgressClient::send(const Order& order, const std::vector<UniqueFd>& fds) {
  Outgoing outgoing{order_to_text(order), {}};
  for (const UniqueFd& fd : fds) {
    // What is kept may be closed while the order still waits.
    outgoing.fds.emplace_back(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!outgoing.fds.back()) throw_errno("fcntl F_DUPFD_CLOEXEC");
  }
  outgoing_.push_back(std::move(outgoing));
  on_writable();
}

void EgressClient::died(std::string how) {
  // It may be dying, stuck or misbehaving: the signal makes all of them the same.
  ::kill(pid_, SIGKILL);
  const std::string status = wait_for_end(pid_);
  ended_ = how.empty() ? status : std::move(how);
  pid_ = -1;
  try {
    while (read_one() == Read::kEvent) continue;
  } catch (const UserError&) {
    // What breaks the protocol is not told.
  }
  control_.reset();
  lifeline_.reset();
  outgoing_.clear();
  for (auto& [number, event] : open_) {
    event.phase = Phase::kClose;
    event.reason = "the egress died";
    pending_.emplace_back(std::move(event));
  }
  open_.clear();
  tell_untold();
  for (const std::uint64_t id : closing_) pending_.emplace_back(Closed{id});
  closing_.clear();
}

void EgressClient::tell_untold() {
  // By place. A listener that is closing is not kept any more: whose it was is not known then.
  std::map<std::size_t, const Listen*> kept;
  for (const auto& [id, entry] : kept_) kept[id % told_.size()] = &entry.listen;
  for (std::size_t place = 0; place < told_.size(); ++place) {
    const std::uint64_t counted = refused_->at(place);
    if (counted <= told_[place]) continue;
    Connection event;
    event.count = std::min(counted - told_[place], kMaxCount);
    event.reason = "refused attempts that the egress had not told yet when it died";
    event.first_us = std::chrono::duration_cast<std::chrono::microseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
    if (const auto listen = kept.find(place); listen != kept.end()) {
      event.id = listen->second->id;
      event.session = listen->second->session;
      event.skill = listen->second->skill;
      if (listen->second->tokens.size() == 1) event.call = listen->second->tokens[0].call;
    }
    pending_.emplace_back(std::move(event));
  }
  refused_.reset();
}

}  // namespace sharkcage::egress
