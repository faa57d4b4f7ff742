// Each promise of the confinement, tried from inside: a child confines itself and then misbehaves.

#include "supervisor/egress/confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>

#include "common/fd.h"
#include "supervisor/egress/resolver.h"

namespace sharkcage::egress {
namespace {

constexpr int kNotConfined = 200;
constexpr int kKilled = 256;

// Runs `body` in a confined child: its result, or 256 and the signal.
int confined(const std::function<int()>& body, bool with_threads = false) {
  // The descriptors that survive are the two that the supervisor passes.
  auto control = make_socketpair(SOCK_SEQPACKET);
  auto lifeline = make_pipe();
  const pid_t child = ::fork();
  if (child == 0) {
    const UniqueFd one(::fcntl(control.second.get(), F_DUPFD_CLOEXEC, 20));
    const UniqueFd two(::fcntl(lifeline.first.get(), F_DUPFD_CLOEXEC, 20));
    ::dup2(one.get(), kControlFd);
    ::dup2(two.get(), kLifelineFd);
    SystemResolver::prepare();
    try {
      confine();
    } catch (const std::exception&) {
      ::_exit(kNotConfined);
    }
    if (!with_threads) ::_exit(body());
    int result = kNotConfined;
    std::thread([&] { result = body(); }).join();
    ::_exit(result);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? kKilled + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(Confine, ExecutingOrTracingKillsIt) {
  EXPECT_EQ(confined([] {
              ::execl("/bin/true", "true", nullptr);
              return 1;
            }),
            kKilled + SIGSYS);
  EXPECT_EQ(confined([] {
              ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
              return 1;
            }),
            kKilled + SIGSYS);
}

TEST(Confine, MakesNoProcessButThreads) {
  EXPECT_EQ(confined([] { return ::fork() < 0 ? 0 : 1; }), 0);
  EXPECT_EQ(confined([] { return 0; }, true), 0);
}

TEST(Confine, WritesAndCreatesNoFile) {
  EXPECT_EQ(confined([] {
              if (::open("/tmp/egress-was-here", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0)
                return 1;
              if (::open("/dev/null", O_RDWR | O_CLOEXEC) >= 0) return 2;
              if (::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) >= 0) return 3;
              if (::mkdir("/tmp/egress-was-here", 0700) == 0) return 4;
              if (::unlink("/etc/hosts") == 0) return 5;
              return 0;
            }),
            0);
}

TEST(Confine, ReadsOnlyWhatNameResolutionReads) {
  EXPECT_EQ(confined([] {
              const int hosts = ::open("/etc/hosts", O_RDONLY | O_CLOEXEC);
              if (hosts < 0 && errno != ENOENT) return 1;
              if (::open("/proc/self/environ", O_RDONLY | O_CLOEXEC) >= 0) return 2;
              if (::open("/bin/sh", O_RDONLY | O_CLOEXEC) >= 0) return 3;
              if (::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0) return 4;
              if (::open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0) return 5;
              return 0;
            }),
            0);
}

TEST(Confine, HasNoUnixSocketAndNoListeningSocket) {
  EXPECT_EQ(confined([] {
              if (::socket(AF_UNIX, SOCK_STREAM, 0) >= 0) return 1;
              if (::socket(AF_PACKET, SOCK_RAW, 0) >= 0) return 2;
              if (::socket(AF_INET, SOCK_RAW, IPPROTO_TCP) >= 0) return 3;
              if (::socket(AF_NETLINK, SOCK_RAW, 12) >= 0) return 4;
              const int tcp = ::socket(AF_INET, SOCK_STREAM, 0);
              if (tcp < 0) return 5;
              if (::listen(tcp, 1) == 0) return 6;
              return 0;
            }),
            0);
}

TEST(Confine, IsNobodyAndCanBecomeNobodyElse) {
  const uid_t before = ::getuid();
  EXPECT_EQ(confined([before] {
              if (before == 0 && (::getuid() == 0 || ::getgid() == 0)) return 1;
              if (before != 0 && ::getuid() != before) return 2;
              if (::setuid(0) == 0 && before != 0) return 3;
              if (::setresuid(0, 0, 0) == 0) return 4;
              return 0;
            }),
            0);
}

TEST(Confine, KeepsNoOtherDescriptor) {
  const UniqueFd secret(::open("/etc/hosts", O_RDONLY | O_CLOEXEC));
  const int copy =
      ::fcntl(secret.get(), F_DUPFD, 50);  // not close-on-exec, as a careless library would
  EXPECT_EQ(confined([] {
              for (int fd = kLifelineFd + 1; fd < 1000; ++fd) {
                if (::fcntl(fd, F_GETFD) >= 0) return 1;
              }
              return ::fcntl(kControlFd, F_GETFD) >= 0 && ::fcntl(kLifelineFd, F_GETFD) >= 0 ? 0
                                                                                             : 2;
            }),
            0);
  ::close(copy);
}

TEST(Confine, MapsNoExecutableMemoryAndRaisesNoLimit) {
  EXPECT_EQ(confined([] {
              void* page =
                  ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              if (page == MAP_FAILED) return 1;
              if (::mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0) return 2;
              if (::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                         0) != MAP_FAILED) {
                return 3;
              }
              const rlimit core{1, 1};
              if (::setrlimit(RLIMIT_CORE, &core) == 0) return 4;
              return 0;
            }),
            0);
}

TEST(Confine, StillResolvesNames) {
  EXPECT_EQ(confined(
                [] {
                  addrinfo hints{};
                  hints.ai_socktype = SOCK_STREAM;
                  addrinfo* found = nullptr;
                  return ::getaddrinfo("localhost", nullptr, &hints, &found) == 0 ? 0 : 1;
                },
                true),
            0);
}

}  // namespace
}  // namespace sharkcage::egress
