#include "supervisor/roles.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace sharkcage {
namespace {

Peer peer(uid_t uid, bool same_namespaces = true) { return {1, uid, uid, same_namespaces}; }

TEST(Roles, APeerFromAnotherNamespaceHasNone) {
  EXPECT_TRUE(roles_of(peer(::geteuid(), false), {}, false).none());
  EXPECT_TRUE(roles_of(peer(0, false), {}, true).none());
}

TEST(Roles, AUserInstallServesItsOwnUserOnly) {
  EXPECT_TRUE(roles_of(peer(::geteuid()), {}, false).host);
  EXPECT_TRUE(roles_of(peer(::geteuid()), {}, false).operator_);
  EXPECT_TRUE(roles_of(peer(::geteuid() + 1), {}, false).none());
}

TEST(Roles, ASystemInstallServesWhomTheConfigurationNames) {
  Config config;
  config.hosts.users = {"1234"};
  config.operators.users = {"nobody"};
  EXPECT_TRUE(roles_of(peer(1234), config, true).host);
  EXPECT_FALSE(roles_of(peer(1234), config, true).operator_);
  EXPECT_TRUE(roles_of(peer(65534), config, true).operator_);
  EXPECT_TRUE(roles_of(peer(4321), config, true).none());
  EXPECT_TRUE(roles_of(peer(0), config, true).operator_);
}

TEST(Roles, NamesThatNobodyHasAreTold) {
  const Peers unknown = unknown_of({{"root", "r00t", "4711"}, {"root", "no-such-group"}});
  EXPECT_EQ(unknown.users, std::vector<std::string>{"r00t"});
  EXPECT_EQ(unknown.groups, std::vector<std::string>{"no-such-group"});
}

}  // namespace
}  // namespace sharkcage
