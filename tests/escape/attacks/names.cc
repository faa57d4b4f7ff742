// Attacks on names of files that run code later: made under another name, or while it is judged.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/escape/attacks/attack.h"

namespace escape {
namespace {

constexpr const char* kEvil = "#!/bin/sh\necho evil\n";

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

void fill(int file) {
  if (file >= 0 && ::write(file, kEvil, std::strlen(kEvil)) < 0) stopped("write");
}

// Makes `path` by a call of this name. The suite looks whether it is there.
const Attack kMake("make", [](Arguments arguments) {
  const std::string how = text_at(arguments, 0);
  const char* path = arguments[1];
  fill(::open("source", O_WRONLY | O_CREAT, 0755));
  long done = -1;
  if (how == "creat") done = ::creat(path, 0755);
  if (how == "open") done = ::open(path, O_WRONLY | O_CREAT | O_EXCL, 0755);
  if (how == "mkdir") done = ::mkdir(path, 0755);
  if (how == "mknod") done = ::mknod(path, S_IFREG | 0755, 0);
  if (how == "fifo") done = ::mknod(path, S_IFIFO | 0755, 0);
  if (how == "link") done = ::link("source", path);
  if (how == "symlink") done = ::symlink("source", path);
  if (how == "rename") done = ::rename("source", path);
  if (how == "renameat2") done = ::syscall(SYS_renameat2, AT_FDCWD, "source", AT_FDCWD, path, 1);
  if (how == "tmpfile") {
    const int file = ::open(".", O_TMPFILE | O_WRONLY, 0755);
    fill(file);
    const std::string by = "/proc/self/fd/" + std::to_string(file);
    done = ::linkat(AT_FDCWD, by.c_str(), AT_FDCWD, path, AT_SYMLINK_FOLLOW);
  }
  if (how == "empty-path") {
    const int file = ::open("source", O_PATH);
    const std::string by = "/proc/self/fd/" + std::to_string(file);
    done = ::linkat(AT_FDCWD, by.c_str(), AT_FDCWD, path, AT_SYMLINK_FOLLOW);
  }
  if (how == "at") {
    // Piece by piece, each from a descriptor of the directory before.
    std::string rest = path;
    int at = ::open(".", O_PATH | O_DIRECTORY);
    for (std::size_t slash; (slash = rest.find('/')) != std::string::npos;) {
      const std::string piece = rest.substr(0, slash);
      rest.erase(0, slash + 1);
      ::mkdirat(at, piece.c_str(), 0755);
      const int next = ::openat(at, piece.c_str(), O_PATH | O_DIRECTORY);
      if (next < 0) stopped(piece);
      at = next;
    }
    done = ::openat(at, rest.c_str(), O_WRONLY | O_CREAT, 0755);
  }
  if (done < 0) stopped(how);
  if (how != "mkdir" && how != "fifo" && how != "symlink") {
    fill(::open(path, O_WRONLY | O_TRUNC));
  }
  std::puts("made");
});

const Attack kExchange("exchange", [](Arguments arguments) {
  if (::syscall(SYS_renameat2, AT_FDCWD, arguments[0], AT_FDCWD, arguments[1], 2) != 0) {
    stopped("renameat2");
  }
  std::puts("exchanged");
});

constexpr const char* kEvilConfig = "[core]\n\tbare = false\n\tfsmonitor = ./evil\n";

// "config.lock" of a git that is at work: opened before git renames it and written afterwards, or
// deleted with another one in its place. The suite looks at the configuration.
const Attack kLock("lock", [](Arguments arguments) {
  const bool replace = text_at(arguments, 0) == "replaced";
  const std::string lock = text_at(arguments, 1);
  const std::string config = lock.substr(0, lock.rfind('.'));
  const auto write_to = [](int file) {
    if (::ftruncate(file, 0) != 0 || ::pwrite(file, kEvilConfig, std::strlen(kEvilConfig), 0) < 0) {
      stopped("write");
    }
    ::close(file);
  };
  Attempts attempts;
  while (attempts.more()) {
    for (int tries = 0; !exists(lock) && tries < 1000; ++tries) continue;
    if (replace && ::unlink(lock.c_str()) != 0) continue;
    const int file = ::open(lock.c_str(), replace ? O_WRONLY | O_CREAT | O_EXCL : O_WRONLY, 0644);
    if (file < 0) continue;
    if (replace) write_to(file);
    for (int tries = 0; exists(lock) && tries < 100000; ++tries) continue;
    if (!replace) write_to(file);
    if (read_file(config).find("fsmonitor") != std::string::npos) {
      through("git runs what its configuration says now");
    }
  }
  stopped(attempts.in_vain(), 0);
});

// A thread rewrites the name while system calls are made with it: harmless and forbidden names of
// the same length. Got through when the forbidden one exists.
const Attack kNameRace("name-race", [](Arguments arguments) {
  const std::string how = text_at(arguments, 0);
  const std::string harmless = text_at(arguments, 1);
  const std::string forbidden = text_at(arguments, 2);
  const int threads = arguments.size() > 3 ? number_at(arguments, 3) : 1;
  if (harmless.size() != forbidden.size()) stopped("names of different length", EINVAL);
  std::vector<char> name(harmless.begin(), harmless.end());
  name.push_back('\0');
  fill(::open("source", O_WRONLY | O_CREAT, 0755));
  std::atomic<bool> go{true};
  std::vector<std::thread> writers;
  for (int i = 0; i < threads; ++i) {
    writers.emplace_back([&] {
      while (go) {
        for (const std::string* text : {&forbidden, &harmless}) {
          for (std::size_t at = 0; at < text->size(); ++at) {
            static_cast<volatile char*>(name.data())[at] = (*text)[at];
          }
        }
      }
    });
  }
  bool made = false;
  Attempts attempts;
  while (!made && attempts.more()) {
    int done = 0;
    if (how == "open") ::close(::open(name.data(), O_WRONLY | O_CREAT, 0755));
    if (how == "mkdir") ::mkdir(name.data(), 0755);
    if (how == "link") done = ::link("source", name.data());
    if (how == "symlink") done = ::symlink("source", name.data());
    if (how == "rename") {
      ::close(::open("moving", O_WRONLY | O_CREAT, 0755));
      ::rename("moving", name.data());
    }
    made = exists(forbidden);
    if (made && done != 0) std::puts("made, though the call failed");
    if (how == "mkdir") ::rmdir(harmless.c_str());
    if (how != "mkdir") ::unlink(harmless.c_str());
  }
  go = false;
  for (std::thread& writer : writers) writer.join();
  if (made) through("the name was exchanged while it was judged");
  stopped(attempts.in_vain(), 0);
});

// Another process exchanges the directory on the way with a link into a protected one.
const Attack kParentRace("parent-race", [](Arguments arguments) {
  const std::string protected_directory = text_at(arguments, 0);
  const std::string name = text_at(arguments, 1);
  ::mkdir("way", 0755);
  if (::symlink(protected_directory.c_str(), "other") != 0) stopped("symlink");
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    while (::getppid() == parent) ::syscall(SYS_renameat2, AT_FDCWD, "way", AT_FDCWD, "other", 2);
    ::_exit(0);
  }
  bool made = false;
  Attempts attempts;
  while (!made && attempts.more()) {
    ::close(::open(("way/" + name).c_str(), O_WRONLY | O_CREAT, 0755));
    made = exists(protected_directory + "/" + name);
    ::unlink(("way/" + name).c_str());
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (made) through("a file in " + protected_directory + " through an exchanged directory");
  stopped(attempts.in_vain(), 0);
});

// Signals interrupt the system call while it is judged.
const Attack kInterrupted("interrupted-make", [](Arguments arguments) {
  const std::string path = text_at(arguments, 0);
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, nullptr);
  const itimerval often{{0, 50}, {0, 50}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  bool made = false;
  Attempts attempts;
  while (!made && attempts.more()) {
    ::close(::open(path.c_str(), O_WRONLY | O_CREAT, 0755));
    made = exists(path);
  }
  const itimerval never{};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  if (made) through("a call that was interrupted made " + path);
  stopped(attempts.in_vain(), 0);
});

// The caller dies while its call is judged; what is answered then must reach nobody else.
const Attack kDying("dying-make", [](Arguments arguments) {
  const std::string path = text_at(arguments, 0);
  Attempts attempts;
  for (int i = 0; !exists(path) && attempts.more(); ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) ::close(::open(path.c_str(), O_WRONLY | O_CREAT, 0755));
    }
    ::usleep(static_cast<useconds_t>(i % 7 * 100));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  if (exists(path)) through("a call whose caller died made " + path);
  stopped(attempts.in_vain(), 0);
});

// Executes a program that nobody approved, in one of several ways.
const Attack kExecute("execute", [](Arguments arguments) {
  const std::string how = text_at(arguments, 0);
  const std::string path = text_at(arguments, 1);
  std::string run = path;
  char name[] = "evil";
  char say[] = "say";
  char* argv[] = {name, say, nullptr};
  char* const environment[] = {nullptr};
  if (how == "copy") {
    run = text_at(arguments, 2) + "/copied";
    const int from = ::open(path.c_str(), O_RDONLY);
    const int to = ::open(run.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0755);
    if (from < 0 || to < 0) stopped("copy");
    char block[65536];
    for (ssize_t size; (size = ::read(from, block, sizeof block)) > 0;) {
      if (::write(to, block, static_cast<std::size_t>(size)) != size) stopped("write");
    }
    ::close(to);
  }
  if (how == "symlink" && ::symlink(path.c_str(), (run = "linked").c_str()) != 0) stopped(how);
  if (how == "link" && ::link(path.c_str(), (run = "linked").c_str()) != 0) stopped(how);
  if (how == "descriptor" || how == "memory") {
    int file = ::open(path.c_str(), how == "memory" ? O_RDONLY : O_PATH);
    if (file < 0) stopped("open");
    if (how == "memory") {
      const int memory = ::memfd_create("evil", 0);
      if (memory < 0) stopped("memfd_create");
      char block[65536];
      for (ssize_t size; (size = ::read(file, block, sizeof block)) > 0;) {
        if (::write(memory, block, static_cast<std::size_t>(size)) != size) stopped("write");
      }
      file = memory;
    }
    ::syscall(SYS_execveat, file, "", argv, environment, AT_EMPTY_PATH);
    stopped("execveat");
  }
  if (how == "loader") {
    for (const char* loader : {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"}) {
      char text[] = "THROUGH the loader ran a program that nobody approved\n";
      char* with[] = {name, const_cast<char*>(path.c_str()), text, nullptr};
      ::execve(loader, with, environment);
    }
    stopped("the loader");
  }
  ::execve(run.c_str(), argv, environment);
  stopped("execve");
});

// It names its interpreter.
bool is_program(const std::filesystem::path& path) {
  const std::string head = read_file(path.string()).substr(0, 4096);
  if (!head.starts_with("\x7f"
                        "ELF")) {
    return false;
  }
  return head.find("/ld-linux") != std::string::npos || head.find("/ld64") != std::string::npos;
}

// As the loader does it. What a package keeps as data can be programs, too (a compiler's tests).
bool loader_could_run(const std::filesystem::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  void* mapping = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
  ::close(file);
  return mapping != MAP_FAILED && ::munmap(mapping, 4096) == 0;
}

// Programs that were not approved and can be run all the same.
const Attack kPrograms("programs", [](Arguments arguments) {
  std::error_code error;
  const auto options = std::filesystem::directory_options::skip_permission_denied;
  for (const char* top : {"/usr", "/opt", "/bin", "/sbin", "/lib", "/lib64"}) {
    for (std::filesystem::recursive_directory_iterator it(top, options, error), end;
         !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (!it->is_regular_file(ignored) || it->is_symlink(ignored)) continue;
      const std::string name = it->path().filename().string();
      bool known = name.starts_with("ld-") || name.starts_with("ld.so") ||
                   name.starts_with("lib") || name.find(".so") != std::string::npos;
      for (const char* approved : arguments) known = known || name == approved;
      if (!known && is_program(it->path()) && loader_could_run(it->path())) {
        through("can run " + it->path().string());
      }
    }
  }
  stopped("no other program is there", 0);
});

const Attack kSay("say", [](Arguments) { through("a program that nobody approved runs"); });

}  // namespace
}  // namespace escape
