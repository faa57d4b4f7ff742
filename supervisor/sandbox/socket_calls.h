// bind, connect and sendto: carried out by the deputy on the command's own socket, with its own
// copy of the address. A Unix socket is reached only if it was bound in this sandbox or its path
// was granted, an abstract one never. A TCP connection to what the policy approves is caught
// (catcher.h), if the program may have one (program_gate.h); other addresses than the sandbox's own
// are refused and recorded.
#pragma once

#include <sys/socket.h>

#include <deque>
#include <optional>
#include <string>

#include "supervisor/sandbox/answer.h"
#include "supervisor/sandbox/catcher.h"
#include "supervisor/sandbox/deputy_rules.h"
#include "supervisor/sandbox/name_rules.h"
#include "supervisor/sandbox/notify.h"
#include "supervisor/sandbox/path_view.h"
#include "supervisor/sandbox/program_gate.h"
#include "supervisor/sandbox/recorder.h"

namespace sharkcage::sandbox {

class SocketCalls {
 public:
  // The working directory of this process must be `view.self()`.
  SocketCalls(const DeputyRules& rules, Catcher& catcher, const ProgramGate& gate,
              const PathView& view, const Listener& listener, Recorder& recorder)
      : rules_(rules),
        names_(rules),
        catcher_(catcher),
        gate_(gate),
        view_(view),
        listener_(listener),
        recorder_(recorder) {}

  // Nothing for a call that is none of these.
  std::optional<Answer> answer(const Notification& call, const Task& task);

 private:
  // As the command gave it, once.
  struct Address {
    sockaddr_storage bytes{};
    socklen_t size = 0;
    int family() const { return size < sizeof(sa_family_t) ? AF_UNSPEC : bytes.ss_family; }
    const sockaddr* raw() const { return reinterpret_cast<const sockaddr*>(&bytes); }
    // Of a Unix socket: its path, or empty; "@name" of an abstract one.
    std::string unix_path() const;
    std::string abstract() const;
  };
  // What a path of a Unix socket is looked up from.
  struct Bound {
    dev_t device;
    ino_t inode;
    UniqueFd held;  // so that the inode's number is not given to another file
  };

  Answer bind(const Notification& call, const Task& task);
  Answer connect(const Notification& call, const Task& task);
  Answer bind_path(const Task& task, int socket, const Address& address);
  int bind_in(const Spot& spot, const GivenPath& path, int socket) const;
  Answer connect_path(const Task& task, int socket, const Address& address);
  Answer connect_internet(const Notification& call, const Task& task, UniqueFd held,
                          const Address& address,
                          const std::pair<sharkcage::Address, unsigned>& given);
  std::optional<Answer> stop_program(const Notification& call, const Task& task,
                                     const Meaning& meaning);
  Answer connect_address(int socket, const Address& address) const;
  static int copy_address(const Task& task, std::uint64_t from, std::uint64_t size,
                          Address& address);
  void look_at_datagram(const Notification& call, const Task& task, const Address& address);
  GivenPath given(const Task& task, const std::string& text) const;
  void remember(int socket);
  bool is_reachable(int file, const std::string& real) const;

  const DeputyRules& rules_;
  const NameRules names_;
  Catcher& catcher_;
  const ProgramGate& gate_;
  const PathView& view_;
  const Listener& listener_;
  Recorder& recorder_;
  std::deque<Bound> bound_;
};

}  // namespace sharkcage::sandbox
