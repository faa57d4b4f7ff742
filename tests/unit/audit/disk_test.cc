// Disks that take their time, and that fail: what the log asks of the disk is held up or answered
// with an error, by the kernel (seccomp_unotify(2)).
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <future>
#include <mutex>
#include <thread>

#include "common/errors.h"
#include "common/fd.h"
#include "instance.h"

namespace sharkcage::audit {
namespace {

using namespace std::chrono_literals;

class Disk {
 public:
  // Runs `use` on a thread of its own; this is its disk, and that of the threads that it makes.
  template <typename Use>
  std::future<void> give_to(Use use) {
    std::promise<int> filtered;
    std::future<int> listener = filtered.get_future();
    auto over = std::async(std::launch::async, [&filtered, use] {
      filtered.set_value(ask_of_this_thread());
      use();
    });
    listener_.reset(listener.get());
    if (!listener_) throw_errno("seccomp");
    server_ = std::thread([this] { serve(); });
    return over;
  }
  ~Disk() {
    release();
    if (server_.joinable()) server_.join();
  }

  // From now on nothing that it is asked to write is written, until `release`.
  void hold() { set(&Disk::held_, true); }
  void release() { set(&Disk::held_, false); }
  // From now on beginning to write fails.
  void fail() { set(&Disk::failing_, true); }

 private:
  static int ask_of_this_thread() {
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fdatasync, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sync_file_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{std::size(code), code};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                      SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
  }

  void set(bool Disk::*what, bool value) {
    const std::lock_guard lock(mutex_);
    this->*what = value;
    changed_.notify_all();
  }

  // Until none of its threads is left.
  void serve() {
    for (;;) {
      pollfd event{listener_.get(), POLLIN, 0};
      if (::poll(&event, 1, -1) < 0 || (event.revents & POLLIN) == 0) return;
      seccomp_notif asked{};
      if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) continue;
      seccomp_notif_resp answer{};
      answer.id = asked.id;
      std::unique_lock lock(mutex_);
      if (asked.data.nr == SYS_sync_file_range && failing_) {
        answer.error = -EIO;
      } else {
        changed_.wait(lock, [&] { return !held_; });
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
      }
      ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
  }

  UniqueFd listener_;
  std::thread server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;
  bool failing_ = false;
};

// A record is seen before it is sealed while the disk works: that is no forger's.
TEST(AuditDisk, ASlowOneIsNotTakenForTampering) {
  const Instance instance;
  Disk disk;
  std::promise<void> held;
  std::promise<void> seen;
  const auto written = disk.give_to([&] {
    Log log(instance.places());
    log.append_and_wait(Instance::record(1));
    disk.hold();
    log.append(Instance::record(2), nullptr);
    held.set_value();
    seen.get_future().wait();
    log.close();
  });
  held.get_future().wait();
  while (instance.read().size() < 2) std::this_thread::yield();
  auto verified = std::async(std::launch::async, [&] { return verify(instance.places()); });
  EXPECT_EQ(verified.wait_for(1s), std::future_status::timeout);
  disk.release();
  const Verification result = verified.get();
  EXPECT_TRUE(result.ok()) << result.to_json();
  EXPECT_EQ(result.records, 2u);
  seen.set_value();
  written.wait();
}

// Not every file system tells it once more when it is asked to wait.
TEST(AuditDisk, WhatFailsAtOnceIsNotAcknowledged) {
  const Instance instance;
  Disk disk;
  auto written = disk.give_to([&] {
    Log log(instance.places());
    log.append_and_wait(Instance::record(1));
    disk.fail();
    EXPECT_THROW(log.append_and_wait(Instance::record(2)), LogError);
    EXPECT_THROW(log.append_and_wait(Instance::record(3)), LogError);
    EXPECT_EQ(log.head().seq, 1u);
  });
  written.get();
  Log(instance.places()).close();
  EXPECT_TRUE(instance.verified().ok());
}

}  // namespace
}  // namespace sharkcage::audit
