#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "capabilities/destinations.h"
#include "common/errors.h"
#include "common/hash.h"
#include "common/text.h"

namespace sharkcage {
namespace {

constexpr std::chrono::seconds kStopPatience{5};
constexpr std::chrono::milliseconds kStopStep{20};
constexpr std::chrono::seconds kRefusalPause{1};
constexpr std::size_t kMaxRefusals = 4096;

std::string beside_this_program(const std::string& name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

// Tells a service manager how we are (sd_notify(3)); without one, nothing.
void notify_manager(const char* state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || std::strlen(path) >= sizeof(sockaddr_un::sun_path)) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, std::strlen(path));
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  ::sendto(socket.get(), state, std::strlen(state), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&address), length);
}

}  // namespace

UniqueFd take_lock(const Places& places) {
  const std::string path = places.lock_file();
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) throw_errno("open", path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw_errno("flock", path);
    std::string other = read_fd(lock.get(), 32, path);
    while (!other.empty() && other.back() == '\n') other.pop_back();
    throw UserError("A supervisor of this instance is running already (process " + other + ")",
                    "Stop it with: sc stop");
  }
  if (::ftruncate(lock.get(), 0) != 0) throw_errno("ftruncate", path);
  write_all(lock.get(), std::to_string(::getpid()) + "\n");
  return lock;
}

Supervisor::Supervisor(Places places, Config config, sandbox::Launcher launcher,
                       std::vector<sandbox::Facility> facilities)
    : places_(std::move(places)),
      config_(std::move(config)),
      privileged_(::geteuid() == 0),
      instance_(random_hex(8)),
      started_(std::chrono::steady_clock::now()),
      facilities_(std::move(facilities)),
      signals_(context_, SIGTERM, SIGINT),
      stop_timer_(context_),
      log_(places_),
      journal_(context_, log_, [this](const std::string& why) { on_log_failure(why); }),
      skills_(places_.approvals_db(), ContentStore(places_.skills_dir()),
              Catalogue(config_.capabilities)),
      processes_(
          context_, std::move(launcher), beside_this_program("sharkcage-egress"),
          {[this](const std::string& name, const std::string& how) { on_process_death(name, how); },
           [this](const egress::Connection& event) { on_connection(event); },
           [this](std::function<void()> then) { when_recorded(std::move(then)); }}),
      outside_(config_, places_, skills_, processes_),
      ends_(context_),
      sandboxes_(context_, processes_, ends_,
                 {places_.skills_dir(), privileged_, config_.warm, config_.git_identity}),
      runner_(sandboxes_, journal_, calls_, ends_),
      authorizer_(config_, places_, skills_, sessions_, calls_, journal_),
      server_(context_, methods(),
              {[this](const Peer& peer) { return roles_of(peer, config_, privileged_); },
               [this](std::uint64_t connection) { runner_.connection_closed(connection); },
               [this](const Peer& peer, const std::string& reason) {
                 on_refused_peer(peer, reason);
               }}) {}

Supervisor::~Supervisor() = default;

int Supervisor::run() {
  std::signal(SIGPIPE, SIG_IGN);
  audit::Record record;
  record.kind = "supervisor";
  record.reason = "started";
  record.payload = {{"version", kVersion}, {"instance", instance_}, {"pid", ::getpid()}};
  log_.append_and_wait(std::move(record));
  skills_.store().remove_unreferenced(skills_.referenced_content());
  processes_.start();
  outside_.start();
  server_.listen(places_.socket(), privileged_);
  signals_.async_wait([this](std::error_code error, int number) {
    if (!error) stop(number == SIGTERM ? "SIGTERM" : "SIGINT");
  });
  notify_manager("READY=1");
  spdlog::info("listening at {}", places_.socket());
  context_.run();

  record = {};
  record.kind = "supervisor";
  record.reason = "stopped";
  record.payload = {{"instance", instance_}};
  try {
    log_.append_and_wait(std::move(record));
  } catch (const audit::LogError& error) {
    spdlog::error("{}", error.what());
  }
  log_.close();
  spdlog::info("stopped");
  return status_;
}

void Supervisor::stop(const std::string& why) {
  if (std::exchange(stopping_, true)) return;
  spdlog::info("stopping ({}), {} calls end", why, runner_.size());
  notify_manager("STOPPING=1");
  server_.stop();
  runner_.cancel_all("supervisor");
  stop_timer_.expires_after(kStopPatience);
  stop_if_quiet();
}

// Sandboxes end within milliseconds; one that cannot be ended goes with the launcher.
void Supervisor::stop_if_quiet() {
  auto step = std::make_shared<asio::steady_timer>(context_, kStopStep);
  step->async_wait([this, step](std::error_code) {
    if (sandboxes_.size() > 0 && stop_timer_.expiry() > std::chrono::steady_clock::now()) {
      return stop_if_quiet();
    }
    processes_.stop();
    signals_.cancel();
    context_.stop();
  });
}

void Supervisor::on_process_death(const std::string& name, const std::string& how) {
  spdlog::error("{} {}", name, how);
  audit::Record record;
  record.kind = "supervisor";
  record.reason = name + " " + how + "; it is started again";
  record.payload = {{"process", name}};
  journal_.note(std::move(record));
}

// Anybody on this machine can cause as many refusals as they like, so one a second is recorded for
// each user and reason, with how many were not since the one before.
void Supervisor::on_refused_peer(const Peer& peer, const std::string& reason) {
  const auto now = std::chrono::steady_clock::now();
  const std::pair key{peer.uid, reason};
  if (refusals_.size() >= kMaxRefusals && !refusals_.contains(key)) refusals_.clear();
  const auto [place, first] = refusals_.try_emplace(key, Refusals{now, 0});
  if (!first && now - place->second.recorded < kRefusalPause) {
    ++place->second.unrecorded;
    return;
  }
  audit::Record record;
  record.kind = "peer";
  record.decision = "block";
  record.reason = reason;
  record.payload = {{"uid", peer.uid}, {"pid", peer.pid}};
  if (place->second.unrecorded > 0) record.payload["unrecorded"] = place->second.unrecorded;
  place->second = {now, 0};
  journal_.note(std::move(record));
}

void Supervisor::on_connection(const egress::Connection& event) {
  audit::Record record;
  if (const auto call = calls_.by_id(event.call)) {
    record = call->record("connection");
    record.policy = call->policy_digest;
    record.reason = event.reason;
    // The egress knows only that there is no rule.
    if (!call->no_network.empty() && event.reason == DestinationRules::kNotApproved) {
      record.reason = call->no_network;
    }
    if (event.decision == egress::Decision::kBlock) {
      ++call->refused_host_records;
      if (call->refused_hosts.size() < Call::kMaxRefusedHosts) {
        call->refused_hosts.insert(event.host + ':' + std::to_string(event.port));
      }
    }
  } else {
    record.kind = "connection";
    record.call = event.call;
    record.session = event.session;
    record.skill = event.skill;
    record.reason = event.reason;
  }
  record.decision = event.decision == egress::Decision::kAllow ? "allow" : "block";
  record.payload = {{"protocol", event.protocol},
                    {"program", event.program},
                    {"host", event.host},
                    {"port", event.port},
                    {"address", event.address},
                    {"rule", event.rule},
                    {"phase", event.phase == egress::Phase::kOpen ? "open" : "close"},
                    {"bytes_up", event.bytes_up},
                    {"bytes_down", event.bytes_down},
                    {"duration_us", event.duration_us}};
  if (event.count > 1) {
    const auto first =
        std::chrono::system_clock::time_point(std::chrono::microseconds(event.first_us));
    record.payload["count"] = event.count;
    record.payload["first"] = rfc3339(first);
  }
  journal_.note(std::move(record));
}

void Supervisor::when_recorded(std::function<void()> then) {
  asio::co_spawn(context_, journal_.settled(),
                 [then = std::move(then)](const std::exception_ptr&) { then(); });
}

// Without a log nothing may run: calls end, and no new one gets a verdict.
void Supervisor::on_log_failure(const std::string& why) {
  status_ = 1;
  runner_.cancel_all("the audit log failed");
  stop("the audit log failed: " + why);
}

}  // namespace sharkcage
