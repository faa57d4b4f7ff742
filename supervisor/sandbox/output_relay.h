// What one command writes to stdout and stderr, on its way to its client: counted, and held back
// when the client does not read. The command writes into pipes of ours, so that it holds nothing of
// its client's.
//
// A slow client blocks the command and nobody else: nothing here waits. What arrives is copied, and
// spliced only where a copy could block: splice(2) moves pages, and a command that writes a few
// bytes at a time would fill its client's pipe with 16 nearly empty ones.
#pragma once

#include <poll.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/fd.h"

namespace sharkcage::sandbox {

class OutputRelay {
 public:
  // `out` and `err`: the client's, pipes or Unix stream sockets. `limit`: bytes of both together.
  // Throws system_error.
  OutputRelay(UniqueFd out, UniqueFd err, std::uint64_t limit);

  // What the command gets in their place, once: stdout and stderr. One pipe for both where they are
  // one file of the client's, so that they stay in order.
  std::pair<UniqueFd, UniqueFd> take_ends() { return std::move(ends_); }

  // For a poll loop.
  void add_to(std::vector<pollfd>& events) const;
  void hear(const std::vector<pollfd>& events);

  // The command wrote more than `limit`: the client has got that much, and gets no more.
  // Whoever writes more waits, until `refuse_more`: the writer is told that nobody reads.
  bool over_limit() const { return over_; }
  void refuse_more();

  // The command has returned: what it wrote until now counts for `drained`.
  void note_end();
  // Whether all of that has reached the client, or nobody reads it any more.
  bool drained() const;
  // The client has what the command wrote: it sees the end of its streams now, whoever the command
  // left behind. What those write from now on counts as before and goes nowhere, so that they
  // neither wait for a reader nor are told that there is none.
  void let_go();
  // Whether anything may still come, from what a command left behind.
  bool open() const;

 private:
  struct Stream {
    enum class Kind { kUnknown, kSocket, kPipe, kForeignPipe };
    Kind kind = Kind::kUnknown;
    UniqueFd from;          // our pipe
    UniqueFd to;            // the client's; of kPipe, an open file of our own; none once let go
    std::string rest;       // what was read and not yet written
    bool full = false;      // `to` takes nothing more at the moment
    std::uint64_t in = 0;   // bytes taken from `from`
    std::uint64_t end = 0;  // of `in`, when the command returned
  };

  UniqueFd connect(UniqueFd client);
  void hung_up(Stream& stream);
  void move(Stream& stream);
  void copy(Stream& stream);
  void splice(Stream& stream);
  void write(Stream& stream, const char* data, std::size_t size);
  static void find_kind(Stream& stream);
  static void close(Stream& stream);

  const std::uint64_t limit_;
  std::uint64_t taken_ = 0;
  bool over_ = false;
  std::vector<Stream> streams_;
  std::pair<UniqueFd, UniqueFd> ends_;
};

}  // namespace sharkcage::sandbox
