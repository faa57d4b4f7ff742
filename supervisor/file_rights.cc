#include "supervisor/file_rights.h"

#include <sys/fsuid.h>

#include <string>

#include "common/errors.h"

namespace sharkcage {

FileRights::FileRights(uid_t uid, gid_t gid, bool privileged) : changed_(privileged) {
  if (!changed_) return;
  gid_ = ::setfsgid(gid);
  uid_ = ::setfsuid(uid);
  if (static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))) == uid) return;
  ::setfsgid(static_cast<gid_t>(gid_));
  throw UserError("The file system rights of user id " + std::to_string(uid) +
                  " cannot be taken on");
}

FileRights::~FileRights() {
  if (!changed_) return;
  ::setfsuid(static_cast<uid_t>(uid_));
  ::setfsgid(static_cast<gid_t>(gid_));
}

}  // namespace sharkcage
