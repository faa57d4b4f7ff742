#include "capabilities/protected.h"

#include <gmock/gmock.h>

#include <fstream>

#include "fixture.h"

namespace sharkcage {
namespace {

using testing::HasSubstr;

class Protected : public Scratch {
 protected:
  Protected() {
    make_directory("home/.ssh");
    make_directory("home/work");
    make_directory("instance/var");
    input_.home = at("home");
    input_.places.install = Places::Install::kHome;
    input_.places.config_dir = at("instance/etc");
    input_.places.state_dir = at("instance/var");
    input_.places.run_dir = at("instance/run");
  }
  // The path as it is named that a grant of `path` would open, or empty.
  std::string conflict(const std::string& path, Access access = Access::kReadOnly) {
    const auto list = protected_paths(input_);
    const ProtectedPath* entry = conflict_of(path, access, list);
    return entry == nullptr ? "" : entry->path;
  }
  std::string workspace(const std::string& path, Access access = Access::kReadWrite) {
    return complaint_of(
        [&] { check_workspace(path, access, at("home"), protected_paths(input_)); });
  }
  ProtectionInput input_;
};

TEST_F(Protected, CredentialsAreClosedAtInsideAndAbove) {
  EXPECT_EQ(conflict(at("home/.ssh")), at("home/.ssh"));
  EXPECT_EQ(conflict(at("home/.ssh/id_rsa")), at("home/.ssh"));
  EXPECT_NE(conflict(at("home")), "");
  EXPECT_NE(conflict("/"), "");
  EXPECT_NE(conflict("/home"), "/home");
  EXPECT_EQ(conflict(at("home/.sshx")), "");
  EXPECT_EQ(conflict(at("home/work")), "");
}

TEST_F(Protected, AreProtectedBeforeTheyExist) {
  EXPECT_EQ(conflict(at("home/.aws/credentials")), at("home/.aws"));
  EXPECT_NE(conflict(at("home/.config")), "");
}

TEST_F(Protected, TheListOfCredentialsIsComplete) {
  for (const char* name :
       {".ssh", ".aws", ".gnupg", ".config/gcloud", ".azure", ".kube", ".docker", ".netrc",
        ".git-credentials", ".npmrc", ".pypirc", ".password-store", ".local/share/keyrings",
        ".mozilla", ".config/google-chrome", ".bashrc", ".profile", ".zshrc", ".openclaw"}) {
    EXPECT_EQ(conflict(at(std::string("home/") + name)), at(std::string("home/") + name));
  }
  for (const char* path : {"/etc/shadow", "/root", "/proc", "/sys", "/dev", "/boot", "/run",
                           "/var/run/docker.sock", "/proc/self/mem"}) {
    EXPECT_NE(conflict(path), "") << path;
  }
}

TEST_F(Protected, TheInstanceIsClosedAsAWhole) {
  EXPECT_EQ(conflict(at("instance")), at("instance"));
  EXPECT_NE(conflict(at("instance/var/approvals.db"), Access::kReadWrite), "");
  EXPECT_NE(conflict(at("instance/anything")), "");
}

TEST_F(Protected, TheHostsStateIsClosedButForItsOpenChildren) {
  EXPECT_EQ(conflict(at("home/.openclaw/workspace")), "");
  EXPECT_EQ(conflict(at("home/.openclaw/workspace-main/x")), "");
  EXPECT_EQ(conflict(at("home/.openclaw/skills/a")), "");
  EXPECT_EQ(conflict(at("home/.openclaw/sandbox/skills-workspaces/w/.openclaw/skills")), "");
  EXPECT_EQ(conflict(at("home/.openclaw/sandbox/containers")), at("home/.openclaw"));
  EXPECT_EQ(conflict(at("home/.openclaw/sandbox")), at("home/.openclaw"));
  EXPECT_EQ(conflict(at("home/.openclaw/credentials")), at("home/.openclaw"));
  EXPECT_EQ(conflict(at("home/.openclaw/openclaw.json")), at("home/.openclaw"));
  EXPECT_EQ(conflict(at("home/.openclaw/skillsx")), at("home/.openclaw"));
}

TEST_F(Protected, LinksAreClosedAtTheirTargets) {
  make_directory("vault/keys");
  std::filesystem::remove(at("home/.ssh"));
  link(at("vault/keys"), "home/.ssh");
  EXPECT_EQ(conflict(at("vault/keys/id_rsa")), at("home/.ssh"));
  EXPECT_EQ(conflict(at("vault")), at("home/.ssh"));
  EXPECT_EQ(conflict(at("vault/other")), "");
}

TEST_F(Protected, LinksInsideAreClosedAtTheirTargetsToo) {
  write("elsewhere/key", "k");
  link(at("elsewhere/key"), "home/.ssh/id_rsa");
  EXPECT_EQ(conflict(at("elsewhere/key")), at("home/.ssh/id_rsa"));
  EXPECT_EQ(conflict(at("elsewhere")), at("home/.ssh/id_rsa"));
}

TEST_F(Protected, AHomeBehindALinkIsClosedUnderBothNames) {
  link(at("home"), "linked");
  input_.home = at("linked");
  EXPECT_NE(conflict(at("home/.ssh")), "");
  EXPECT_NE(conflict(at("linked/.ssh")), "");
  EXPECT_NE(conflict(at("home")), "");
  EXPECT_THAT(workspace(at("home")), HasSubstr("home"));
}

TEST_F(Protected, WhatIsRunLaterMayBeReadButNotWritten) {
  for (const std::string path : {"/etc/hosts", "/usr/share", "/usr/bin"}) {
    EXPECT_EQ(conflict(path), "") << path;
    EXPECT_NE(conflict(path, Access::kReadWrite), "") << path;
  }
  EXPECT_NE(conflict(at("home/.config/autostart/x"), Access::kReadWrite), "");
  EXPECT_NE(conflict(at("home/.local/lib/sharkcage"), Access::kReadWrite), "");
  EXPECT_NE(conflict("/etc"), "");  // it holds /etc/shadow
}

TEST_F(Protected, ConfiguredPathsAreClosed) {
  make_directory("diary");
  link(at("diary"), "also");
  input_.configured = {at("also") + "/"};
  EXPECT_EQ(conflict(at("diary/today")), at("also"));
  EXPECT_NE(conflict(at("also/today")), "");
}

TEST_F(Protected, AWorkspaceIsADirectoryOfItsOwn) {
  const auto list = protected_paths(input_);
  EXPECT_NO_THROW(check_workspace(at("home/work"), Access::kReadWrite, at("home"), list));
  EXPECT_NO_THROW(
      check_workspace(at("home/.openclaw/workspace"), Access::kReadWrite, at("home"), list));
  EXPECT_THAT(workspace(at("home")), HasSubstr("is the home directory"));
  EXPECT_THAT(workspace(root_), HasSubstr("is the home directory"));
  EXPECT_THAT(workspace("/"), HasSubstr("home directory"));
  EXPECT_THAT(workspace(at("home/.ssh")), HasSubstr("protected path " + at("home/.ssh")));
  EXPECT_THAT(workspace(at("home/.ssh/x")), HasSubstr("protected path"));
  EXPECT_THAT(workspace(at("instance/var")), HasSubstr("protected path"));
  EXPECT_THAT(workspace("/etc", Access::kReadOnly), HasSubstr("holds the protected path /etc/"));
  EXPECT_THAT(workspace("/var"), HasSubstr("holds the protected path"));
  EXPECT_THAT(workspace("/proc"), HasSubstr("protected path"));
  EXPECT_THAT(workspace("/usr/share"), HasSubstr("protected path /usr"));
  EXPECT_THAT(workspace("relative"), HasSubstr("not an absolute path"));
  EXPECT_THAT(workspace(at("home/work/../.ssh")), HasSubstr("not an absolute path"));
}

}  // namespace
}  // namespace sharkcage
