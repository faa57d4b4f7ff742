#include "supervisor/sandbox/attendant.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <exception>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "supervisor/sandbox/syscalls.h"

namespace sharkcage::sandbox {
namespace {

// How long one that is killed may take to end.
constexpr int kEndPatienceMs = 2000;

void close_all_but(std::vector<int> keep) {
  std::sort(keep.begin(), keep.end());
  unsigned next = STDERR_FILENO + 1;
  for (const int fd : keep) {
    const auto number = static_cast<unsigned>(fd);
    if (fd <= STDERR_FILENO) continue;
    if (number > next && ::close_range(next, number - 1, 0) != 0) ::_exit(1);
    next = number + 1;
  }
  if (::close_range(next, ~0u, 0) != 0) ::_exit(1);
}

[[noreturn]] void become(const char* name, pid_t monitor, std::vector<int> keep, int channel,
                         const std::function<void(int)>& serve) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::getppid() != monitor) ::_exit(1);
  ::prctl(PR_SET_NAME, name, 0, 0, 0);
  keep.push_back(channel);
  close_all_but(std::move(keep));
  try {
    serve(channel);
  } catch (const std::exception&) {
    // Its end is what the monitor sees.
    ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

Attendant Attendant::start(const char* name, std::span<const int> keep,
                           const std::function<void(int channel)>& serve, int group) {
  auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (group >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<std::uint64_t>(group);
  }
  const pid_t monitor = ::getpid();
  const pid_t pid = sys::clone3(args);
  if (pid < 0) throw_errno("clone3", name);
  if (pid == 0) become(name, monitor, {keep.begin(), keep.end()}, theirs.get(), serve);
  Attendant attendant;
  attendant.pid_ = pid;
  attendant.pidfd_.reset(pidfd);
  attendant.channel_ = std::move(ours);
  return attendant;
}

Attendant::Attendant(Attendant&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      pidfd_(std::move(other.pidfd_)),
      channel_(std::move(other.channel_)) {}

Attendant& Attendant::operator=(Attendant&& other) noexcept {
  if (this != &other) {
    stop();
    pid_ = std::exchange(other.pid_, 0);
    pidfd_ = std::move(other.pidfd_);
    channel_ = std::move(other.channel_);
  }
  return *this;
}

void Attendant::stop() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait_for(pidfd_.get(), kEndPatienceMs);
  while (::waitpid(pid_, nullptr, WNOHANG) < 0 && errno == EINTR) continue;
  pid_ = 0;
}

bool wait_for(int pidfd, int milliseconds) {
  pollfd gone{pidfd, POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&gone, 1, milliseconds);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

}  // namespace sharkcage::sandbox
