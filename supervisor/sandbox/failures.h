// What went wrong in making a sandbox, in words for a person, with what to do about it.
#pragma once

#include <stdexcept>
#include <string>

#include "supervisor/sandbox/mounts.h"

namespace sharkcage::sandbox {

class Failed : public std::runtime_error {
 public:
  Failed(const std::string& what, int error, std::string remedy);
  explicit Failed(const Failure& failure);

  int error() const { return error_; }
  const std::string& remedy() const { return remedy_; }

 private:
  int error_;
  std::string remedy_;
};

// Why this host refused new namespaces with `error`, and the remedy.
std::string namespaces_remedy(int error);

}  // namespace sharkcage::sandbox
