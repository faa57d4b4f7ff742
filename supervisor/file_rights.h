// Rights on the file system of another user, for this thread.
#pragma once

#include <sys/types.h>

namespace sharkcage {

// credentials(7): leaving uid 0 also takes CAP_DAC_OVERRIDE and its kind out of the effective set.
// There are no supplementary groups (main.cc). With `privileged` false nothing changes. Throws
// UserError when the rights cannot be taken on.
class FileRights {
 public:
  FileRights(uid_t uid, gid_t gid, bool privileged);
  ~FileRights();
  FileRights(const FileRights&) = delete;
  FileRights& operator=(const FileRights&) = delete;

 private:
  bool changed_;
  int gid_ = 0;
  int uid_ = 0;
};

}  // namespace sharkcage
