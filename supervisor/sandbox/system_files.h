// The parts of the host's system that every sandbox shows beside /usr: a filtered /etc and the
// names at the top (/bin, /lib …). Read once and kept by the launcher, as they rarely change.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace sharkcage::sandbox {

class SystemFiles {
 public:
  // A small file whose content every sandbox gets as a copy: that is cheaper than a mount.
  struct Copy {
    std::string path;  // relative to the root, "etc/services"
    std::string content;
    struct stat status {};
  };

  // Looks at the host again, if the last look is older than a second: what was read then is read
  // anew if it changed. Throws system_error, bad_alloc.
  void refresh();

  const std::vector<Copy>& copies() const { return copies_; }
  // Directories of /etc that are shown as they are, relative to the root.
  const std::vector<std::string>& directories() const { return directories_; }
  // Symbolic links: {path relative to the root, text}.
  const std::vector<std::pair<std::string, std::string>>& links() const { return links_; }
  // /bin, /sbin, /lib, … where they are directories of their own and not links into /usr.
  const std::vector<std::string>& top_directories() const { return top_directories_; }

 private:
  void look_at_file(const std::string& path, std::vector<Copy>& copies);

  std::chrono::steady_clock::time_point looked_{};
  std::vector<Copy> copies_;
  std::vector<std::string> directories_;
  std::vector<std::pair<std::string, std::string>> links_;
  std::vector<std::string> top_directories_;
};

}  // namespace sharkcage::sandbox
