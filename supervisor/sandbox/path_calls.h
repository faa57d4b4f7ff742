// What a system call wants to do with the path that it names.
#pragma once

#include <cstdint>
#include <string_view>

namespace sharkcage::sandbox {

struct PathCall {
  std::string_view operation = "read";  // as in `Refusal`
  // The arguments' places, -1: there is none. Paths without `dirfd` begin at the working directory.
  int path = -1;
  int dirfd = -1;
  int to = -1;  // the second path of rename and link
  int to_dirfd = -1;
  bool makes = false;  // the last name of the path (of `to`, if there is one) may be new
};

// `arguments`: six. For a call without a path: `path` is -1.
PathCall path_call(long number, const std::uint64_t* arguments);

}  // namespace sharkcage::sandbox
