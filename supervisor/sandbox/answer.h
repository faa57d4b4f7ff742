// What the deputy says to a system call that waits.
#pragma once

#include <cstdint>
#include <utility>

#include "common/fd.h"

namespace sharkcage::sandbox {

struct Answer {
  enum class Kind {
    kValue,       // the call's result
    kError,       // an errno
    kDescriptor,  // the result is a descriptor for `fd`
    kContinue,    // the kernel carries it out: only where that enforces nothing
    kLater,       // it cannot be carried out yet (a FIFO without a reader): judge it again
  };
  Kind kind = Kind::kValue;
  std::int64_t value = 0;
  int error = 0;
  UniqueFd fd = {};
  bool close_on_exec = false;
  bool at_once = false;  // of `fd`: ours may be open a moment longer

  static Answer of(std::int64_t value) { return {Kind::kValue, value}; }
  static Answer refused(int error) { return {Kind::kError, 0, error}; }
  static Answer descriptor(UniqueFd fd, bool close_on_exec) {
    return {Kind::kDescriptor, 0, 0, std::move(fd), close_on_exec};
  }
  static Answer go_on() { return {Kind::kContinue}; }
  static Answer later() { return {Kind::kLater}; }
};

}  // namespace sharkcage::sandbox
