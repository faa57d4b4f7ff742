// Errors that a person reads: what was tried, why it failed, what to do now.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace sharkcage {

// Bad input or a state that the user can mend. `what()` is one paragraph that names the place of
// the fault; `remedy()` is one sentence on what to do, or empty when `what()` says it already.
class UserError : public std::runtime_error {
 public:
  explicit UserError(const std::string& what, std::string remedy = {})
      : std::runtime_error(what), remedy_(std::move(remedy)) {}
  const std::string& remedy() const { return remedy_; }

  // "what. remedy", for places that print a single string.
  std::string full() const;

 private:
  std::string remedy_;
};

// Throws std::system_error for the current `errno`, naming the call and its subject,
// e.g. throw_errno("openat2", path).
[[noreturn]] void throw_errno(std::string_view call, std::string_view subject = {});

// The same for an error number that was returned instead of left in `errno`.
[[noreturn]] void throw_errno(int error, std::string_view call, std::string_view subject = {});

}  // namespace sharkcage
