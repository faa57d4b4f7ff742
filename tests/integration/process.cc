#include "tests/integration/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "common/errors.h"

namespace sharkcage::testing {
namespace {

constexpr int kPatienceMs =
    static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience).count());

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (auto& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// True while more may come.
bool read_into(int fd, std::string& text) {
  std::array<char, 65536> block;
  const ssize_t got = ::read(fd, block.data(), block.size());
  if (got < 0 && errno == EINTR) return true;
  if (got <= 0) return false;
  text.append(block.data(), static_cast<std::size_t>(got));
  return true;
}

int shell_status(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

void wait_readable(int fd, std::string_view what) {
  pollfd wanted{fd, POLLIN, 0};
  int ready;
  do {
    ready = ::poll(&wanted, 1, kPatienceMs);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) throw_errno("poll", what);
  if (ready == 0) throw std::runtime_error("nothing came: " + std::string(what));
}

void wait_until_gone(pid_t pid) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) {
    if (errno == ESRCH) return;
    throw_errno("pidfd_open");
  }
  wait_readable(process.get(), "the end of process " + std::to_string(pid));
}

bool is_alive(pid_t pid) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended{process.get(), POLLIN, 0};
  return process && ::poll(&ended, 1, 0) == 0;
}

Process::Process(const std::vector<std::string>& argv, const Options& options) {
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  auto [err_read, err_write] = make_pipe();
  std::vector<std::string> arguments = argv;
  std::vector<std::string> variables;
  for (const auto& [name, value] : options.environment) variables.push_back(name + "=" + value);
  auto argument_list = pointers(arguments);
  auto variable_list = pointers(variables);
  pid_ = ::fork();
  if (pid_ < 0) throw_errno("fork");
  if (pid_ == 0) {
    if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(127);
    ::dup2(in_read.get(), STDIN_FILENO);
    ::dup2(out_write.get(), STDOUT_FILENO);
    ::dup2(err_write.get(), STDERR_FILENO);
    if (options.before_exec) options.before_exec();
    ::execvpe(argument_list[0], argument_list.data(), variable_list.data());
    ::_exit(127);
  }
  in_ = std::move(in_write);
  out_ = std::move(out_read);
  err_ = std::move(err_read);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      in_(std::move(other.in_)),
      out_(std::move(other.out_)),
      err_(std::move(other.err_)),
      output_(std::move(other.output_)) {}

Process::~Process() {
  kill_and_reap();
}

void Process::kill_and_reap() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void Process::signal(int number) const {
  if (::kill(pid_, number) != 0) throw_errno("kill");
}

std::string Process::wait_for(std::string_view text) {
  while (output_.out.find(text) == std::string::npos) {
    wait_readable(out_.get(), "\"" + std::string(text) + "\" after: " + output_.out);
    if (read_into(out_.get(), output_.out)) continue;
    while (read_into(err_.get(), output_.err)) {
    }
    throw std::runtime_error("the program never wrote \"" + std::string(text) + "\" but:\n" +
                             output_.out + output_.err);
  }
  return output_.out;
}

Output Process::finish() {
  in_.reset();
  while (out_ || err_) {
    std::array<pollfd, 2> wanted = {{{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
    const int ready = ::poll(wanted.data(), wanted.size(), kPatienceMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) throw std::runtime_error("a program hangs after: " + output_.out + output_.err);
    if (wanted[0].revents != 0 && !read_into(out_.get(), output_.out)) out_.reset();
    if (wanted[1].revents != 0 && !read_into(err_.get(), output_.err)) err_.reset();
  }
  wait_until_gone(pid_);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  output_.status = shell_status(status);
  return output_;
}

std::string in_child(const std::function<std::string()>& body) {
  auto [read_end, write_end] = make_pipe();
  const pid_t child = ::fork();
  if (child < 0) throw_errno("fork");
  if (child == 0) {
    std::string answer;
    try {
      answer = body();
    } catch (const std::exception& error) {
      answer = std::string("threw: ") + error.what();
    }
    write_all(write_end.get(), answer);
    ::_exit(0);
  }
  write_end.reset();
  std::string answer;
  do {
    wait_readable(read_end.get(), "the answer of a child");
  } while (read_into(read_end.get(), answer));
  ::waitpid(child, nullptr, 0);
  return answer;
}

std::vector<pid_t> processes_with(std::string_view marker, std::string_view except) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "cmdline");
    std::string line;
    std::getline(file, line, '\xff');  // unlike iterators, no exception for one that has just gone
    if (line.find(marker) == std::string::npos) continue;
    const std::string program = std::filesystem::path(line.substr(0, line.find('\0'))).filename();
    if (!except.empty() && program == except) continue;
    found.push_back(static_cast<pid_t>(std::stol(name)));
  }
  return found;
}

}  // namespace sharkcage::testing
