// Where the deputy writes down what it refused, with who tried it.
#pragma once

#include <atomic>
#include <string>

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
    refusal.command = task.command(status.session, keeper_);
    refusal.first_us = microseconds_since_1970();
    refusal.hidden = hidden;
    table_.add(std::move(refusal));
    counter_.increment();
  }

  RefusalTable& table() { return table_; }

 private:
  RefusalCounter& counter_;
  std::atomic<pid_t> keeper_ = 0;  // the last one that was seen
  RefusalTable table_;
};

}  // namespace sharkcage::sandbox
