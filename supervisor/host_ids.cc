#include "supervisor/host_ids.h"

#include <pwd.h>

#include <random>
#include <vector>

#include "common/errors.h"

namespace sharkcage {
namespace {

constexpr int kTries = 64;

bool has_account(uid_t id) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  return ::getpwuid_r(id, &entry, buffer.data(), buffer.size(), &found) != 0 || found != nullptr;
}

}  // namespace

uid_t HostIds::take() {
  std::random_device source;
  std::uniform_int_distribution<uid_t> any(kFirst, kLast);
  for (int i = 0; i < kTries; ++i) {
    const uid_t id = any(source);
    if (used_.contains(id) || has_account(id)) continue;
    used_.insert(id);
    return id;
  }
  throw UserError("No unused user id was found for a sandbox",
                  "The user database seems to answer for every id; check nsswitch.conf.");
}

}  // namespace sharkcage
