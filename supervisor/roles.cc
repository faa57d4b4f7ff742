#include "supervisor/roles.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace sharkcage {
namespace {

struct Account {
  std::string name;
  std::vector<gid_t> groups;
};

Account account_of(uid_t uid) {
  Account account;
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return account;
  }
  account.name = found->pw_name;
  int count = 256;
  account.groups.resize(static_cast<std::size_t>(count));
  if (::getgrouplist(found->pw_name, found->pw_gid, account.groups.data(), &count) < 0) count = 0;
  account.groups.resize(static_cast<std::size_t>(count));
  return account;
}

bool listed(const Peers& peers, uid_t uid, const Account& account) {
  const auto is_user = [&](const std::string& user) {
    return user == std::to_string(uid) || (!account.name.empty() && user == account.name);
  };
  const auto is_member = [&](const std::string& group) {
    std::vector<char> buffer(16384);
    ::group entry{};
    ::group* found = nullptr;
    if (::getgrnam_r(group.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
        found == nullptr) {
      return false;
    }
    return std::find(account.groups.begin(), account.groups.end(), found->gr_gid) !=
           account.groups.end();
  };
  return std::any_of(peers.users.begin(), peers.users.end(), is_user) ||
         std::any_of(peers.groups.begin(), peers.groups.end(), is_member);
}

}  // namespace

Roles roles_of(const Peer& peer, const Config& config, bool privileged) {
  if (!peer.same_namespaces) return {};
  if (!privileged) {
    const bool same = peer.uid == ::geteuid();
    return {same, same};
  }
  if (peer.uid == 0) return {true, true};
  const Account account = account_of(peer.uid);
  return {listed(config.hosts, peer.uid, account), listed(config.operators, peer.uid, account)};
}

}  // namespace sharkcage
