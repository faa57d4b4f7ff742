#include "supervisor/sessions.h"

#include <algorithm>

#include "common/errors.h"

namespace sharkcage {

const Session& Sessions::open(Session session) {
  const auto found = sessions_.find(session.key);
  if (found != sessions_.end() && found->second.owner != session.owner) {
    throw UserError("The session \"" + session.key + "\" belongs to another user");
  }
  if (found == sessions_.end()) {
    if (sessions_.size() >= kMaxSessions) {
      sessions_.erase(order_.front());
      order_.pop_front();
    }
    order_.push_back(session.key);
  }
  const std::string key = session.key;
  return sessions_[key] = std::move(session);
}

void Sessions::close(uid_t owner, const std::string& key) {
  if (find(owner, key) == nullptr) return;
  sessions_.erase(key);
  order_.remove(key);
}

const Session* Sessions::find(uid_t owner, const std::string& key) const {
  const auto found = sessions_.find(key);
  return found != sessions_.end() && found->second.owner == owner ? &found->second : nullptr;
}

bool Sessions::uses(uid_t owner, const std::string& warm_scope) const {
  return std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& entry) {
    return entry.second.owner == owner && entry.second.warm_scope() == warm_scope;
  });
}

void Sessions::note_read(const std::string& session, const std::string& run,
                         const std::string& skill) {
  const Run key{session, run};
  const auto [place, inserted] = runs_.insert_or_assign(key, skill);
  if (!inserted) return;
  run_order_.push_back(key);
  if (run_order_.size() > kMaxRuns) {
    runs_.erase(run_order_.front());
    run_order_.pop_front();
  }
}

std::string Sessions::last_read(const std::string& session, const std::string& run) const {
  const auto found = runs_.find({session, run});
  return found == runs_.end() ? std::string() : found->second;
}

}  // namespace sharkcage
