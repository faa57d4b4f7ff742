// Attacks on the network: whatever reaches a listener of the host that was planted for it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>

#include "tests/escape/attacks/attack.h"

namespace escape {
namespace {

constexpr int kAnswerTime = 3000;  // milliseconds

// Prints what comes, for the suite to find its secret in.
void show_answer(int fd) {
  pollfd readable{fd, POLLIN, 0};
  char text[512] = {};
  if (::poll(&readable, 1, kAnswerTime) != 1) stopped("no answer", ETIMEDOUT);
  const ssize_t size = ::recv(fd, text, sizeof text - 1, 0);
  if (size < 0) stopped("recv");
  std::printf("%s\n", text);
}

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address internet(const std::string& host, int port) {
  Address address;
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (::inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *six;
  } else if (::inet_aton(host.c_str(), &four->sin_addr) != 0) {
    four->sin_family = AF_INET;
    four->sin_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *four;
  } else {
    stopped("no address: " + host, EINVAL);
  }
  return address;
}

// "@name" is abstract.
Address local(const std::string& path) {
  Address address;
  auto* un = reinterpret_cast<sockaddr_un*>(&address.storage);
  un->sun_family = AF_UNIX;
  if (path.size() >= sizeof un->sun_path) stopped("the path is too long", ENAMETOOLONG);
  std::memcpy(un->sun_path, path.data(), path.size());
  if (path.starts_with('@')) un->sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                        (path.starts_with('@') ? 0 : 1));
  return address;
}

const Attack kConnect("connect", [](Arguments arguments) {
  const Address address = internet(text_at(arguments, 0), number_at(arguments, 1));
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM, 0);
  if (fd < 0) stopped("socket");
  if (::connect(fd, address.get(), address.size) != 0) stopped("connect");
  show_answer(fd);
});

const Attack kDatagram("datagram", [](Arguments arguments) {
  const Address address = internet(text_at(arguments, 0), number_at(arguments, 1));
  const int fd = ::socket(address.storage.ss_family, SOCK_DGRAM, 0);
  if (fd < 0) stopped("socket");
  if (::sendto(fd, "?", 1, 0, address.get(), address.size) != 1) stopped("sendto");
  show_answer(fd);
});

// A byte for an address, as sendmsg(2) and sendmmsg(2) take it.
struct Letter {
  explicit Letter(const Address& to) {
    message.msg_name = const_cast<sockaddr*>(to.get());
    message.msg_namelen = to.size;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    several.msg_hdr = message;
  }
  Letter(const Letter&) = delete;
  Letter& operator=(const Letter&) = delete;

  iovec part{const_cast<char*>("?"), 1};
  msghdr message{};
  mmsghdr several{};
};

// TCP Fast Open: a connection that the first data makes, by the call that is named. With "connect",
// connect(2) only notes where it is to go.
const Attack kFastOpen("fast-open", [](Arguments arguments) {
  const std::string how = text_at(arguments, 0);
  const Address address = internet(text_at(arguments, 1), number_at(arguments, 2));
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM, 0);
  if (fd < 0) stopped("socket");
  Letter letter(address);
  long sent = -1;
  if (how == "sendto") sent = ::sendto(fd, "?", 1, MSG_FASTOPEN, address.get(), address.size);
  if (how == "sendmsg") sent = ::sendmsg(fd, &letter.message, MSG_FASTOPEN);
  if (how == "sendmmsg") sent = ::sendmmsg(fd, &letter.several, 1, MSG_FASTOPEN);
  if (how == "connect") {
    const int on = 1;
    // Without a cookie of an earlier connection as well.
    if (::setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on) != 0 ||
        ::setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, &on, sizeof on) != 0) {
      stopped("setsockopt");
    }
    if (::connect(fd, address.get(), address.size) != 0) stopped("connect");
    sent = ::send(fd, "?", 1, 0);
  }
  if (sent != 1) stopped(how.c_str());
  show_answer(fd);
});

const Attack kUnix("unix", [](Arguments arguments) {
  const Address address = local(text_at(arguments, 0));
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) stopped("socket");
  if (::connect(fd, address.get(), address.size) != 0) stopped("connect");
  show_answer(fd);
});

// A socket of one's own to answer to, in the same directory or abstract.
void answer_here(int fd) {
  const Address address = local("@escape-" + std::to_string(::getpid()));
  if (::bind(fd, address.get(), address.size) != 0) stopped("bind");
}

const Attack kUnixDatagram("unix-datagram", [](Arguments arguments) {
  const std::string how = text_at(arguments, 0);
  const Address address = local(text_at(arguments, 1));
  int fds[2] = {-1, -1};
  if (how == "pair") {
    // An end of a pair that is given another peer.
    if (::socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) != 0) stopped("socketpair");
  } else {
    fds[0] = ::socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fds[0] < 0) stopped("socket");
  }
  Letter letter(address);
  long sent = -1;
  if (how == "pair" && ::connect(fds[0], address.get(), address.size) == 0) {
    sent = ::send(fds[0], "?", 1, 0);
  }
  if (how == "sendto") sent = ::sendto(fds[0], "?", 1, 0, address.get(), address.size);
  if (how == "sendmsg") sent = ::sendmsg(fds[0], &letter.message, 0);
  if (how == "sendmmsg") sent = ::sendmmsg(fds[0], &letter.several, 1, 0);
  if (how == "answered") {
    answer_here(fds[0]);
    if (::sendto(fds[0], "?", 1, 0, address.get(), address.size) == 1) show_answer(fds[0]);
  }
  if (sent != 1) stopped(how);
  std::puts("sent");
});

// A descriptor that a server of the host hands out: a socket of the host's network.
const Attack kReceive("receive-descriptor", [](Arguments arguments) {
  const Address address = local(text_at(arguments, 0));
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (fd < 0) stopped("socket");
  if (::connect(fd, address.get(), address.size) != 0) stopped("connect");
  char byte;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(fd, &message, 0) < 0) stopped("recvmsg");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) stopped("no descriptor came", 0);
  int received = -1;
  std::memcpy(&received, CMSG_DATA(header), sizeof received);
  show_answer(received);
});

// A thread exchanges the address of a connect between a socket of one's own and the host's.
const Attack kAddressRace("address-race", [](Arguments arguments) {
  const std::string theirs = text_at(arguments, 0);
  std::string ours = theirs;
  ours.back() = ours.back() == 'x' ? 'y' : 'x';  // of the same length
  ::unlink(ours.c_str());
  Address address = local(ours);
  const int own = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (own < 0) stopped("socket");
  if (::bind(own, address.get(), address.size) != 0 || ::listen(own, 512) != 0) stopped("bind");
  auto* last = reinterpret_cast<volatile char*>(&address.storage) +
               offsetof(sockaddr_un, sun_path) + theirs.size() - 1;
  std::atomic<bool> go{true};
  std::thread writer([&] {
    while (go) {
      *last = theirs.back();
      *last = ours.back();
    }
  });
  Attempts attempts;
  while (attempts.more()) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    char text[64] = {};
    if (::connect(fd, address.get(), address.size) == 0) {
      const int accepted = ::accept4(own, nullptr, nullptr, SOCK_NONBLOCK);
      pollfd readable{fd, POLLIN, 0};
      if (accepted < 0 && ::poll(&readable, 1, 1000) == 1 &&
          ::recv(fd, text, sizeof text - 1, 0) > 0) {
        std::printf("%s\n", text);
        go = false;
        writer.join();
        return;
      }
      ::close(accepted);
    }
    ::close(fd);
  }
  go = false;
  writer.join();
  ::unlink(ours.c_str());
  stopped(attempts.in_vain(), 0);
});

// For the suite, and to be attacked from another sandbox: answers with what the file says.
const Attack kServe("serve", [](Arguments arguments) {
  const Address address = local(text_at(arguments, 0));
  const std::string answer = read_file(text_at(arguments, 1));
  const int server = ::socket(AF_UNIX, SOCK_STREAM, 0);
  if (server < 0 || ::bind(server, address.get(), address.size) != 0 || ::listen(server, 16) != 0) {
    stopped("a server");
  }
  std::puts("serves");
  std::fflush(stdout);
  for (;;) {
    const int peer = ::accept(server, nullptr, nullptr);
    if (::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) std::puts("hung up");
    ::close(peer);
  }
});

// Another process exchanges a socket of one's own and the host's while connections are judged.
const Attack kSocketSwap("socket-swap", [](Arguments arguments) {
  const std::string theirs = text_at(arguments, 0);
  const std::string name = "own.sock";
  const Address address = local(name);
  const int own = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (own < 0) stopped("socket");
  if (::bind(own, address.get(), address.size) != 0 || ::listen(own, 512) != 0) stopped("bind");
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    const bool link = text_at(arguments, 1) == "link";
    if (link && ::symlink(theirs.c_str(), "link") != 0) stopped("symlink");
    const char* other = link ? "link" : theirs.c_str();
    while (::getppid() == parent) {
      ::syscall(SYS_renameat2, AT_FDCWD, name.c_str(), AT_FDCWD, other, 2 /* RENAME_EXCHANGE */);
    }
    ::_exit(0);
  }
  bool reached = false;
  Attempts attempts;
  while (!reached && attempts.more()) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    char text[64] = {};
    if (::connect(fd, address.get(), address.size) == 0) {
      const int accepted = ::accept4(own, nullptr, nullptr, SOCK_NONBLOCK);
      pollfd readable{fd, POLLIN, 0};
      reached = accepted < 0 && ::poll(&readable, 1, 1000) == 1 &&
                ::recv(fd, text, sizeof text - 1, 0) > 0;
      if (reached) std::printf("%s\n", text);
      ::close(accepted);
    }
    ::close(fd);
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (!reached) stopped(attempts.in_vain(), 0);
});

// What this network namespace has beside lo.
const Attack kInterfaces("interfaces", [](Arguments arguments) {
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  ifreq entries[64] = {};
  ifconf list{};
  list.ifc_len = sizeof entries;
  list.ifc_req = entries;
  const bool asked = ::ioctl(fd, SIOCGIFCONF, &list) == 0;
  const std::string table = read_file("/proc/net/dev");
  for (std::size_t i = 0; asked && i < static_cast<std::size_t>(list.ifc_len) / sizeof(ifreq);
       ++i) {
    if (std::strcmp(entries[i].ifr_name, "lo") != 0) {
      through(std::string("the interface ") + entries[i].ifr_name);
    }
  }
  std::size_t lines = 0;
  for (const char c : table) lines += c == '\n';
  if (lines > 3) through("interfaces in /proc/net/dev");
  if (text_at(arguments, 0) == "outside") absent("an interface beside lo");
  stopped("nothing beside lo", 0);
});

const Attack kPortsInProc("ports-in-proc", [](Arguments arguments) {
  char port[8];
  std::snprintf(port, sizeof port, ":%04X", static_cast<unsigned>(number_at(arguments, 0)));
  for (const char* table : {"/proc/net/tcp", "/proc/1/net/tcp", "/proc/self/net/tcp"}) {
    if (read_file(table).find(port) != std::string::npos) through(std::string("seen in ") + table);
  }
  stopped("the port is not in /proc/net/tcp", 0);
});

// SOCKS5 with the call's token, as ALL_PROXY says, or directly where there is none.
int by_proxy(const std::string& host, int port, const std::string& credentials) {
  const Address proxy = internet("127.0.0.1", 18800);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(fd, proxy.get(), proxy.size) != 0) stopped("the proxy");
  const auto exchange = [fd](const std::string& request, std::size_t size) {
    std::string answer(size, '\0');
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) stopped("send");
    pollfd readable{fd, POLLIN, 0};
    if (::poll(&readable, 1, 5000) != 1) stopped("the proxy does not answer", ETIMEDOUT);
    const ssize_t got = ::recv(fd, answer.data(), size, 0);
    answer.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    if (answer.size() < 2) stopped("the proxy hung up", 0);
    return answer;
  };
  const std::string user = credentials.substr(0, credentials.find(':'));
  exchange(std::string("\x05\x01\x02", 3), 2);
  if (exchange(std::string("\x01") + static_cast<char>(user.size()) + user + std::string("\0", 1),
               2)[1] != 0) {
    stopped("the proxy refuses the token", 0);
  }
  std::string request("\x05\x01\x00\x03", 4);
  request += static_cast<char>(host.size()) + host;
  request += static_cast<char>(port >> 8);
  request += static_cast<char>(port & 0xff);
  const std::string answer = exchange(request, 10);
  if (answer[1] != 0) stopped("the proxy refuses: " + std::to_string(answer[1]), 0);
  return fd;
}

const Attack kProxy("proxy", [](Arguments arguments) {
  const std::string host = text_at(arguments, 0);
  const int port = number_at(arguments, 1);
  const char* proxy = std::getenv("ALL_PROXY");
  if (proxy != nullptr) {
    const std::string url = proxy;
    const std::size_t begin = url.find("//") + 2;
    show_answer(by_proxy(host, port, url.substr(begin, url.find('@') - begin)));
    return;
  }
  const Address address = internet(host == "localhost" ? "127.0.0.1" : host, port);
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM, 0);
  if (::connect(fd, address.get(), address.size) != 0) stopped("connect");
  show_answer(fd);
});

// Standard input is perhaps more than what it says: a socket of the host's network.
const Attack kStdinSocket("stdin-socket", [](Arguments) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(0, reinterpret_cast<sockaddr*>(&peer), &size) != 0) stopped("getpeername");
  if (peer.ss_family == AF_INET) through("a socket of the host's network");
  stopped("standard input is a socket of family " + std::to_string(peer.ss_family), 0);
});

}  // namespace
}  // namespace escape
