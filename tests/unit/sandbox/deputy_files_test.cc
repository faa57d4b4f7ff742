// Calls that the deputy carries out: they work as without it, and no file that runs code later is
// made, written, moved or linked.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DeputyFiles : public Sandbox {
 protected:
  Outcome python(const std::string& code) { return run(spec({"/usr/bin/python3", "-c", code})); }
  // Git as the supervisor's environment makes it work.
  Outcome git(const std::string& line) {
    auto trial = spec({"/bin/bash", "-c", "set -e; " + line});
    trial.environment.push_back("GIT_TEMPLATE_DIR=");
    trial.environment.push_back("GIT_AUTHOR_NAME=pat");
    trial.environment.push_back("GIT_AUTHOR_EMAIL=pat@example.org");
    trial.environment.push_back("GIT_COMMITTER_NAME=pat");
    trial.environment.push_back("GIT_COMMITTER_EMAIL=pat@example.org");
    return run(trial);
  }
  std::string outside(const std::string& relative) const {
    std::ifstream file(workspace_ + "/" + relative);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};
INSTANTIATE_TEST_SUITE_P(Install, DeputyFiles, ::testing::ValuesIn(installs()), name_of);

TEST_P(DeputyFiles, WorkAsWithoutIt) {
  const Outcome outcome = shell(
      "set -e; umask 027; echo one > a; echo two >> a; mkdir -p d/e; mv a d/e/b; ln d/e/b c;"
      "ln -s d/e/b l; echo three >> l; truncate -s 9 c; cp -r d f; rm -r d; mkfifo p;"
      "stat -c '%a %n' c f/e f/e/b; cat c; echo; readlink l; rm l p; rmdir f 2>/dev/null || echo "
      "full;"
      "(set -C; echo x > c) 2>/dev/null || echo kept; ls");
  EXPECT_EQ(outcome.out, "640 c\n750 f/e\n640 f/e/b\none\ntwo\nt\nd/e/b\nfull\nkept\nc\nf\n")
      << outcome.text();
  EXPECT_THAT(outcome.told(), IsEmpty());
}

// In a pipe of the command's own: nobody else's may be opened again.
TEST_P(DeputyFiles, KeepStandardStreamsAndDevices) {
  const Outcome outcome = shell(R"((set -e; echo out > /dev/stdout; echo err > /dev/stderr
echo fd > /proc/self/fd/1; echo null > /dev/null; echo more | tee /dev/fd/1 > /dev/null
ln -s /dev/stdout log; echo log > log; cd /dev; echo rel > stdout; exec 7<>/dev/null; echo x >&7
(echo y > /dev/tty) || echo end) 2>&1 | cat)");
  EXPECT_EQ(outcome.out,
            "out\nerr\nfd\nlog\nrel\n/bin/bash: line 4: /dev/tty: No such device or address\nend\n")
      << outcome.text();
  EXPECT_THAT(outcome.told(), IsEmpty());
}

TEST_P(DeputyFiles, WaitForTheReaderOfAFifo) {
  const Outcome outcome = shell(
      "mkfifo p; (echo through > p; echo written) & touch other; cat p; wait; "
      "python3 -c 'import os; os.open(\"p\", os.O_WRONLY | os.O_NONBLOCK)' 2>&1 | tail -1");
  EXPECT_THAT(outcome.out, HasSubstr("through\n")) << outcome.text();
  EXPECT_THAT(outcome.out, HasSubstr("written\n"));
  EXPECT_THAT(outcome.out, HasSubstr("No such device or address"));
}

// Their mount is read-only, which the kernel does not ask for.
TEST_P(DeputyFiles, DoNotWriteToAFifoOfAReadOnlyGrant) {
  write("home/shown/file", "text");
  const std::string fifo = base_ + "/home/shown/fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0666), 0);
  give_to_person(fifo);
  auto trial = spec({"/bin/bash", "-c", "exec 3<> " + fifo});
  grant(trial, base_ + "/home/shown", Access::kReadOnly);
  const Outcome outcome = run(trial);
  EXPECT_NE(outcome.exit, 0) << outcome.text();
  EXPECT_THAT(outcome.told(), ElementsAre("write " + fifo));
}

TEST_P(DeputyFiles, GiveTheErrorsOfTheKernel) {
  const Outcome outcome = python(R"(
import os, errno
def tried(call, *args, **named):
    try: call(*args, **named); print('done', end=' ')
    except OSError as error: print(errno.errorcode[error.errno], end=' ')
os.mkdir('d'); open('f', 'w').close(); os.symlink('none/x', 's'); os.symlink('loop', 'loop')
W = os.O_WRONLY
tried(os.open, 'none', W); tried(os.open, 'none/x', W | os.O_CREAT); tried(os.open, 'd', W)
tried(os.open, 'f', W | os.O_CREAT | os.O_EXCL); tried(os.open, 's', W | os.O_CREAT)
tried(os.open, 's', W | os.O_CREAT | os.O_EXCL); tried(os.open, 'loop', W | os.O_CREAT)
tried(os.open, 's', W | os.O_NOFOLLOW); tried(os.open, 'f/x', W | os.O_CREAT)
tried(os.open, 'new/', W | os.O_CREAT); tried(os.open, '', W); tried(os.open, 'x' * 300, W | os.O_CREAT)
tried(os.open, 'f', W, dir_fd=77); tried(os.open, 'd', os.O_RDONLY | os.O_CREAT)
print()
tried(os.mkdir, 'd'); tried(os.mkdir, '/'); tried(os.mkdir, '..'); tried(os.mkdir, 'f/x')
tried(os.rmdir, '.'); tried(os.rmdir, 'f'); tried(os.unlink, 'd'); tried(os.unlink, 'none')
tried(os.rename, 'd', 'f'); tried(os.rename, 'f', 'd'); tried(os.rename, 'none', 'x')
tried(os.rename, '.', 'x'); tried(os.link, 'd', 'x'); tried(os.link, 'f', 'f'); tried(os.symlink, 'x', 'f')
tried(os.truncate, 'd', 0); tried(os.truncate, 'none', 0); tried(os.mknod, 'f'); tried(os.rename, 'd', 'd/x')
print()
)");
  EXPECT_EQ(outcome.out,
            "ENOENT ENOENT EISDIR EEXIST ENOENT EEXIST ELOOP ELOOP ENOTDIR EISDIR ENOENT "
            "ENAMETOOLONG EBADF EISDIR \n"
            "EEXIST EEXIST EEXIST ENOTDIR EINVAL ENOTDIR EISDIR ENOENT ENOTDIR EISDIR ENOENT EBUSY "
            "EPERM EEXIST EEXIST EISDIR ENOENT EEXIST EINVAL \n")
      << outcome.text();
}

TEST_P(DeputyFiles, RecordWritesToReadOnlyPlaces) {
  const std::string shown = write("home/shown/file", "text");
  auto trial = spec({"/bin/bash", "-c",
                     "echo x > " + shown + "; touch /usr/x; mkdir /etc/d; rm /etc/passwd; mv " +
                         shown + " .; ln -s a /x; echo y >> /usr/bin/ls; chmod u+s .; touch ok"});
  grant(trial, base_ + "/home/shown", Access::kReadOnly);
  const Outcome outcome = run(trial);
  EXPECT_THAT(outcome.told(), ElementsAre("write " + shown, "create /usr/x", "create /etc/d",
                                          "delete /etc/passwd", "delete " + shown, "create /x",
                                          "write /usr/bin/ls", "system call fchmodat"))
      << outcome.text();
}

TEST_P(DeputyFiles, NamesThatRunCodeLaterAreNotMade) {
  const char* lines[] = {"echo x > .envrc",
                         "echo x > d/.bashrc",
                         "mkdir .vscode",
                         "mkdir -p d/.ClaudE",
                         "echo x > f; mv f .mcp.json",
                         "ln f2 d/.zshrc",
                         "ln -s f2 .idea",
                         "mkdir x; mv x .codex",
                         "cd d; echo x > ../d/./.profile",
                         "ln -s .gitmodules l; echo x > l",
                         "mkfifo .envrc",
                         "mkdir .git; mkdir .git/hooks",
                         "mkdir .git; echo x > .git/config",
                         "mkdir -p .git/modules/a/b; echo x > .git/modules/a/b/config",
                         "mkdir -p evil/hooks .git/modules; mv evil .git/modules/evil",
                         "mkdir -p .git; ln -s ../d .git/modules",
                         "echo 'gitdir: /tmp/x' > d/.git",
                         "ln -s /tmp/x d/.git",
                         "mkdir e; mv e d/.git",
                         "mkdir -p .git/worktrees/a; echo /tmp > .git/worktrees/a/commondir",
                         "mkdir d/.git; mv d/.git d/was",
                         "mkdir -p .git; echo x > .git/remotes",
                         "mkdir -p .git/branches",
                         "echo x > x.code-workspace",
                         "mkdir -p d/.hg; echo x > d/.hg/hgrc",
                         "mkdir e; echo x > e/hgrc; mv e d/.hg",
                         "mkdir -p d/.config/fish",
                         "mkdir -p e/fish; mv e .config",
                         "mkdir .husky",
                         "echo x > .gitmodules.lock",
                         "echo x > $'.ba\\u017fhrc'",
                         "echo x > '.envrc. '"};
  write("home/workspace/f2", "x");
  fs::create_directory(workspace_ + "/d");
  give_to_person(workspace_ + "/d");
  for (const char* line : lines) {
    const Outcome outcome = shell(line);
    EXPECT_NE(outcome.exit, 0) << line << "\n" << outcome.text();
    EXPECT_EQ(outcome.told().size(), 1u) << line << "\n" << outcome.text();
    for (const char* name :
         {".git", "evil", "e", "x", "l", "f", "d/.git", "d/.hg", "d/.config", ".config"}) {
      fs::remove_all(workspace_ + "/" + name);
    }
  }
  EXPECT_TRUE(holds("echo x > ~/.bashrc && mkdir ~/.vscode /tmp/.claude && touch AGENTS.md"));
  // What a project is built and checked with is the project.
  EXPECT_TRUE(
      holds("touch package.json Makefile .npmrc .pre-commit-config.yaml .envrc.example && "
            "mkdir -p .github/workflows .config d/.hg/store && echo x > .github/workflows/a.yml "
            "&& echo x > .config/dotnet-tools.json && echo x > d/.hg/requires && sed -i s/x/y/ "
            ".github/workflows/a.yml"));
}

TEST_P(DeputyFiles, NamesThatExistAreNotWritten) {
  write("home/workspace/d/.envrc", "kept");
  write("home/workspace/d/.git/config", "kept");
  write("home/workspace/d/.git/hooks/pre-commit", "kept");
  for (const char* file : {"d/.envrc", "d/.git/config", "d/.git/hooks/pre-commit"}) {
    const std::string name = file;
    for (const std::string& line :
         {"echo x > " + name, "echo x >> " + name, "truncate -s 0 " + name, "mv " + name + " y",
          "ln " + name + " y", "echo x > y; mv -f y " + name,
          "python3 -c 'import os; os.open(\"" + name + "\", os.O_RDWR)'",
          "python3 -c 'import os; os.open(\"" + name + "\", os.O_RDONLY | os.O_TRUNC)'"}) {
      const Outcome outcome = shell(line);
      EXPECT_NE(outcome.exit, 0) << line << "\n" << outcome.text();
      EXPECT_EQ(outcome.told().size(), 1u) << line << "\n" << outcome.text();
      EXPECT_EQ(outside(name), "kept") << line;
      fs::remove(workspace_ + "/y");
    }
    EXPECT_EQ(shell("cat " + name).out, "kept");
  }
}

// Threads write the path while it is judged: what is carried out is what was judged.
TEST_P(DeputyFiles, NoNameIsMadeByARace) {
  const Outcome outcome = run(spec({"/bin/bash", "-c", R"(
cat > race.c <<'END'
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static volatile char path[] = "./.envrX";
static volatile int stop;
static void* flip(void* arg) {
  while (!stop) { path[7] = 'c'; path[7] = 'X'; }
  return arg;
}
int main(void) {
  pthread_t other;
  int made = 0;
  pthread_create(&other, 0, flip, 0);
  for (int i = 0; i < 4000; ++i) {
    int fd = open((char*)path, O_WRONLY | O_CREAT, 0600);
    if (fd >= 0) { ++made; close(fd); unlink("./.envrX"); }
    rename("race.c", (char*)path);
    rename("./.envrX", "race.c");
  }
  stop = 1;
  pthread_join(other, 0);
  printf("%s\n", made > 0 ? "some" : "none");
  return 0;
}
END
cc -O2 -o race race.c -lpthread && ./race; ls -A)"}));
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_THAT(outcome.out, HasSubstr("some\n")) << outcome.text();
  EXPECT_FALSE(fs::exists(workspace_ + "/.envrc")) << outcome.text();
}

TEST_P(DeputyFiles, GitWorksInANewRepository) {
  const Outcome outcome = git(
      "git init -q -b main repo; cd repo; echo a > a; git add a; git commit -qm one;"
      "git remote add origin https://example.org/r.git; git config user.name pat;"
      "git worktree add -q ../tree -b side; cd ../tree; echo b > b; git add b; git commit -qm two;"
      "cd ..; git clone -q repo copy; cd copy; git log --oneline --all | wc -l; git remote -v | wc "
      "-l;"
      "git checkout -q side; cat b; cd ../repo; git worktree list | wc -l; git gc -q; git status "
      "-s;"
      "git branch hooks/x; git mv a c; git commit -qm three; cat ../tree/.git");
  EXPECT_EQ(outcome.out, "2\n2\nb\n2\ngitdir: " + workspace_ + "/repo/.git/worktrees/tree\n")
      << outcome.text();
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_THAT(outcome.told(), IsEmpty()) << outcome.text();
  EXPECT_FALSE(fs::exists(workspace_ + "/repo/.git/hooks"));
  EXPECT_THAT(outside("repo/.git/config"), HasSubstr("url = https://example.org/r.git"));
}

TEST_P(DeputyFiles, GitConfigurationRunsNoProgram) {
  for (const char* setting :
       {"core.fsmonitor /tmp/x", "core.sshCommand x", "alias.x '!x'", "core.hooksPath x",
        "filter.x.clean x", "diff.x.textconv x", "include.path x", "remote.o.url ext::x",
        "credential.helper x", "gpg.program x", "core.pager x", "core.worktree /"}) {
    const Outcome outcome = git(std::string("git init -q repo; cd repo; git config ") + setting);
    EXPECT_NE(outcome.exit, 0) << setting;
    ASSERT_EQ(outcome.told().size(), 1u) << setting << outcome.text();
    EXPECT_THAT(outcome.told()[0], HasSubstr("/repo/.git/config.lock -> ")) << setting;
    EXPECT_THAT(outcome.told()[0], HasSubstr("/repo/.git/config (")) << setting;
    EXPECT_THAT(outside("repo/.git/config"), Not(HasSubstr("x"))) << setting;
    fs::remove_all(workspace_ + "/repo");
  }
}

// git takes a directory with these entries for a repository, with a configuration that runs
// programs.
TEST_P(DeputyFiles, NoDirectoryBecomesARepositoryByWhatIsInIt) {
  for (const char* line :
       {"mkdir d/objects d/refs; echo x > d/HEAD", "echo x > d/HEAD; mkdir d/refs; mkdir d/objects",
        "echo x > d/HEAD; mkdir d/refs e; mv e d/objects", "echo . > d/commondir; echo x > d/HEAD",
        "mkdir d/objects d/refs; echo x > h; ln h d/HEAD", "echo x > d/HEAD; ln -s . d/commondir",
        "mkdir d/objects; echo x > d/HEAD; mkfifo -m 777 d/p; mv d/p d/refs",
        "mkdir -p d/.github/a/refs d/.github/a/objects; echo x > d/.github/a/HEAD"}) {
    const Outcome outcome = git(std::string("mkdir d; ") + line);
    EXPECT_NE(outcome.exit, 0) << line;
    EXPECT_EQ(outcome.told().size(), 1u) << line << outcome.text();
    fs::remove_all(workspace_ + "/d");
    fs::remove_all(workspace_ + "/e");
    fs::remove(workspace_ + "/h");
  }
}

TEST_P(DeputyFiles, NoDirectoryComesOutOfARepository) {
  const Outcome outcome = shell(
      "mkdir -p x.git/new/objects x.git/new/refs plain; echo x > x.git/new/HEAD;"
      "mv x.git/new out 2>/dev/null; mv -T --exchange x.git/new plain 2>/dev/null;"
      "python3 -c 'import os; os.rename(\"x.git/new\", \"out\")' 2>/dev/null; ls");
  EXPECT_EQ(outcome.out, "plain\nx.git\n") << outcome.text();
}

// In references and objects anything may be called anything, and directories come and go.
TEST_P(DeputyFiles, ARepositoryStaysOneAmongAnothersObjects) {
  for (const char* file : {"r/.git/config", "r/.git/hooks/pre-commit", "b.git/config"}) {
    write(std::string("home/workspace/") + file, "kept");
  }
  const Outcome outcome = shell(
      "mkdir -p o/.git/objects; mv b.git o/.git/objects 2>/dev/null; mv r o/.git/objects && "
      "cd o/.git/objects && for file in r/.git/config r/.git/hooks/pre-commit; do "
      "echo x >> $file; echo x > $file.lock; done 2>/dev/null; mv r ../../..; cd ../../..; "
      "ls -d r b.git");
  EXPECT_EQ(outcome.out, "b.git\nr\n") << outcome.text();
  for (const char* file : {"r/.git/config", "r/.git/hooks/pre-commit", "b.git/config"}) {
    EXPECT_EQ(outside(file), "kept") << file;
  }
}

// One that somebody has made, called as they liked.
TEST_P(DeputyFiles, ARepositoryIsOneWhateverItIsCalled) {
  for (const char* file : {"mirror/HEAD", "mirror/config", "mirror/hooks/post-update"}) {
    write(std::string("home/workspace/") + file, "kept");
  }
  for (const char* part : {"mirror/objects", "mirror/refs"}) {
    fs::create_directory(workspace_ + "/" + part);
    give_to_person(workspace_ + "/" + part);
  }
  for (const char* line :
       {"echo x > mirror/config", "echo x >> mirror/hooks/post-update", "echo x > mirror/hooks/new",
        "mv mirror/hooks h", "echo x > f; mv f mirror/config", "ln mirror/config f2",
        "echo x > mirror/commondir",
        "mv mirror/HEAD h; echo x > mirror/config; mv h mirror/HEAD"}) {
    EXPECT_NE(shell(line).exit, 0) << line;
    if (fs::exists(workspace_ + "/h")) fs::rename(workspace_ + "/h", workspace_ + "/mirror/HEAD");
    fs::remove(workspace_ + "/f");
  }
  EXPECT_EQ(outside("mirror/hooks/post-update"), "kept");
  EXPECT_TRUE(holds("mkdir -p src/hooks && echo x > src/hooks/use.ts && echo x > src/config"));
}

// Directories can be moved to where paths below them are longer than any call tells.
TEST_P(DeputyFiles, WhatHasNoPathIsNotLinked) {
  fs::create_directories(workspace_ + "/r/.git");
  write("home/workspace/r/.git/config", "[core]\n");
  for (const char* part : {"/r", "/r/.git", "/r/.git/config"}) give_to_person(workspace_ + part);
  const Outcome outcome = python(R"(
import os
top = os.open('.', os.O_RDONLY)
length = len(os.getcwd())
while length < 4088:
    name = 'd' * min(200, 4087 - length)
    os.mkdir(name); os.chdir(name); length += 1 + len(name)
here = os.open('.', os.O_RDONLY)
try: os.rename('r', 'r', src_dir_fd=top, dst_dir_fd=here)
except OSError as error: print('moved', error.errno)
try: os.link('r/.git/config', 'conf', src_dir_fd=here, dst_dir_fd=top)
except OSError as error: print('linked', error.errno)
print(os.path.lexists(os.path.join('/proc/self/fd', str(top), 'conf')))
)");
  EXPECT_THAT(outcome.out, HasSubstr("linked")) << outcome.text();
  EXPECT_THAT(outcome.out, HasSubstr("False\n"));
  EXPECT_FALSE(fs::exists(workspace_ + "/conf"));
}

TEST_P(DeputyFiles, ABareRepositoryHasTheRulesOfOthers) {
  const Outcome outcome = git("git init -q --bare r.git; git clone -q r.git copy; echo x > y.git");
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_NE(git("echo x > r.git/hooks/post-update || mkdir r.git/hooks").exit, 0);
  EXPECT_NE(git("git -C r.git config core.fsmonitor ./x").exit, 0);
  EXPECT_NE(git("mkdir -p d/hooks; mv d d.git").exit, 0);
}

TEST_P(DeputyFiles, GitWorksInARepositoryThatWasThere) {
  const std::string host =
      "cd " + workspace_ +
      " && export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' && git "
      "-c init.defaultBranch=main init -q && echo a > a && git add a && "
      "git -c user.name=h -c user.email=h@example.org commit -qm one";
  ASSERT_EQ(std::system(host.c_str()), 0);
  if (::geteuid() == 0) {
    for (const auto& entry : fs::recursive_directory_iterator(workspace_))
      give_to_person(entry.path());
  }
  const std::string before = outside(".git/config");
  const Outcome outcome =
      git("echo b >> a; git commit -qam two; git log --oneline | wc -l; git checkout -qb side;"
          "git worktree add -q tree; git -C tree status -s; git remote add o https://example.org/ "
          "|| true");
  EXPECT_EQ(outcome.out, "2\n") << outcome.text();
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_EQ(outcome.told().size(), 1u) << outcome.text();
  EXPECT_EQ(outside(".git/config"), before);
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
