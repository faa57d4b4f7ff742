// sc-exec: what a host spawns instead of a command. It presents the ticket from its environment,
// passes its streams on, and ends the way the command ends.
//
// Every call of a tool pays for the start of this program, so it does only what nearly all calls
// need: three streams that can be passed on, and a command that ends by itself. Everything else is
// sc-attend's, which this process becomes: at once, or in the middle, with the connection and all
// that came over it. It uses nothing of the C++ library and is linked with musl, because the start
// of a static program of glibc takes longer than all of this (docs/performance.md).
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/forwarded.h"

namespace {

constexpr char kTicketVariable[] = "SHARKCAGE_TICKET";
constexpr char kAttendant[] = "sc-attend";
constexpr int kSandboxFailed = 125;
constexpr size_t kMaxTicket = 128;
constexpr int kStreams = 3;
constexpr size_t kMaxPath = 4096;

char received[16384];  // all of it: the attendant begins at the beginning
size_t received_size = 0;

[[noreturn]] void become_attendant(char* const* argv) {
  char path[kMaxPath];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof path - sizeof kAttendant);
  char* slash =
      size > 0 ? static_cast<char*>(memrchr(path, '/', static_cast<size_t>(size))) : nullptr;
  if (slash != nullptr) {
    memcpy(slash + 1, kAttendant, sizeof kAttendant);
    execv(path, argv);
  }
  dprintf(STDERR_FILENO,
          "sharkcage: sc-attend cannot be executed (%s). It belongs beside sc-exec: install "
          "Sharkcage again.\n",
          strerror(errno));
  _exit(kSandboxFailed);
}

// In the middle. Signals stay blocked, so that one that is pending is the attendant's.
[[noreturn]] void hand_over(int connection) {
  const int bytes = memfd_create("sharkcage-received", 0);
  char place[64];
  snprintf(place, sizeof place, "%d,%d", connection, bytes);
  const bool written =
      bytes >= 0 && write(bytes, received, received_size) == static_cast<ssize_t>(received_size);
  if (!written || lseek(bytes, 0, SEEK_SET) != 0 || fcntl(connection, F_SETFD, 0) != 0) {
    dprintf(STDERR_FILENO, "sharkcage: the connection cannot be passed on (%s)\n", strerror(errno));
    _exit(kSandboxFailed);
  }
  char name[] = "sc-exec";
  char option[] = "--connected";
  char* argv[] = {name, option, place, nullptr};
  become_attendant(argv);
}

bool is_absolute(const char* path) {
  return path != nullptr && path[0] == '/';
}

// The rules of find_places (common/places.cc), for the socket alone. False where they need more
// than this program has.
bool find_socket(sockaddr_un& address) {
  address.sun_family = AF_UNIX;
  constexpr size_t kRoom = sizeof address.sun_path;
  const auto set = [&](const char* directory, const char* rest) {
    const int size = snprintf(address.sun_path, kRoom, "%s%s/supervisor.sock", directory, rest);
    return size > 0 && static_cast<size_t>(size) < kRoom;
  };
  const char* instance = getenv("SHARKCAGE_HOME");
  if (instance != nullptr && instance[0] != '\0') {
    return is_absolute(instance) && set(instance, "/run");
  }
  constexpr char kSystem[] = "/run/sharkcage";
  if (geteuid() == 0) return set(kSystem, "");
  const char* home = getenv("HOME");
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  const char* state = getenv("XDG_STATE_HOME");
  const bool found = is_absolute(runtime) ? set(runtime, "/sharkcage")
                     : is_absolute(state) ? set(state, "/sharkcage/run")
                     : is_absolute(home)  ? set(home, "/.local/state/sharkcage/run")
                                          : false;
  if (!found) return false;
  struct stat status;
  return stat(address.sun_path, &status) == 0 || set(kSystem, "");
}

// A pipe or a Unix stream socket.
bool can_be_passed(int fd) {
  struct stat status;
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_PATH) != 0 || fstat(fd, &status) != 0) return false;
  if (S_ISFIFO(status.st_mode)) return true;
  int family = 0;
  int type = 0;
  socklen_t size = sizeof family;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) return false;
  size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return false;
  return family == AF_UNIX && type == SOCK_STREAM;
}

// Where there is nothing to read, an empty pipe says the same.
int empty_input() {
  struct stat status;
  if (fstat(STDIN_FILENO, &status) != 0 || !S_ISCHR(status.st_mode) ||
      status.st_rdev != makedev(1, 3)) {
    return -1;
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  close(ends[1]);
  return ends[0];
}

bool find_streams(int (&streams)[kStreams]) {
  for (int fd = 0; fd < kStreams; ++fd) {
    streams[fd] = can_be_passed(fd) ? fd : fd == STDIN_FILENO ? empty_input() : -1;
    if (streams[fd] < 0) return false;
  }
  return true;
}

// Served by root or by this user (common/rpc.cc, Client::connect).
bool is_trusted(int connection) {
  ucred peer;
  socklen_t size = sizeof peer;
  return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == geteuid());
}

// Both requests in one message, as the command line sends them.
bool send_requests(int connection, const char* ticket, const int (&streams)[kStreams]) {
  char text[512];
  const int size = snprintf(
      text, sizeof text,
      R"({"id":1,"jsonrpc":"2.0","method":"hello","params":{"client":"sc-exec","versions":[1]}})"
      "\n"
      R"({"id":2,"jsonrpc":"2.0","method":"exec.open","params":{"ticket":"%s"}})"
      "\n",
      ticket);
  if (size < 0 || static_cast<size_t>(size) >= sizeof text) return false;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof streams)] = {};
  iovec block = {text, static_cast<size_t>(size)};
  msghdr message = {};
  message.msg_iov = &block;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof streams);
  memcpy(CMSG_DATA(header), streams, sizeof streams);
  // A new connection has room for all of it.
  const bool sent = sendmsg(connection, &message, MSG_NOSIGNAL) == size;
  explicit_bzero(text, sizeof text);
  return sent;
}

// A signal that our parent had us ignore (nohup) stays ignored.
int hold_signals(sigset_t& before) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : sharkcage::cli::kForwarded) {
    struct sigaction action;
    if (sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
      sigaddset(&set, signal);
    }
  }
  sigprocmask(SIG_BLOCK, &set, &before);
  return signalfd(-1, &set, SFD_CLOEXEC);
}

// What was passed belongs to the command: as long as we held it too, its peer would wait for us.
void let_go_of(const int (&streams)[kStreams]) {
  if (streams[STDIN_FILENO] != STDIN_FILENO) close(streams[STDIN_FILENO]);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  close(null);
}

bool skip(const char*& text, const char* expected) {
  const size_t size = strlen(expected);
  if (strncmp(text, expected, size) != 0) return false;
  text += size;
  return true;
}

bool skip_number(const char*& text, int& value) {
  const char* begin = text;
  for (value = 0; *text >= '0' && *text <= '9' && text - begin < 9; ++text) {
    value = value * 10 + (*text - '0');
  }
  return text != begin;
}

// The exit status, from the line that says that the command has ended by itself and nothing more:
// members are in the order of their names. -1 for any other line.
int status_of(const char* line) {
  if (!skip(line, R"({"jsonrpc":"2.0","method":"exec.exit","params":{"call":")")) return -1;
  while (*line != '\0' && *line != '"' && *line != '\\') ++line;
  int status = 0;
  int refused = 0;
  if (!skip(line, R"(","exit":)") || !skip_number(line, status)) return -1;
  skip(line, R"(,"not_found":true)");
  if (skip(line, R"(,"refused":)") && !skip_number(line, refused)) return -1;
  if (skip(line, R"(,"refused_records":)") && !skip_number(line, refused)) return -1;
  return strcmp(line, "}}") == 0 ? status : -1;
}

bool is_expected(const char* line) {
  const char* rest = line;
  return skip(rest, R"({"id":1,"jsonrpc":"2.0","result":)") ||
         skip(rest, R"({"id":2,"jsonrpc":"2.0","result":)") ||
         skip(rest, R"({"jsonrpc":"2.0","method":"exec.started",)");
}

// Until the command has ended.
[[noreturn]] void attend(int connection, int signals) {
  for (size_t line = 0;;) {
    pollfd events[] = {{connection, POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(events, 2, -1) < 0) continue;
    if (events[0].revents != 0) {
      const ssize_t got =
          read(connection, received + received_size, sizeof received - received_size);
      if (got <= 0) hand_over(connection);
      received_size += static_cast<size_t>(got);
    }
    while (char* end = static_cast<char*>(memchr(received + line, '\n', received_size - line))) {
      *end = '\0';
      const int status = status_of(received + line);
      const bool expected = status >= 0 || is_expected(received + line);
      *end = '\n';
      if (status >= 0) _exit(status);
      if (!expected) hand_over(connection);
      line = static_cast<size_t>(end - received) + 1;
    }
    if (events[1].revents != 0 || received_size == sizeof received) hand_over(connection);
  }
}

// Returns when this is not a case for this program, with everything as it was.
void take_up() {
  char* ticket = getenv(kTicketVariable);
  const size_t size = ticket == nullptr ? 0 : strspn(ticket, "0123456789abcdef");
  if (size == 0 || size > kMaxTicket || ticket[size] != '\0') return;
  int streams[kStreams];
  sockaddr_un address = {};
  if (!find_streams(streams) || !find_socket(address)) return;
  const int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0) return;
  sigset_t before;
  const int signals = hold_signals(before);
  if (signals < 0 ||
      connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      !is_trusted(connection) || !send_requests(connection, ticket, streams)) {
    close(connection);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    return;
  }
  // Nobody has to see it after this: not the environment of this process, nor that of a child.
  explicit_bzero(ticket, size);
  unsetenv(kTicketVariable);
  let_go_of(streams);
  attend(connection, signals);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) take_up();
  become_attendant(argv);
}
