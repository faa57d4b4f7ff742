#include "supervisor/sandbox/notify.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/errors.h"
#include "supervisor/sandbox/syscalls.h"

namespace sharkcage::sandbox {
namespace {

std::vector<std::uint64_t> space_for(std::size_t kernel, std::size_t ours) {
  return std::vector<std::uint64_t>((std::max(kernel, ours) + 7) / 8);
}

}  // namespace

Listener::Listener(UniqueFd fd) : fd_(std::move(fd)) {
  // The structures grow with the kernel.
  seccomp_notif_sizes sizes{};
  if (::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0) {
    throw_errno("seccomp", "SECCOMP_GET_NOTIF_SIZES");
  }
  request_ = space_for(sizes.seccomp_notif, sizeof(seccomp_notif));
  response_ = space_for(sizes.seccomp_notif_resp, sizeof(seccomp_notif_resp));
  // EINVAL, ENOTTY: an older kernel, where it only takes longer.
  ::ioctl(fd_.get(), sys::kNotifSetFlags, sys::kNotifSyncWakeUp);
}

bool Listener::receive(Notification& notification) {
  std::fill(request_.begin(), request_.end(), 0);
  auto* request = reinterpret_cast<seccomp_notif*>(request_.data());
  if (::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_RECV, request) != 0) {
    if (errno == ENOENT || errno == EINTR) return false;
    throw_errno("ioctl", "SECCOMP_IOCTL_NOTIF_RECV");
  }
  notification.id = request->id;
  notification.tid = static_cast<pid_t>(request->pid);
  notification.call = request->data.nr;
  std::copy(std::begin(request->data.args), std::end(request->data.args),
            notification.args.begin());
  return true;
}

bool Listener::valid(const Notification& notification) const {
  return ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &notification.id) == 0;
}

void Listener::answer(const Notification& notification, std::int64_t value) const {
  send(notification, value, 0, 0);
}

void Listener::refuse(const Notification& notification, int error) const {
  send(notification, 0, -error, 0);
}

void Listener::let_continue(const Notification& notification) const {
  send(notification, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

void Listener::send(const Notification& notification, std::int64_t value, int error,
                    unsigned flags) const {
  auto response = response_;
  auto* message = reinterpret_cast<seccomp_notif_resp*>(response.data());
  message->id = notification.id;
  message->val = value;
  message->error = error;
  message->flags = flags;
  // ENOENT: the task was killed meanwhile.
  if (::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, message) != 0 && errno != ENOENT) {
    throw_errno("ioctl", "SECCOMP_IOCTL_NOTIF_SEND");
  }
}

int Listener::give(const Notification& notification, UniqueFd fd, bool close_on_exec,
                   bool at_once) const {
  seccomp_notif_addfd addition{};
  addition.id = notification.id;
  addition.srcfd = static_cast<std::uint32_t>(fd.get());
  addition.newfd_flags = close_on_exec ? O_CLOEXEC : 0;
  // With this flag the task goes on before we can close ours.
  if (at_once) addition.flags = SECCOMP_ADDFD_FLAG_SEND;
  const int number = ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &addition);
  const int error = errno;
  fd.reset();
  if (number < 0) return error == ENOENT ? 0 : error;  // ENOENT: the task was killed meanwhile
  if (!at_once) answer(notification, number);
  return 0;
}

}  // namespace sharkcage::sandbox
