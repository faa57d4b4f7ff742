#include "supervisor/sandbox/smoke_test.h"

namespace sharkcage::sandbox {

bool can_sandbox(const std::vector<Facility>& facilities) {
  for (const Facility& facility : facilities) {
    if (facility.required && !facility.ok) return false;
  }
  return true;
}

}  // namespace sharkcage::sandbox
