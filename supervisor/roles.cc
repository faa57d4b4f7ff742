#include "supervisor/roles.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
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

std::optional<gid_t> id_of_group(const std::string& name) {
  std::vector<char> buffer(16384);
  ::group entry{};
  ::group* found = nullptr;
  if (::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr) {
    return std::nullopt;
  }
  return found->gr_gid;
}

bool is_user(const std::string& name) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  return ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == 0 &&
         found != nullptr;
}

bool listed(const Peers& peers, uid_t uid, const Account& account) {
  const auto is_the_user = [&](const std::string& user) {
    return user == std::to_string(uid) || (!account.name.empty() && user == account.name);
  };
  const auto is_member = [&](const std::string& group) {
    const auto id = id_of_group(group);
    return id &&
           std::find(account.groups.begin(), account.groups.end(), *id) != account.groups.end();
  };
  return std::any_of(peers.users.begin(), peers.users.end(), is_the_user) ||
         std::any_of(peers.groups.begin(), peers.groups.end(), is_member);
}

}  // namespace

Peers unknown_of(const Peers& peers) {
  const auto is_number = [](const std::string& text) {
    return text.find_first_not_of("0123456789") == std::string::npos;
  };
  Peers unknown;
  for (const std::string& user : peers.users) {
    if (!is_number(user) && !is_user(user)) unknown.users.push_back(user);
  }
  for (const std::string& group : peers.groups) {
    if (!id_of_group(group)) unknown.groups.push_back(group);
  }
  return unknown;
}

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
