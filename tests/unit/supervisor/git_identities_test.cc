// Whose commits a sandbox makes: two settings of the person's files and nothing else.
#include "supervisor/git_identities.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

GitIdentity read(std::string_view text) {
  GitIdentity identity;
  read_git_identity(text, identity);
  return identity;
}

TEST(GitIdentity, IsReadAsGitReadsIt) {
  const GitIdentity ada{"Ada L", "ada@a.example"};
  EXPECT_EQ(read("[user]\n\tname = Ada L\n\temail = ada@a.example\n"), ada);
  EXPECT_EQ(read("[USER] name=Ada L # hers\r\nemail=\"ada@a.example\" ; too\r\n"), ada);
  EXPECT_EQ(read("[user]\nname = first\n[user]\nname = Ada \\\nL\nemail = ada@a.example"), ada);
  EXPECT_EQ(read("[a.b]\nx\n[user]\nname = Ada L\nemail = ada@a.example\n[c \"d\"]\nname = no\n"),
            ada)
      << "what another section says, or how, does not matter";
  EXPECT_EQ(read("[user \"x\"]\nname = no\n[users]\nname = no\n[alias]\nname = !no\n"),
            GitIdentity{});
  EXPECT_EQ(read(""), GitIdentity{});
}

TEST(GitIdentity, IsALineOfText) {
  EXPECT_EQ(read("[user]\nname = a\\nb\nemail = e\n"), (GitIdentity{"", "e"}));
  EXPECT_EQ(read("[user]\nname = " + std::string(300, 'x') + "\n"), GitIdentity{});
  EXPECT_EQ(read("[user]\nname = \xff\n"), GitIdentity{});
  EXPECT_EQ(read("[user]\nname = \"open\n"), GitIdentity{});
}

class GitIdentitiesOfAHome : public ::testing::Test {
 protected:
  GitIdentitiesOfAHome() {
    std::string path = "/tmp/sharkcage-git-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    home_ = path;
  }
  ~GitIdentitiesOfAHome() override { fs::remove_all(home_); }

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(home_ + name).parent_path());
    std::ofstream(home_ + name) << text;
  }

  std::string home_;
  const Account account_{::geteuid(), ::getegid(), "pat"};
};

TEST_F(GitIdentitiesOfAHome, FollowsTheFiles) {
  GitIdentities identities({}, false);
  EXPECT_EQ(identities.of(account_, home_), GitIdentity{});
  write("/.config/git/config", "[user]\nname = a\nemail = e\n");
  EXPECT_EQ(identities.of(account_, home_), (GitIdentity{"a", "e"}));
  write("/.gitconfig", "[user]\nname = b\n");
  EXPECT_EQ(identities.of(account_, home_), (GitIdentity{"b", "e"}));
  fs::remove(home_ + "/.gitconfig");
  ASSERT_EQ(::mkfifo((home_ + "/.gitconfig").c_str(), 0600), 0);
  EXPECT_EQ(identities.of(account_, home_), (GitIdentity{"a", "e"}))
      << "nothing waits for a writer";
  EXPECT_EQ(identities.of(account_, ""), GitIdentity{});
}

TEST_F(GitIdentitiesOfAHome, CountsForNothingWhereTheConfigurationSaysOtherwise) {
  write("/.gitconfig", "[user]\nname = b\n");
  EXPECT_EQ(GitIdentities({false, {}}, false).of(account_, home_), GitIdentity{});
  const GitIdentity robot{"robot", "robot@a.example"};
  EXPECT_EQ(GitIdentities({false, robot}, false).of(account_, home_), robot);
}

}  // namespace
}  // namespace sharkcage
