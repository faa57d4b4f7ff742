#include "supervisor/sandbox/socket_calls.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "common/errors.h"
#include "supervisor/sandbox/non_blocking.h"
#include "supervisor/sandbox/patience.h"

namespace sharkcage::sandbox {
namespace {

// Descriptors that are held for bound sockets. The oldest are forgotten, and no longer reached.
constexpr std::size_t kMaxBound = 512;
// Behind the address of what is refused whatever the policy, so that nobody looks for its rule.
constexpr const char* kUdp = "/udp";
// linux/un.h, which does not go together with sys/un.h.
constexpr unsigned long kUnixFile = SIOCPROTOPRIVATE + 0;
constexpr std::size_t kPathOffset = offsetof(sockaddr_un, sun_path);

// Of SOL_SOCKET; -1 if it has none.
int option(int socket, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return ::getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

int domain_of(int socket) {
  return option(socket, SO_DOMAIN);
}

// Asked by the C library for every user's name; nobody misses its answer.
bool is_innocent(const std::string& path) {
  return path.ends_with("/nscd/socket");
}

// Whether it leads where it says, if nothing of it is a link.
bool leads_straight(const std::string& path) {
  return ("/" + path + "/").find("/../") == std::string::npos;
}

std::string text_of(const Meaning& meaning) {
  const bool v6 = meaning.host.find(':') != std::string::npos;
  return (v6 ? "[" + meaning.host + "]" : meaning.host) + ":" + std::to_string(meaning.port);
}

// The socket's own lock may be held by whatever the command does with it.
int bind_patiently(int socket, const sockaddr* name, socklen_t size) {
  const Patience patience;
  return ::bind(socket, name, size) == 0 ? 0 : errno;
}

}  // namespace

std::string SocketCalls::Address::unix_path() const {
  if (size <= kPathOffset) return {};
  const char* text = reinterpret_cast<const char*>(&bytes) + kPathOffset;
  return std::string(text, ::strnlen(text, size - kPathOffset));
}

std::string SocketCalls::Address::abstract() const {
  const char* text = reinterpret_cast<const char*>(&bytes) + kPathOffset;
  const std::size_t length = size > kPathOffset + 1 ? size - kPathOffset - 1 : 0;
  std::string name = "@" + std::string(text + 1, length);
  std::replace(name.begin(), name.end(), '\0', '@');
  return name;
}

std::optional<Answer> SocketCalls::answer(const Notification& call, const Task& task) {
  if (call.call == SYS_bind) return bind(call, task);
  if (call.call == SYS_connect) return connect(call, task);
  if (call.call != SYS_sendto) return std::nullopt;
  // Stream sockets take no address, and there are no Unix datagrams: nothing is decided here.
  Address address;
  if (copy_address(task, call.args[4], call.args[5], address) == 0 && listener_.valid(call)) {
    look_at_datagram(call, task, address);
  }
  return Answer::go_on();
}

int SocketCalls::copy_address(const Task& task, std::uint64_t from, std::uint64_t size,
                              Address& address) {
  const auto length = static_cast<int>(size);
  if (length < 0 || static_cast<std::size_t>(length) > sizeof address.bytes) return EINVAL;
  address.size = static_cast<socklen_t>(length);
  return length == 0 ? 0 : task.read(from, &address.bytes, address.size);
}

Answer SocketCalls::bind(const Notification& call, const Task& task) {
  Address address;
  if (const int error = copy_address(task, call.args[1], call.args[2], address)) {
    return Answer::refused(error);
  }
  const UniqueFd socket = task.descriptor(call.number(0));
  if (!socket) return Answer::refused(EBADF);
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  if (domain_of(socket.get()) == AF_UNIX) return bind_path(task, socket.get(), address);
  const int error = bind_patiently(socket.get(), address.raw(), address.size);
  return error == 0 ? Answer::of(0) : Answer::refused(error);
}

Answer SocketCalls::connect(const Notification& call, const Task& task) {
  Address address;
  if (const int error = copy_address(task, call.args[1], call.args[2], address)) {
    return Answer::refused(error);
  }
  UniqueFd socket = task.descriptor(call.number(0));
  if (!socket) return Answer::refused(EBADF);
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  const int domain = domain_of(socket.get());
  if (domain == AF_UNIX) return connect_path(task, socket.get(), address);
  if (domain == address.family()) {
    if (const auto given = internet_address(address.raw(), address.size)) {
      return connect_internet(call, task, std::move(socket), address, *given);
    }
  }
  return connect_address(socket.get(), address);
}

// In a sandbox without a network the kernel's "network is unreachable" says more than a refusal.
Answer SocketCalls::connect_internet(const Notification& call, const Task& task, UniqueFd held,
                                     const Address& address,
                                     const std::pair<sharkcage::Address, unsigned>& given) {
  using Kind = Meaning::Kind;
  const int socket = held.get();
  const bool stream = option(socket, SO_TYPE) == SOCK_STREAM;
  const Meaning meaning = catcher_.meaning(given.first, given.second);
  if (!gate_.open() && stream) {
    if (auto answer = stop_program(call, task, meaning)) return std::move(*answer);
  }
  if (meaning.kind == Kind::kInside) {
    if (meaning.port == kProxyPort || meaning.port == kNamesPort) Catcher::mark(call, socket);
    Answer answer = connect_address(socket, address);
    catcher_.tell_user(call, task, socket, stream, meaning.port);
    return answer;
  }
  if (meaning.kind == Kind::kNobody) return Answer::refused(ECONNREFUSED);
  if (stream) {
    if (meaning.kind == Kind::kApproved) {
      Answer answer =
          catcher_.connect(call, task, std::move(held), address.family(), given.first, meaning);
      // Then it may have been somebody else who was looked at.
      if (!listener_.valid(call)) catcher_.give_up();
      return answer;
    }
    recorder_.add(task, "connect", text_of(meaning));
    return catcher_.network() ? Answer::refused(EACCES) : connect_address(socket, address);
  }
  // The C library connects datagram sockets to each address of a name, to find out which is near.
  if (meaning.kind == Kind::kRefused && !meaning.named) {
    recorder_.add(task, "connect", text_of(meaning) + kUdp);
  }
  return connect_address(socket, address);
}

// There are two ways out, the proxy and what is caught. Names may be asked by every program: a
// datagram needs no connect(2).
std::optional<Answer> SocketCalls::stop_program(const Notification& call, const Task& task,
                                                const Meaning& meaning) {
  const bool proxy = meaning.kind == Meaning::Kind::kInside && meaning.port == kProxyPort;
  if (!proxy && meaning.kind != Meaning::Kind::kApproved) return std::nullopt;
  const bool lets = gate_.lets(task);
  // What was looked at may be another process, which has got the number of one that was ended.
  if (!listener_.valid(call)) return Answer::refused(EINTR);
  if (lets) return std::nullopt;
  const UniqueFd executed = task.executable();
  recorder_.add(task, "connect", text_of(meaning),
                executed ? view_.real_path(executed.get()) : std::string());
  return Answer::refused(EACCES);
}

// A command that waits is answered when the connection stands: connect(2) then says so. On the
// loopback interface that is at once, but only a second call tells. One that made us wait gets the
// error that a signal would have given it, and is not tried again.
Answer SocketCalls::connect_address(int socket, const Address& address) const {
  const NonBlocking calm(socket);
  const Patience patience;
  if (::connect(socket, address.raw(), address.size) == 0) return Answer::of(0);
  if (calm.blocks() && errno == EINPROGRESS &&
      ::connect(socket, address.raw(), address.size) == 0) {
    return Answer::of(0);
  }
  const int error = errno;
  const bool under_way = error == EINPROGRESS || error == EALREADY || error == EAGAIN;
  return calm.blocks() && under_way ? Answer::later() : Answer::refused(error);
}

GivenPath SocketCalls::given(const Task& task, const std::string& text) const {
  GivenPath path;
  path.text = view_.without_self(task, text);
  if (!text.starts_with('/')) {
    path.base = task.directory(AT_FDCWD);
    if (!path.base) path.error = errno;
  }
  return path;
}

Answer SocketCalls::bind_path(const Task& task, int socket, const Address& address) {
  if (address.family() != AF_UNIX) return Answer::refused(EINVAL);
  const std::string text = address.unix_path();
  if (text.empty()) {
    // Abstract, by name or by the kernel's choice.
    recorder_.add(task, "bind", address.abstract());
    return Answer::refused(EACCES);
  }
  if (text.size() >= sizeof(sockaddr_un::sun_path)) return Answer::refused(EINVAL);
  const GivenPath path = given(task, text);
  if (path.error != 0) return Answer::refused(path.error);
  const Spot spot = view_.spot(path);
  if (spot.error != 0) {
    return spot.error == EAGAIN ? Answer::later() : Answer::refused(spot.error);
  }
  // To git a socket is as good as a directory "refs".
  const bool git = rules_.judge_names && is_repository_part(spot.last);
  if (!names_.is_open(spot.real) || git || !rules_.may_write(spot.real)) {
    recorder_.add(task, "bind", spot.real);
    return Answer::refused(EACCES);
  }
  ::umask(task.status().mask);
  const int error = bind_in(spot, path, socket);
  if (::fchdir(view_.self()) != 0) throw_errno("fchdir");
  if (error != 0) return Answer::refused(error);
  remember(socket);
  return Answer::of(0);
}

// In the directory that was looked at, which the text may lead past by now, and by the text as far
// as it leads there without a link: getsockname(2) tells what a socket was bound to. A text with
// links is not looked up again in the turn, which all others would wait for: the real path stands
// for it, or if that is too long the name in its directory.
int SocketCalls::bind_in(const Spot& spot, const GivenPath& path, int socket) const {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  int from = spot.directory.get();
  std::string text = spot.last;
  if (leads_straight(path.text) && view_.meant(path) == spot.real) {
    text = path.text;
    if (path.base) from = path.base.get();
  } else if (spot.real.size() < sizeof name.sun_path && !spot.last.ends_with('/')) {
    text = spot.real;
  }
  if (text.size() >= sizeof name.sun_path) return ENAMETOOLONG;
  std::memcpy(name.sun_path, text.data(), text.size());
  if (::fchdir(from) != 0) return errno;
  const auto size = static_cast<socklen_t>(kPathOffset + text.size() + 1);
  return bind_patiently(socket, reinterpret_cast<const sockaddr*>(&name), size);
}

// The very file that the socket has, whatever is at its path by now (linux/un.h; the kernel asks
// for CAP_NET_ADMIN in the socket's network namespace).
void SocketCalls::remember(int socket) {
  UniqueFd held(::ioctl(socket, kUnixFile));
  struct stat status {};
  if (!held || ::fstat(held.get(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  bound_.push_back({status.st_dev, status.st_ino, std::move(held)});
  if (bound_.size() > kMaxBound) bound_.pop_front();
}

Answer SocketCalls::connect_path(const Task& task, int socket, const Address& address) {
  if (address.family() != AF_UNIX) return Answer::refused(EINVAL);
  const std::string text = address.unix_path();
  if (text.empty()) {
    if (address.size <= kPathOffset) return Answer::refused(EINVAL);
    recorder_.add(task, "connect", address.abstract());
    return Answer::refused(ECONNREFUSED);
  }
  if (text.size() > sizeof(sockaddr_un::sun_path)) return Answer::refused(EINVAL);
  const GivenPath path = given(task, text);
  if (path.error != 0) return Answer::refused(path.error);
  const Found found = view_.find(task, path, true);
  if (!found.file) {
    const std::string meant = view_.meant(path);
    if (!rules_.is_shown(meant) && !is_innocent(meant)) {
      recorder_.add(task, "connect", meant, {}, /*hidden=*/true);
    }
    return Answer::refused(found.error);
  }
  const std::string real = view_.real_path(found.file.get());
  if (!is_reachable(found.file.get(), real)) {
    recorder_.add(task, "connect", real);
    return Answer::refused(EACCES);
  }
  // Through the descriptor that was looked at, in /proc/self/fd.
  Address held;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string number = std::to_string(found.file.get());
  std::memcpy(name.sun_path, number.data(), number.size());
  held.size = static_cast<socklen_t>(kPathOffset + number.size() + 1);
  std::memcpy(&held.bytes, &name, held.size);
  return connect_address(socket, held);
}

bool SocketCalls::is_reachable(int file, const std::string& real) const {
  if (!rules_.judge_sockets) return true;
  struct stat status {};
  if (::fstat(file, &status) != 0) return false;
  // The kernel says what it is: nothing that could be connected to.
  if (!S_ISSOCK(status.st_mode)) return true;
  const auto& granted = rules_.sockets;
  return std::find(granted.begin(), granted.end(), real) != granted.end() ||
         std::any_of(bound_.begin(), bound_.end(), [&](const Bound& bound) {
           return bound.device == status.st_dev && bound.inode == status.st_ino;
         });
}

// Of a resolver that does not connect its socket (musl's).
void SocketCalls::look_at_datagram(const Notification& call, const Task& task,
                                   const Address& address) {
  const auto given = internet_address(address.raw(), address.size);
  if (!given) return;
  const Meaning meaning = catcher_.meaning(given->first, given->second);
  // An approval is for TCP.
  if (meaning.kind == Meaning::Kind::kRefused || meaning.kind == Meaning::Kind::kApproved) {
    recorder_.add(task, "connect", text_of(meaning) + kUdp);
  }
  if (meaning.kind != Meaning::Kind::kInside || meaning.port != kNamesPort) return;
  const UniqueFd socket = task.descriptor(call.number(0));
  if (socket && option(socket.get(), SO_TYPE) == SOCK_DGRAM) {
    Catcher::mark(call, socket.get());
    catcher_.tell_user(call, task, socket.get(), false, meaning.port);
  }
}

}  // namespace sharkcage::sandbox
