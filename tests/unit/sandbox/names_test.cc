// Which names are protected, and whose turn it is to change one.
#include "supervisor/sandbox/names.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include "common/fd.h"
#include "supervisor/sandbox/names_lock.h"

namespace sharkcage::sandbox {
namespace {

TEST(ProtectedNames, AreProtectedInWritableGrantsAtAnyDepth) {
  const ProtectedNames names({"/w", "/repo/.git", "/home/u/.claude/work"});
  const struct {
    const char* path;
    NameKind kind;
  } cases[] = {{"/w/a", NameKind::kFree},
               {"/w", NameKind::kFree},
               {"/elsewhere/.envrc", NameKind::kFree},
               {"/wx/.envrc", NameKind::kFree},
               {"/w/.envrc", NameKind::kProtected},
               {"/w/a/.VsCode/b", NameKind::kProtected},
               {"/w/a/.git", NameKind::kGit},
               {"/w/.GIT/Config", NameKind::kGitConfig},
               {"/w/.git/config.lock", NameKind::kGitLock},
               {"/w/.git/hooks", NameKind::kProtected},
               {"/w/.git/modules/a/b/hooks/x", NameKind::kProtected},
               {"/w/.git/modules/a/config", NameKind::kProtected},
               {"/w/.git/modules/refs/hooks", NameKind::kProtected},
               {"/w/.git/remotes/x", NameKind::kProtected},
               {"/w/.git/branches/x", NameKind::kProtected},
               {"/w/.git/modules/a/config.lock", NameKind::kProtected},
               {"/w/.git/objects/a/.git/config", NameKind::kGitConfig},
               {"/w/.git/objects/a.git/hooks/x", NameKind::kProtected},
               {"/w/.git/objects/a/.git", NameKind::kGit},
               {"/w/.git/refs/heads/a.git", NameKind::kBareGit},
               {"/w/.git/worktrees/a.git/gitdir", NameKind::kGitInside},
               {"/w/.git/worktrees/a.git/logs/HEAD", NameKind::kFree},
               {"/w/.hg", NameKind::kGit},
               {"/w/.hg/hgrc", NameKind::kProtected},
               {"/w/a/.hg/store/data/x", NameKind::kGitInside},
               {"/w/.jj/repo", NameKind::kGit},
               {"/w/.jj/repo/config.toml", NameKind::kProtected},
               {"/w/.jj/repo/store/x", NameKind::kGitInside},
               {"/w/.github/workflows/a.yml", NameKind::kGitInside},
               {"/w/.github/hooks/a.json", NameKind::kProtected},
               {"/w/.config/fish/config.fish", NameKind::kProtected},
               {"/w/.config/dotnet-tools.json", NameKind::kGitInside},
               {"/w/a/x.code-workspace", NameKind::kProtected},
               {"/w/.gitmodules.lock", NameKind::kProtected},
               {"/w/package.json", NameKind::kFree},
               {"/w/.npmrc", NameKind::kFree},
               {"/w/AGENTS.md", NameKind::kFree},
               {"/w/.git/refs/heads/hooks/x", NameKind::kFree},
               {"/w/.git/logs/refs/heads/config", NameKind::kFree},
               {"/w/.git/worktrees/a/logs/config", NameKind::kFree},
               {"/w/.git/worktrees/a/commondir", NameKind::kProtected},
               {"/w/.git/worktrees/a/config.worktree", NameKind::kProtected},
               {"/w/.git/config.new-0", NameKind::kProtected},
               {"/w/.git/modules/a/Config.x", NameKind::kProtected},
               {"/w/.git/index", NameKind::kGitInside},
               {"/w/.gitignore", NameKind::kFree},
               {"/repo/.git/hooks/x", NameKind::kProtected},
               {"/home/u/.claude/work/a", NameKind::kFree},
               {"/home/u/.claude/work/.claude", NameKind::kProtected}};
  for (const auto& [path, kind] : cases) EXPECT_EQ(names.kind_of(path), kind) << path;
}

TEST(ProtectedNames, AreTheSameToWhoeverFoldsThem) {
  const ProtectedNames names({"/w"});
  for (const char* path :
       {"/w/.BASHRC", "/w/.ba\u017fhrc", "/w/.v\u017fcode/x", "/w/.bash\u200crc", "/w/.envrc.",
        "/w/.envrc . .", "/w/.envrc::$DATA", "/w/.git/con\ufb01g.x", "/w/.git\ufeff/hooks/x",
        "/w/.git./hooks/x", "/w/.g\u2060it/HOO\u212aS/x", "/w/.\u00adenvrc"}) {
    EXPECT_EQ(names.kind_of(path), NameKind::kProtected) << path;
  }
  for (const char* path : {"/w/.envrc.example", "/w/envrc", "/w/..envrc", "/w/.bash", "/w/...",
                           "/w/\xff\xfe", "/w/.bashrc\xc5"}) {
    EXPECT_EQ(names.kind_of(path), NameKind::kFree) << path;
  }
  for (const char* path : {"/w/GIT~1/config", "/w/a/VSCODE~2", "/w/bashrc~1", "/w/ENVRC~12.X",
                           "/w/gi7eba~1/x", "/w/.git/COMMON~1"}) {
    EXPECT_EQ(names.kind_of(path), NameKind::kProtected) << path;
  }
  for (const char* path : {"/w/file~", "/w/notes~1", "/w/git~1x", "/w/.git~", "/w/~1", "/w/git~"}) {
    EXPECT_EQ(names.kind_of(path), NameKind::kFree) << path;
  }
}

TEST(ProtectedNames, TellWhatCouldConfigureARepository) {
  using Directories = std::vector<std::string_view>;
  EXPECT_EQ(possible_repositories("/w/x/config"), Directories{"/w/x"});
  EXPECT_EQ(possible_repositories("/w/x/Hooks/a/b"), Directories{"/w/x"});
  EXPECT_EQ(possible_repositories("/w/hooks/x/config"), (Directories{"/w/hooks/x", "/w"}));
  EXPECT_EQ(possible_repositories("/w/config/x"), Directories{});
  EXPECT_EQ(possible_repositories("/w/src/main.cc"), Directories{});
}

// As a deputy opens it.
UniqueFd opened(const UniqueFd& file) {
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  return UniqueFd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
}

TEST(NamesLock, IsOfOneAtATimeInAFileSystem) {
  const UniqueFd file = make_names_lock();
  NamesLock one(opened(file));
  NamesLock other(opened(file));
  const UniqueFd disk(::open("/", O_PATH | O_DIRECTORY));
  const UniqueFd elsewhere(::open("/proc", O_PATH | O_DIRECTORY));
  NamesLock::Turn first, again, second, apart;
  EXPECT_EQ(one.take(disk.get(), first), 0);
  EXPECT_EQ(one.take(disk.get(), again), 0);
  EXPECT_EQ(other.take(disk.get(), second), EAGAIN);
  EXPECT_EQ(other.take(elsewhere.get(), apart), 0);
  first.end();
  EXPECT_EQ(other.take(disk.get(), second), EAGAIN);
  again = {};
  EXPECT_EQ(other.take(disk.get(), second), 0);
  EXPECT_EQ(one.take(disk.get(), first), EAGAIN);
}

TEST(NamesLock, IsFreeOnceWhoHadItIsKilled) {
  const UniqueFd file = make_names_lock();
  const UniqueFd disk(::open("/", O_PATH | O_DIRECTORY));
  auto [told, tells] = make_pipe();
  const pid_t child = ::fork();
  if (child == 0) {
    NamesLock lock(opened(file));
    NamesLock::Turn turn;
    const char taken = lock.take(disk.get(), turn) == 0 ? 'y' : 'n';
    if (::write(tells.get(), &taken, 1) == 1) ::pause();
    ::_exit(1);
  }
  char taken = 0;
  ASSERT_EQ(::read(told.get(), &taken, 1), 1);
  ASSERT_EQ(taken, 'y');
  NamesLock lock(opened(file));
  NamesLock::Turn turn;
  EXPECT_EQ(lock.take(disk.get(), turn), EAGAIN);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(lock.take(disk.get(), turn), 0);
}

}  // namespace
}  // namespace sharkcage::sandbox
