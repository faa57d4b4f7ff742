// Looking at paths that a command chose.
#include "supervisor/local_look.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "capabilities/policy.h"
#include "supervisor/basis.h"
#include "supervisor/refusals.h"
#include "tests/unit/sandbox/silent_mount.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;
using testing::SilentMount;

class LocalLookAt : public ::testing::Test {
 protected:
  LocalLookAt() {
    std::string path = "/tmp/sharkcage-look-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    base_ = path;
    fs::create_directories(base_ + "/a/b");
    std::ofstream(base_ + "/a/b/file") << "x";
  }
  ~LocalLookAt() override { fs::remove_all(base_); }

  Presence at(const std::string& path, bool follow = false) const {
    return LocalLook({base_ + "/home"})
        .find(path.starts_with('/') ? path : base_ + "/" + path, follow)
        .presence;
  }

  std::string base_;
};

TEST_F(LocalLookAt, FindsWhatIsThere) {
  fs::create_symlink("b/../b/file", base_ + "/a/relative");
  fs::create_symlink(base_ + "/a", base_ + "/absolute");
  fs::create_symlink("nowhere", base_ + "/dangling");
  fs::create_symlink("round", base_ + "/round");
  for (const char* path : {"/", "a", "a/b/file", "absolute/b/file", "absolute/relative", "dangling",
                           "round", "a/./b/../b/file", "/proc/1", "/dev/null"}) {
    EXPECT_EQ(at(path), Presence::kThere) << path;
  }
  EXPECT_EQ(at("absolute/relative", true), Presence::kThere);
  for (const char* path :
       {"none", "a/none/file", "a/b/file/none", "round/x", "dangling/x", "a/../a/none"}) {
    EXPECT_EQ(at(path), Presence::kMissing) << path;
  }
  EXPECT_EQ(at("dangling", true), Presence::kMissing);
}

// 38 links of 1600 components each would take the supervisor's thread for a tenth of a second.
TEST_F(LocalLookAt, GoesOnlySoFar) {
  std::string round;
  while (round.size() < 4000) round += "b/../";
  for (int i = 0; i < 38; ++i) {
    fs::create_symlink(round + "l" + std::to_string(i + 1), base_ + "/a/l" + std::to_string(i));
  }
  std::ofstream(base_ + "/a/l38") << "x";
  EXPECT_EQ(at("a/l0", true), Presence::kUnknown);
  EXPECT_EQ(at("a/l37", true), Presence::kUnknown);

  const LocalLook look({base_}, 20);
  EXPECT_EQ(look.find(base_ + "/a/b", false).presence, Presence::kThere);
  for (int i = 0; i < 20; ++i) look.find(base_ + "/a/none", false);
  EXPECT_EQ(look.find(base_ + "/a/b", false).presence, Presence::kUnknown);
}

TEST_F(LocalLookAt, CrossesMountsOfThisMachine) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  fs::create_directories(base_ + "/a mount");
  ASSERT_EQ(::mount("x", (base_ + "/a mount").c_str(), "tmpfs", 0, nullptr), 0);
  std::ofstream(base_ + "/a mount/file") << "x";
  EXPECT_EQ(at("a mount/file"), Presence::kThere);
  EXPECT_EQ(at("a mount/none"), Presence::kMissing);
  ASSERT_EQ(::umount2((base_ + "/a mount").c_str(), MNT_DETACH), 0);
  EXPECT_EQ(at("a mount/file"), Presence::kMissing);
}

// Each of these hangs for ever where a path is simply looked at.
TEST_F(LocalLookAt, AsksNobodyWhoMayNotAnswer) {
  if (!SilentMount::possible()) GTEST_SKIP() << "needs root and /dev/fuse";
  fs::create_symlink("remote/x", base_ + "/link");
  SilentMount remote(base_ + "/remote", SilentMount::Answers::kNothing);
  EXPECT_EQ(at("remote"), Presence::kThere);
  EXPECT_EQ(at("remote/secret"), Presence::kUnknown);
  EXPECT_EQ(at("link"), Presence::kThere);
  EXPECT_EQ(at("link", true), Presence::kUnknown);
  EXPECT_EQ(at("a/b/../../link/y"), Presence::kUnknown);

  Policy policy;
  policy.home = base_ + "/home";
  policy.hidden = {base_ + "/link/.env"};
  sandbox::Refusal refusal;
  refusal.operation = "read";
  refusal.target = base_ + "/remote/secret";
  refusal.hidden = true;
  Json payload = Json::object();
  add_refusals(payload, {refusal}, 0, policy, {::geteuid(), ::getegid(), false});
  EXPECT_EQ(payload.at("refused").at(0).at("path"), refusal.target);
  EXPECT_EQ(make_basis(policy, account_of(::geteuid()), base_, false).covered.size(), 1u);
  EXPECT_EQ(remote.asked(), 0);
}

// The supervisor lives with the home's file system, wherever that is.
TEST_F(LocalLookAt, AsksTheFileSystemOfTheHome) {
  if (!SilentMount::possible()) GTEST_SKIP() << "needs root and /dev/fuse";
  SilentMount home(base_ + "/home", SilentMount::Answers::kItsEmpty);
  EXPECT_EQ(at("home/.netrc"), Presence::kMissing);
}

}  // namespace
}  // namespace sharkcage
