// Which configuration a new repository may have.
#include "supervisor/sandbox/git_config.h"

#include <gtest/gtest.h>

namespace sharkcage::sandbox {
namespace {

TEST(GitConfig, ReadsWhatGitWrites) {
  const auto settings = parse_git_config(
      "[core]\n\trepositoryformatversion = 0\n\tBare = false # no\n"
      "[remote \"a \\\"b\\\\\"]\n\turl = \"https://example.org/x y\" \n\tfetch = +refs/*:refs/*\n"
      "; a comment\n[branch \"main\"]\n\trebase\n\tdescription = one\\ntwo\\\n three\n");
  ASSERT_TRUE(settings);
  ASSERT_EQ(settings->size(), 6u);
  EXPECT_EQ((*settings)[1].key, "bare");
  EXPECT_EQ((*settings)[1].value, "false");
  EXPECT_EQ((*settings)[2].subsection, "a \"b\\");
  EXPECT_EQ((*settings)[2].value, "https://example.org/x y");
  EXPECT_EQ((*settings)[4].value, "");
  EXPECT_EQ((*settings)[5].value, "one\ntwo three");
}

TEST(GitConfig, TakesNoOtherSyntax) {
  for (const char* text :
       {"key = 1\n", "[core\n", "[core] key = 1\n", "[core.sub]\nx = 1\n", "[]\n", "[core \"x]\n",
        "[core]\nx = \"1\n", "[core]\nx = \\q\n", "[core]\n1x = 1\n", "[core]\nx y = 1\n",
        "[core]\r\nx = 1\r\n", "[core \"\"]\nx = 1\n", "[core]\n= 1\n", "[core \"a\"] x\n",
        "\xef\xbb\xbf[core]\nx = 1\n", "[core]\nx = 1\\"}) {
    EXPECT_FALSE(parse_git_config(text)) << text;
    EXPECT_EQ(refused_git_setting(text), "its syntax") << text;
  }
  EXPECT_FALSE(parse_git_config(std::string_view("[core]\nx = 1\0\n", 14)));
  EXPECT_FALSE(parse_git_config(std::string((1 << 20) + 1, '\n')));
}

TEST(GitConfig, NamesTheFirstSettingThatCouldRunAProgram) {
  const struct {
    const char* text;
    const char* refused;
  } cases[] = {{"[core]\nbare = true\nfsmonitor = x\n", "core.fsmonitor"},
               {"[CORE]\nSshCommand = x\n", "core.sshcommand"},
               {"[alias]\nx = !y\n", "alias.x"},
               {"[include]\npath = x\n", "include.path"},
               {"[includeIf \"gitdir:/\"]\npath = x\n", "includeif.gitdir:/.path"},
               {"[filter \"lfs\"]\nclean = x\n", "filter.lfs.clean"},
               {"[remote \"o\"]\nurl = ext::sh\n", "remote.o.url"},
               {"[remote \"o\"]\nurl = ssh://-oProxyCommand=x/y\n", "remote.o.url"},
               {"[remote \"o\"]\nurl = -x\n", "remote.o.url"},
               {"[remote \"o\"]\nurl = fd://3\n", "remote.o.url"},
               {"[remote \"o\"]\nuploadpack = x\n", "remote.o.uploadpack"},
               {"[remote \"o\"]\nvcs = x\n", "remote.o.vcs"},
               {"[branch \"m\"]\nremote = ext::sh\n", "branch.m.remote"},
               {"[core \"x\"]\nbare = true\n", "core.x.bare"},
               {"[remote]\nurl = https://example.org/\n", "remote.url"},
               {"[submodule \"x\"]\nupdate = !y\n", "submodule.x.update"},
               {"[core]\nworktree = /\n", "core.worktree"}};
  for (const auto& [text, refused] : cases) EXPECT_EQ(refused_git_setting(text), refused) << text;
  EXPECT_EQ(refused_git_setting("[remote \"o\"]\nurl = git@example.org:a/b.git\nfetch = x\n"
                                "[user]\nname = a\n[branch \"m\"]\nremote = .\nmerge = x\n"),
            "");
  EXPECT_EQ(refused_git_setting(""), "");
}

}  // namespace
}  // namespace sharkcage::sandbox
