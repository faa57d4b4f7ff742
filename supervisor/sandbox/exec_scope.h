// What a sandbox shows of /usr when the policy names the programs that may run: those programs, the
// shell, the loader, libraries and data, and nothing else.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "capabilities/policy.h"
#include "supervisor/sandbox/plan.h"

namespace sharkcage::sandbox {

// How this host lays out programs and libraries. Kept by the launcher, looked at again when one of
// the directories changed.
class ExecLayout {
 public:
  // Throws system_error, bad_alloc.
  void refresh();

  // Links in the directories of programs, by the real path of what they lead to.
  const std::map<std::string, std::vector<std::string>>& links() const { return links_; }
  // Directories that the loader searches, without those inside another.
  const std::vector<std::string>& library_directories() const { return library_directories_; }
  // Programs inside the library directories, which have no business there.
  const std::vector<std::string>& stray_programs() const { return stray_programs_; }
  // Real paths of the dynamic loaders and of the shells.
  const std::vector<std::string>& loaders() const { return loaders_; }
  const std::vector<std::string>& shells() const { return shells_; }

 private:
  void find_links();
  void find_libraries();
  void find_strays();

  std::string stamp_;
  std::map<std::string, std::vector<std::string>> links_;
  std::vector<std::string> library_directories_;
  std::vector<std::string> stray_programs_;
  std::vector<std::string> loaders_;
  std::vector<std::string> shells_;
};

// Appends the steps that show /usr as `rule` allows, and to `executable` the paths inside that may
// be executed.
void plan_exec_scope(const ExecRule& rule, const ExecLayout& layout, std::vector<Step>& steps,
                     std::vector<std::string>& executable);

}  // namespace sharkcage::sandbox
