#include "supervisor/sandbox/output_relay.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/errors.h"

namespace sharkcage::sandbox {
namespace {

// A pipe holds as much unless its size was changed (pipe(7)).
constexpr std::size_t kBlock = 65536;

struct stat status_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw_errno("fstat", "an output of a command");
  return status;
}

}  // namespace

OutputRelay::OutputRelay(UniqueFd out, UniqueFd err, std::uint64_t limit) : limit_(limit) {
  const struct stat first = status_of(out.get());
  const struct stat second = status_of(err.get());
  const bool same = first.st_dev == second.st_dev && first.st_ino == second.st_ino;
  ends_.first = connect(std::move(out));
  if (!same) {
    ends_.second = connect(std::move(err));
    return;
  }
  ends_.second.reset(::fcntl(ends_.first.get(), F_DUPFD_CLOEXEC, 0));
  if (!ends_.second) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
}

UniqueFd OutputRelay::connect(UniqueFd client) {
  auto [read_end, write_end] = make_pipe();
  // An open file is one end's: the command's writes block, as everywhere.
  if (::fcntl(read_end.get(), F_SETFL, O_NONBLOCK) != 0) throw_errno("fcntl", "O_NONBLOCK");
  Stream stream;
  stream.from = std::move(read_end);
  stream.to = std::move(client);
  streams_.push_back(std::move(stream));
  return std::move(write_end);
}

void OutputRelay::add_to(std::vector<pollfd>& events) const {
  for (const Stream& stream : streams_) {
    if (!stream.from) continue;
    if (!stream.full && !over_) events.push_back({stream.from.get(), POLLIN, 0});
    // Without a wish, poll(2) tells that nobody reads any more: then the command learns it too.
    if (stream.to)
      events.push_back({stream.to.get(), static_cast<short>(stream.full ? POLLOUT : 0), 0});
  }
}

void OutputRelay::hear(const std::vector<pollfd>& events) {
  for (const pollfd& event : events) {
    if (event.revents == 0) continue;
    for (Stream& stream : streams_) {
      if (!stream.from) continue;
      const bool client = stream.to && event.fd == stream.to.get();
      if (client && (event.revents & (POLLERR | POLLHUP)) != 0) {
        close(stream);
      } else if (client) {
        stream.full = false;
        const std::string rest = std::move(stream.rest);
        stream.rest.clear();
        if (!rest.empty()) write(stream, rest.data(), rest.size());
      } else if (event.fd == stream.from.get() && (event.revents & POLLIN) == 0) {
        hung_up(stream);
      } else if (event.fd == stream.from.get() && !stream.full) {
        move(stream);
      }
    }
  }
}

// Nobody can write any more. poll(2) looks for data before it looks for writers: what came between
// the two, with the end of the last of them, it does not tell (pipe_poll in fs/pipe.c).
void OutputRelay::hung_up(Stream& stream) {
  int left = 0;
  if (::ioctl(stream.from.get(), FIONREAD, &left) == 0 && left == 0) return close(stream);
  if (!stream.full) move(stream);
}

void OutputRelay::refuse_more() {
  for (Stream& stream : streams_) {
    if (stream.from && !stream.full) close(stream);
  }
}

// Once poll(2) or FIONREAD said that there is something, or its end.
void OutputRelay::move(Stream& stream) {
  if (stream.kind == Stream::Kind::kUnknown && stream.to) find_kind(stream);
  if (stream.kind == Stream::Kind::kForeignPipe && stream.to && taken_ < limit_) {
    splice(stream);
  } else {
    copy(stream);
  }
}

// Whether a pipe of the client's blocks is a flag that the client shares, so that we need an open
// file of our own. That can fail: a pipe belongs to whoever made it.
void OutputRelay::find_kind(Stream& stream) {
  if (S_ISSOCK(status_of(stream.to.get()).st_mode)) {
    stream.kind = Stream::Kind::kSocket;
    return;
  }
  const std::string path = "/proc/self/fd/" + std::to_string(stream.to.get());
  UniqueFd own(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  stream.kind = own ? Stream::Kind::kPipe : Stream::Kind::kForeignPipe;
  if (own) stream.to = std::move(own);
}

void OutputRelay::copy(Stream& stream) {
  static char block[kBlock];
  const ssize_t got = ::read(stream.from.get(), block, sizeof block);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close(stream);
  auto size = static_cast<std::size_t>(got);
  stream.in += size;
  if (size > limit_ - taken_) {
    size = static_cast<std::size_t>(limit_ - taken_);
    over_ = true;
  }
  taken_ += size;
  if (size > 0 && stream.to) write(stream, block, size);
}

void OutputRelay::splice(Stream& stream) {
  const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(kBlock, limit_ - taken_));
  const ssize_t moved = ::splice(stream.from.get(), nullptr, stream.to.get(), nullptr, most,
                                 SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (moved < 0 && errno == EINTR) return;
  stream.full = moved < 0 && errno == EAGAIN;
  if (stream.full) return;
  if (moved <= 0) return close(stream);
  stream.in += static_cast<std::uint64_t>(moved);
  taken_ += static_cast<std::uint64_t>(moved);
}

// What `to` does not take is kept.
void OutputRelay::write(Stream& stream, const char* data, std::size_t size) {
  const int to = stream.to.get();
  ssize_t written = stream.kind == Stream::Kind::kSocket
                        ? ::send(to, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                        : ::write(to, data, size);
  if (written < 0 && errno != EAGAIN && errno != EINTR) return close(stream);
  written = std::max<ssize_t>(written, 0);
  stream.rest.assign(data + written, size - static_cast<std::size_t>(written));
  stream.full = !stream.rest.empty();
}

// The client sees the end of its stream, the command that nobody reads (SIGPIPE).
void OutputRelay::close(Stream& stream) {
  stream.from.reset();
  stream.to.reset();
  stream.rest.clear();
  stream.full = false;
}

void OutputRelay::note_end() {
  for (Stream& stream : streams_) {
    int left = 0;
    if (!stream.from || ::ioctl(stream.from.get(), FIONREAD, &left) != 0) continue;
    stream.end = stream.in + static_cast<std::uint64_t>(left);
    while (stream.from && !stream.full && stream.in < stream.end) move(stream);
  }
}

bool OutputRelay::drained() const {
  return std::all_of(streams_.begin(), streams_.end(), [](const Stream& stream) {
    return !stream.from || (!stream.full && stream.in >= stream.end);
  });
}

void OutputRelay::let_go() {
  for (Stream& stream : streams_) {
    stream.to.reset();
    stream.rest.clear();
    stream.full = false;
  }
}

bool OutputRelay::open() const {
  return std::any_of(streams_.begin(), streams_.end(),
                     [](const Stream& stream) { return static_cast<bool>(stream.from); });
}

}  // namespace sharkcage::sandbox
