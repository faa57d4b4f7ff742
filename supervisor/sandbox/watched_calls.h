// System calls that the kernel judges by itself, whose refusal nobody would see: what changes a
// file's mode, owner, times or attributes on a read-only mount, and execve on one where nothing may
// be executed. They are looked at, recorded and let continue: what is decided on the command's
// memory here is a line in the log, and nothing else.
#pragma once

#include <optional>

#include "supervisor/sandbox/answer.h"
#include "supervisor/sandbox/notify.h"
#include "supervisor/sandbox/path_view.h"
#include "supervisor/sandbox/recorder.h"

namespace sharkcage::sandbox {

class WatchedCalls {
 public:
  WatchedCalls(const PathView& view, Recorder& recorder) : view_(view), recorder_(recorder) {}

  // Nothing for a call that is none of these.
  std::optional<Answer> answer(const Notification& call, const Task& task);

 private:
  void look(const Task& task, const char* operation, unsigned long refusing_mount, int dirfd,
            std::uint64_t address, bool follow);

  const PathView& view_;
  Recorder& recorder_;
};

}  // namespace sharkcage::sandbox
