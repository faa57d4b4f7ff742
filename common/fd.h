// File descriptors: ownership, whole reads and writes, passing over Unix sockets.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sharkcage {

// Owns one descriptor, or none (-1). Closes it on destruction.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// The most descriptors that one message carries here (a command's image, its gate, stdin, stdout, stderr).
inline constexpr std::size_t kMaxPassedFds = 5;

// A connected pair, close-on-exec. `type` is SOCK_STREAM or SOCK_SEQPACKET. Throws system_error.
std::pair<UniqueFd, UniqueFd> make_socketpair(int type);

// A pipe, close-on-exec: {read end, write end}. Throws system_error.
std::pair<UniqueFd, UniqueFd> make_pipe();

// Sends `data` in one sendmsg with `fds` attached (unix(7), SCM_RIGHTS). Returns the bytes sent, or
// -1 with errno. Never raises SIGPIPE.
ssize_t send_with_fds(int socket, std::string_view data, std::span<const int> fds, int flags = 0);

// Receives up to `size` bytes and appends descriptors that came with them to `fds`, close-on-exec.
// Returns the bytes received, 0 at end of file, or -1 with errno. EMSGSIZE: more descriptors came
// than `kMaxPassedFds`, or the message was cut; everything received is closed again.
ssize_t recv_with_fds(int socket, char* data, std::size_t size, std::vector<UniqueFd>& fds,
                      int flags = 0);

// Writes all of `data`, retrying on EINTR and short writes. Throws system_error.
void write_all(int fd, std::string_view data);

// Reads a whole file of at most `max` bytes. Throws system_error, or UserError when it is larger.
std::string read_file(const std::string& path, std::size_t max);
std::string read_fd(int fd, std::size_t max, std::string_view name);

// Replaces `path` by `data` as a whole (temporary file, fsync, rename, fsync of the directory).
// Throws system_error.
void write_file_atomically(const std::string& path, std::string_view data, mode_t mode);

}  // namespace sharkcage
