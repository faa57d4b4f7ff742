// Where the deputy writes down what it refused, with who tried it.
#pragma once

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "supervisor/sandbox/refusals.h"
#include "supervisor/sandbox/task.h"

namespace sharkcage::sandbox {

class Recorder {
 public:
  explicit Recorder(RefusalCounter& counter) : counter_(counter) {}

  // See `Refusal` for `operation`, `target` and `to`.
  void add(const Task& task, const char* operation, std::string target, std::string to = {},
           bool hidden = false) {
    const TaskStatus status = task.status();
    Refusal refusal;
    refusal.operation = operation;
    refusal.target = std::move(target);
    refusal.to = std::move(to);
    refusal.pid = status.pid;
    refusal.program = task.program();
    refusal.command = status.session;
    refusal.first_us = microseconds_since_1970();
    refusal.hidden = hidden;
    pending_.push_back({task, std::move(refusal)});
  }

  // To be called after that, when no turn is held any more, which others wait for: to find out
  // whose command it was takes as long as a task has ancestors. The task still waits.
  void finish() {
    for (auto& [task, refusal] : pending_) {
      refusal.command = task.command(refusal.command, keeper_);
      table_.add(std::move(refusal));
      counter_.increment();
    }
    pending_.clear();
  }

  RefusalTable& table() { return table_; }

 private:
  RefusalCounter& counter_;
  std::atomic<pid_t> keeper_ = 0;  // the last one that was seen
  std::vector<std::pair<Task, Refusal>> pending_;
  RefusalTable table_;
};

}  // namespace sharkcage::sandbox
