#include "supervisor/sandbox/facade_inquiry.h"

#include <malloc.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <thread>
#include <utility>

#include "common/errors.h"

namespace sharkcage::sandbox {
namespace {

UniqueFd make_event() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC));
  if (!event) throw_errno("eventfd");
  return event;
}

void signal(const UniqueFd& event) {
  const std::uint64_t one = 1;
  if (::write(event.get(), &one, sizeof one) != sizeof one) throw_errno("write", "an eventfd");
}

void await(const UniqueFd& event) {
  std::uint64_t count = 0;
  while (::read(event.get(), &count, sizeof count) < 0) {
    if (errno != EINTR) throw_errno("read", "an eventfd");
  }
}

}  // namespace

Inquiries::Inquiries(UniqueFd proc)
    : witness_(std::move(proc)), asked_(make_event()), found_(make_event()) {}

void Inquiries::ask(Inquiry inquiry) {
  {
    const std::lock_guard lock(mutex_);
    inquiries_.push_back(std::move(inquiry));
  }
  if (!std::exchange(started_, true)) {
    // An arena of its own for this thread would cost more than all it ever allocates.
    ::mallopt(M_ARENA_MAX, 1);
    std::thread(&Inquiries::look, this).detach();
  }
  signal(asked_);
}

std::vector<Finding> Inquiries::take() {
  await(found_);
  const std::lock_guard lock(mutex_);
  return std::exchange(findings_, {});
}

// An exception ends the process, and so the sandbox.
void Inquiries::look() {
  leave_descriptors();
  for (;;) {
    await(asked_);
    for (;;) {
      std::unique_lock lock(mutex_);
      if (inquiries_.empty()) break;
      Finding finding{std::move(inquiries_.front()), {}};
      inquiries_.pop_front();
      lock.unlock();
      finding.evidence = witness_.look_at(finding.inquiry.pid);
      lock.lock();
      findings_.push_back(std::move(finding));
      lock.unlock();
      signal(found_);
    }
  }
}

void Inquiries::leave_descriptors() const {
  if (::unshare(CLONE_FILES) != 0) throw_errno("unshare", "the descriptors of the facade");
  std::array keep = {witness_.proc(), asked_.get(), found_.get()};
  std::sort(keep.begin(), keep.end());
  unsigned next = STDERR_FILENO + 1;
  for (const int fd : keep) {
    const auto number = static_cast<unsigned>(fd);
    if (number > next && ::close_range(next, number - 1, 0) != 0) throw_errno("close_range");
    next = number + 1;
  }
  if (::close_range(next, ~0u, 0) != 0) throw_errno("close_range");
}

}  // namespace sharkcage::sandbox
