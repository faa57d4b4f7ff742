// What a client sends to a command through a socket. A socket goes both ways and takes descriptors:
// the command gets a pipe of ours in its place, so that it has no way out beside the counted ones
// (output_relay.h). Nothing here waits.
#pragma once

#include <poll.h>

#include <string>
#include <utility>
#include <vector>

#include "common/fd.h"

namespace sharkcage::sandbox {

class InputRelay {
 public:
  // Whether this is a socket: a pipe is passed on as it is.
  static bool is_needed(int client);
  // Throws system_error.
  explicit InputRelay(UniqueFd client);

  // What the command reads from, once.
  UniqueFd take_end() { return std::move(end_); }

  // For a poll loop.
  void add_to(std::vector<pollfd>& events) const;
  void hear(const std::vector<pollfd>& events);

 private:
  void read();
  void write();

  UniqueFd from_;     // the client's; none at its end of file
  UniqueFd to_;       // our pipe; none when nobody reads it, or everything has gone
  UniqueFd end_;      // its other end, until it is taken
  std::string rest_;  // what was read and not yet written
};

}  // namespace sharkcage::sandbox
