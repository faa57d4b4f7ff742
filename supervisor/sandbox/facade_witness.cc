#include "supervisor/sandbox/facade_witness.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "supervisor/sandbox/path_calls.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::size_t kMaxPath = 4096;  // PATH_MAX
constexpr std::size_t kPage = 4096;
constexpr int kMaxLinks = 40;
// The task has just queued its request and is about to sleep on the other processor.
constexpr int kMaxLooks = 200;
constexpr pid_t kInit = 1;

constexpr std::array<std::string_view, 9> kPrograms = {
    "/usr/bin",   "/usr/sbin",        "/bin",    "/sbin", "/usr/local/bin", "/usr/local/sbin",
    "/usr/games", "/usr/local/games", "/opt/bin"};

bool leads_through(std::string_view path, std::string_view missing) {
  return path.starts_with(missing) &&
         (path.size() == missing.size() || path[missing.size()] == '/');
}

// A path's parts, last first: the next one is at the back.
void push_parts(std::vector<std::string>& parts, std::string_view path) {
  const std::size_t from = parts.size();
  for (std::size_t start = 0; start < path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (end > start) parts.emplace_back(path.substr(start, end - start));
    start = end + 1;
  }
  std::reverse(parts.begin() + static_cast<std::ptrdiff_t>(from), parts.end());
}

// "Name:\tcat\n" and its kind.
std::string value_of(std::string_view text, std::string_view key) {
  std::size_t start = text.find(key);
  if (start == std::string_view::npos || (start > 0 && text[start - 1] != '\n')) return {};
  start = std::min(text.find_first_not_of(" \t", start + key.size()), text.size());
  return std::string(text.substr(start, text.find('\n', start) - start));
}

}  // namespace

std::string Witness::read_proc(pid_t pid, const char* file) const {
  char path[64];
  std::snprintf(path, sizeof path, "%d/%s", pid, file);
  const UniqueFd opened(::openat(proc_.get(), path, O_RDONLY | O_CLOEXEC));
  char text[2048];
  const ssize_t size = opened ? ::read(opened.get(), text, sizeof text) : -1;
  return size <= 0 ? std::string() : std::string(text, static_cast<std::size_t>(size));
}

std::string Witness::link_in_proc(pid_t pid, const std::string& link) const {
  char text[kMaxPath];
  const ssize_t size =
      ::readlinkat(proc_.get(), (std::to_string(pid) + "/" + link).c_str(), text, sizeof text);
  return size <= 0 ? std::string() : std::string(text, static_cast<std::size_t>(size));
}

// proc(5), /proc/pid/syscall: "running", or the number, six arguments, two registers.
std::optional<Witness::Call> Witness::call_of(pid_t pid) const {
  for (int look = 0; look < kMaxLooks; ++look) {
    const std::string text = read_proc(pid, "syscall");
    if (text.empty()) return std::nullopt;
    if (text.starts_with("running")) {
      ::sched_yield();
      continue;
    }
    Call call;
    char* rest = nullptr;
    call.number = std::strtol(text.c_str(), &rest, 10);
    for (std::uint64_t& argument : call.arguments) argument = std::strtoull(rest, &rest, 16);
    return call;
  }
  return std::nullopt;
}

// Page by page, since the one after the path's end need not be there.
std::string Witness::text_at(pid_t pid, std::uint64_t address) const {
  char path[64];
  std::snprintf(path, sizeof path, "%d/mem", pid);
  const UniqueFd memory(::openat(proc_.get(), path, O_RDONLY | O_CLOEXEC));
  std::string text;
  char block[kPage];
  while (memory && text.size() < kMaxPath) {
    const std::size_t size = kPage - address % kPage;
    const ssize_t got = ::pread(memory.get(), block, size, static_cast<off_t>(address));
    if (got <= 0) return {};
    const char* const end = std::find(block, block + got, '\0');
    text.append(block, static_cast<std::size_t>(end - block));
    if (end != block + got) return text;
    address += static_cast<std::uint64_t>(got);
  }
  return {};
}

// As an absolute path inside, not yet followed. Empty when it cannot be told.
std::string Witness::path_argument(pid_t pid, const Call& call, int dirfd, int path) const {
  if (path < 0) return {};
  std::string text = text_at(pid, call.arguments[path]);
  if (text.empty() || text.starts_with('/')) return text;
  const int fd = dirfd < 0 ? AT_FDCWD : static_cast<int>(call.arguments[dirfd]);
  const std::string base = link_in_proc(pid, fd == AT_FDCWD ? "cwd" : "fd/" + std::to_string(fd));
  return base.starts_with('/') ? base + "/" + text : std::string();
}

// What `argument` means if its way leads through `missing`, else empty. Links are followed as far
// as they are the facade's own; what is mounted is taken by its name.
std::string Witness::through(const std::string& argument, const std::string& missing) const {
  std::vector<std::string> parts;
  push_parts(parts, argument);
  std::string at;
  for (int links = 0; !parts.empty();) {
    const std::string part = std::move(parts.back());
    parts.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      at.erase(std::min(at.rfind('/'), at.size()));
      continue;
    }
    const std::string above = at;
    at += "/" + part;
    if (leads_through(at, missing)) {
      for (; !parts.empty(); parts.pop_back()) {
        if (parts.back() != ".") at += "/" + parts.back();
      }
      return at;
    }
    const Node* const node = tree_.at(at);
    if (node == nullptr || !S_ISLNK(node->mode)) continue;
    if (++links > kMaxLinks) return {};
    at = node->text.starts_with('/') ? "" : above;
    push_parts(parts, node->text);
  }
  return {};
}

bool Witness::is_program(const std::string& path) const {
  const std::string_view directory = std::string_view(path).substr(0, path.rfind('/'));
  return scoped_ && std::find(kPrograms.begin(), kPrograms.end(), directory) != kPrograms.end();
}

// proc_pid_status(5). The numbers are those of the sandbox: its /proc shows no others.
Witness::Task Witness::task(pid_t pid) const {
  Task task;
  const std::string text = read_proc(pid, "status");
  task.name = value_of(text, "Name:");
  task.pid = std::atoi(value_of(text, "Tgid:").c_str());
  task.session = std::atoi(value_of(text, "NSsid:").c_str());
  // A thread can have a name of its own; the program's is its leader's.
  if (task.pid > 0 && task.pid != pid) {
    task.name = value_of(read_proc(task.pid, "status"), "Name:");
  }
  if (task.pid <= 0) task.pid = pid;
  return task;
}

void Witness::look_through(UniqueFd proc) {
  proc_ = std::move(proc);
  our_name_ = task(kInit).name;
}

std::optional<Refusal> Witness::missed(const Node& directory, std::string_view name,
                                       pid_t pid) const {
  if (!proc_ || pid <= kInit) return std::nullopt;
  const std::string missing = Tree::path_of(directory) + "/" + std::string(name);
  const Task task = this->task(pid);
  Refusal refusal = of(task);
  refusal.hidden = true;
  refusal.target = missing;
  if (const auto call = call_of(pid)) {
    const PathCall kind = path_call(call->number, call->arguments);
    refusal.operation = kind.operation;
    const std::string path = path_argument(pid, *call, kind.dirfd, kind.path);
    const std::string to = path_argument(pid, *call, kind.to_dirfd, kind.to);
    const std::string followed = through(path, missing);
    const std::string followed_to = through(to, missing);
    if (kind.makes && (kind.to < 0 ? followed : followed_to) == missing) {
      if (directory.home) return std::nullopt;
      refusal.hidden = false;  // nothing can be made here, whatever there is elsewhere
    }
    if (!followed.empty()) refusal.target = followed;
    if (followed.empty() && !followed_to.empty()) refusal.target = path;
    refusal.to = followed_to.empty() ? to : followed_to;
  } else if (task.name == our_name_) {
    // About to execute the command, and not to be looked into.
    refusal.operation = "execute";
    refusal.program = refusal.target.substr(refusal.target.rfind('/') + 1);
  }
  if (is_program(refusal.target) &&
      (refusal.operation == "stat" || refusal.operation == "access")) {
    refusal.operation = "execute";
  }
  return refusal;
}

Refusal Witness::of(const Task& task) {
  Refusal refusal;
  refusal.operation = "read";
  refusal.pid = task.pid;
  refusal.program = task.name;
  refusal.command = task.session;
  refusal.first_us = microseconds_since_1970();
  return refusal;
}

std::optional<Refusal> Witness::denied(const Node& mask, pid_t pid) const {
  if (!proc_ || pid <= kInit) return std::nullopt;
  Refusal refusal = of(task(pid));
  refusal.target = mask.text;
  if (const auto call = call_of(pid)) {
    const PathCall kind = path_call(call->number, call->arguments);
    const std::string path = through(path_argument(pid, *call, kind.dirfd, kind.path), mask.text);
    refusal.operation = kind.operation;
    if (!path.empty()) refusal.target = path;
    // What lies there may be seen, not opened.
    if (kind.operation == "stat" && refusal.target == mask.text) return std::nullopt;
  }
  return refusal;
}

}  // namespace sharkcage::sandbox
