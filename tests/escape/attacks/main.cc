#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>

#include "tests/escape/attacks/attack.h"

namespace escape {
namespace {

std::map<std::string_view, void (*)(Arguments)>& attacks() {
  static std::map<std::string_view, void (*)(Arguments)> all;
  return all;
}

void map_ids(const char* file, unsigned id) {
  write_file(file, "0 " + std::to_string(id) + " 1\n");
}

}  // namespace

Attack::Attack(std::string_view name, void (*run)(Arguments)) {
  attacks()[name] = run;
}

void through(const std::string& evidence) {
  std::printf("THROUGH %s\n", evidence.c_str());
  std::fflush(nullptr);
  ::_exit(0);
}

void stopped(const std::string& what) {
  stopped(what, errno);
}

void stopped(const std::string& what, int error) {
  const std::string why = error == 0 ? "" : std::string(": ") + std::strerror(error);
  std::printf("STOPPED %s%s\n", what.c_str(), why.c_str());
  std::fflush(nullptr);
  ::_exit(1);
}

void absent(const std::string& what) {
  std::printf("ABSENT %s\n", what.c_str());
  std::fflush(nullptr);
  ::_exit(4);
}

std::string text_at(Arguments arguments, std::size_t index) {
  if (index < arguments.size()) return arguments[index];
  std::fprintf(stderr, "argument %zu is missing\n", index);
  ::_exit(127);
}

int number_at(Arguments arguments, std::size_t index) {
  return std::atoi(text_at(arguments, index).c_str());
}

bool Attempts::more() {
  constexpr long long kTime = 3000;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const long long time = now.tv_sec * 1000ll + now.tv_nsec / 1'000'000;
  if (end_ == 0) end_ = time + kTime;
  ++count_;
  return time < end_;
}

std::string Attempts::in_vain() const {
  return "not once in " + std::to_string(count_) + " attempts";
}

void gain_namespaces(int flags) {
  const unsigned uid = ::geteuid();
  const unsigned gid = ::getegid();
  if (uid == 0 && ::unshare(flags) == 0) return;  // root needs no user namespace for them
  if (::unshare(CLONE_NEWUSER | flags) != 0) return;
  write_file("/proc/self/setgroups", "deny");
  map_ids("/proc/self/uid_map", uid);
  map_ids("/proc/self/gid_map", gid);
}

std::string read_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return "";
  std::string text(65536, '\0');
  const ssize_t size = ::read(file, text.data(), text.size());
  const int error = errno;
  ::close(file);
  errno = error;
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return text;
}

bool write_file(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t size = ::write(file, text.data(), text.size());
  const int error = errno;
  ::close(file);
  errno = error;
  return size == static_cast<ssize_t>(text.size());
}

bool show_file(const std::string& path) {
  const std::string text = read_file(path);
  if (text.empty()) return false;
  std::printf("%s: %s\n", path.c_str(), text.c_str());
  std::fflush(stdout);
  return true;
}

}  // namespace escape

int main(int argc, char** argv) {
  if (argc < 2 || !escape::attacks().contains(argv[1])) {
    std::fputs("escape_attacks NAME ARGUMENT…, see tests/escape/README.md\n", stderr);
    return 127;
  }
  escape::attacks().at(argv[1])(escape::Arguments(argv + 2, static_cast<std::size_t>(argc - 2)));
  return 3;  // it neither got through nor was stopped
}
