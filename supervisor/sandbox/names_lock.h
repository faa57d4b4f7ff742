// Names that sandboxes share are looked at and changed by one deputy after the other: what one has
// seen is still so when it acts.
//
// One file in memory a supervisor, of which each deputy locks a byte for as long as it takes, that
// of the file system in question (fcntl_locking(2), "Open file description locks"). The kernel
// takes the lock from a deputy that ends. No command can open the file. Single thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/fd.h"

namespace sharkcage::sandbox {

// For the launcher. Throws system_error.
UniqueFd make_names_lock();

class NamesLock {
 public:
  // `file`: opened for this process alone; forked ones that share it share their locks.
  explicit NamesLock(UniqueFd file) : file_(std::move(file)) {}

 private:
  struct Place {
    off_t byte = 0;
    int turns = 0;
    std::optional<std::chrono::steady_clock::time_point> refused_since;
  };

 public:
  // Gives the lock back when it goes.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&& other) noexcept
        : lock_(std::exchange(other.lock_, nullptr)), place_(other.place_) {}
    Turn& operator=(Turn&& other) noexcept;
    ~Turn() { end(); }
    void end();

   private:
    friend class NamesLock;
    Turn(NamesLock* lock, Place* place) : lock_(lock), place_(place) {}
    NamesLock* lock_ = nullptr;
    Place* place_ = nullptr;
  };

  // What is on this device is nobody else's: no turn is needed there.
  void leave_out(dev_t device) { own_.insert(device); }

  // For the file system that `directory` is on; several at once, too. 0; EAGAIN while another
  // deputy has it; EBUSY when one has had it for so long that it must hang.
  int take(int directory, Turn& turn);

 private:
  Place& place_of(int directory, dev_t device);
  bool set(const Place& place, short kind) const;

  UniqueFd file_;
  std::set<dev_t> own_;
  std::map<dev_t, Place*> places_;
  std::map<off_t, Place> bytes_;
};

}  // namespace sharkcage::sandbox
