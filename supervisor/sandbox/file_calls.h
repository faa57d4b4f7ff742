// System calls that make, open for writing, move, link and delete files: carried out by the deputy
// for the command, on its own copy of the path, after a look at what the path really leads to.
#pragma once

#include <optional>
#include <string>

#include "supervisor/sandbox/answer.h"
#include "supervisor/sandbox/deputy_rules.h"
#include "supervisor/sandbox/git_rules.h"
#include "supervisor/sandbox/name_rules.h"
#include "supervisor/sandbox/notify.h"
#include "supervisor/sandbox/path_view.h"
#include "supervisor/sandbox/recorder.h"

namespace sharkcage::sandbox {

class FileCalls {
 public:
  FileCalls(const DeputyRules& rules, const PathView& view, const Listener& listener,
            Recorder& recorder)
      : rules_(rules),
        names_(rules),
        view_(view),
        listener_(listener),
        recorder_(recorder),
        git_(view) {}

  // Nothing for a call that is none of these.
  std::optional<Answer> answer(const Notification& call, const Task& task);

 private:
  Answer open(const Notification& call, const Task& task, int dirfd, std::size_t first, int flags,
              mode_t mode);
  Answer open_existing(const Task& task, const GivenPath& path, int file, int flags);
  Answer open_new(const Task& task, const GivenPath& path, Found& found, int flags, mode_t mode);
  Answer open_terminal(const Task& task, int flags);
  Answer make_directory(const Notification& call, const Task& task, int dirfd, std::size_t first);
  Answer make_node(const Notification& call, const Task& task, int dirfd, std::size_t first);
  Answer make_link(const Notification& call, const Task& task, std::uint64_t text, int dirfd,
                   std::uint64_t address);
  Answer link(const Notification& call, const Task& task, int old_dirfd, std::uint64_t old_address,
              int new_dirfd, std::uint64_t new_address, int flags);
  Answer rename(const Notification& call, const Task& task, int old_dirfd,
                std::uint64_t old_address, int new_dirfd, std::uint64_t new_address,
                unsigned flags);
  Answer remove(const Notification& call, const Task& task, int dirfd, std::size_t first,
                int flags);
  Answer truncate(const Notification& call, const Task& task);

  // 0, or why the name may not be made, written or moved there; recorded.
  int judge(const Task& task, const char* operation, const std::string& real,
            const std::string& meant, const std::string& to = {});
  // The same for a name that is new.
  int judge_new(const Task& task, const char* operation, const Spot& spot, const std::string& meant,
                const std::string& to = {});
  bool outside_of_writable(const std::string& real, int fd) const;
  // The answer for a call that was carried out, with a record if the sandbox is why it failed.
  Answer result(const Task& task, const char* operation, const std::string& real,
                const std::string& meant, int error, const std::string& to = {});
  // The answer for a path that leads nowhere, or whose turn has not come.
  Answer missing(const Task& task, const char* operation, const GivenPath& path, int error,
                 const std::string& target = {}, const std::string& to = {});

  const DeputyRules& rules_;
  const NameRules names_;
  const PathView& view_;
  const Listener& listener_;
  Recorder& recorder_;
  GitRules git_;
};

}  // namespace sharkcage::sandbox
