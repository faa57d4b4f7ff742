#include "common/errors.h"

#include <cerrno>
#include <system_error>

namespace sharkcage {

std::string UserError::full() const {
  std::string text = what();
  if (remedy_.empty()) return text;
  if (!text.empty() && text.back() != '.' && text.back() != '\n') text += '.';
  return text + ' ' + remedy_;
}

void throw_errno(std::string_view call, std::string_view subject) {
  throw_errno(errno, call, subject);
}

void throw_errno(int error, std::string_view call, std::string_view subject) {
  std::string what(call);
  if (!subject.empty()) what.append(" ").append(subject);
  throw std::system_error(error, std::system_category(), what);
}

}  // namespace sharkcage
