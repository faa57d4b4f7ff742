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

#include "supervisor/sandbox/init_channel.h"
#include "supervisor/sandbox/path_calls.h"
#include "supervisor/sandbox/refusals.h"
#include "supervisor/sandbox/task.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::size_t kMaxPath = 4096;  // PATH_MAX
constexpr std::size_t kPage = 4096;
// The task has just queued its request and is about to sleep on the other processor.
constexpr int kMaxLooks = 200;
constexpr pid_t kInit = 1;

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

// proc_pid_status(5). The numbers are those of the sandbox: its /proc shows no others.
void Witness::name_task(pid_t pid, Evidence& evidence) const {
  const std::string text = read_proc(pid, "status");
  evidence.pid = std::atoi(value_of(text, "Tgid:").c_str());
  const pid_t session = std::atoi(value_of(text, "NSsid:").c_str());
  evidence.command = Task(proc_.get(), pid).command(session, keeper_);
  evidence.program = value_of(text, "Name:");
  // A thread can have a name of its own; the program's is its leader's.
  if (evidence.pid > 0 && evidence.pid != pid) {
    evidence.program = value_of(read_proc(evidence.pid, "status"), "Name:");
  }
  if (evidence.pid <= 0) evidence.pid = pid;
}

Witness::Witness(UniqueFd proc) : proc_(std::move(proc)) {
  Evidence init;
  name_task(kInit, init);
  our_name_ = init.program;
}

Evidence Witness::look_at(pid_t pid) const {
  Evidence evidence;
  evidence.time_us = microseconds_since_1970();
  name_task(pid, evidence);
  if (const auto call = call_of(pid)) {
    evidence.seen = true;
    evidence.call = path_call(call->number, call->arguments);
    evidence.path = path_argument(pid, *call, evidence.call.dirfd, evidence.call.path);
    evidence.to = path_argument(pid, *call, evidence.call.to_dirfd, evidence.call.to);
  } else {
    // A keeper has a name of its own as soon as it has a command.
    evidence.ours = evidence.program == our_name_ || evidence.program.starts_with(kKeeperName);
  }
  return evidence;
}

}  // namespace sharkcage::sandbox
