// How many attempts came to nothing, in memory that the supervisor shares with the egress: what an
// egress that was killed had counted and not told yet is known by number.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/fd.h"

namespace sharkcage::egress {

class RefusedCounts {
 public:
  // Each listener has the place of its id modulo this number.
  static constexpr std::size_t kPlaces = 4096;

  // New ones, zero. Throws system_error.
  RefusedCounts();
  // Those behind a descriptor of another one. Throws system_error, UserError for what is none.
  explicit RefusedCounts(int memory);
  ~RefusedCounts();
  RefusedCounts(const RefusedCounts&) = delete;
  RefusedCounts& operator=(const RefusedCounts&) = delete;

  // A memfd that cannot be made smaller, -1 where it was made by another: nobody who has it can
  // make reading fail.
  int memory() const { return memory_.get(); }

  void add(std::uint64_t listener, std::uint64_t count);
  std::uint64_t at(std::size_t place) const;

 private:
  UniqueFd memory_;
  std::uint64_t* places_ = nullptr;
};

}  // namespace sharkcage::egress
