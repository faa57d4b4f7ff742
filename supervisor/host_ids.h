// User ids for sandboxes of a privileged supervisor: one a sandbox, none that an account has.
#pragma once

#include <sys/types.h>

#include <set>

namespace sharkcage {

class HostIds {
 public:
  // systemd's table of user ids (UIDS-GIDS.md) gives 524288 … 1879048191 to containers and leaves
  // what is above unassigned, up to the ids that 32-bit programs take for negative.
  static constexpr uid_t kFirst = 1'879'048'192;
  static constexpr uid_t kLast = 2'147'483'646;

  // An id in no use here and in no account of the user database, chosen at random so that two
  // supervisors on one machine hardly ever share one. Throws UserError when none is found.
  uid_t take();
  void give_back(uid_t id) { used_.erase(id); }

 private:
  std::set<uid_t> used_;
};

}  // namespace sharkcage
