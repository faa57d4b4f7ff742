// Tries to leave a sandbox: files, processes, network, identity, privileges.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Isolation : public Sandbox {};
INSTANTIATE_TEST_SUITE_P(Install, Isolation, ::testing::ValuesIn(installs()), name_of);

TEST_P(Isolation, HidesHomeDirectory) {
  write("home/.ssh/id_rsa", "canary", 0600);
  write("home/notes.txt", "canary");
  const Outcome outcome = shell("ls -A ~; cat ~/.ssh/id_rsa ~/notes.txt; cat " + home_ +
                                "/workspace/../.ssh/id_rsa; find / -name id_rsa 2>/dev/null");
  EXPECT_EQ(outcome.out, ".config\n.gitconfig\nworkspace\n") << outcome.text();
  EXPECT_NE(outcome.exit, 0);
}

TEST_P(Isolation, ShowsOnlyTheSystemAndTheGrants) {
  const Outcome outcome = shell("cd /; echo *; ls -A /tmp /run /var");
  EXPECT_THAT(outcome.out,
              AllOf(Not(HasSubstr("boot")), Not(HasSubstr("mnt")), Not(HasSubstr("root"))));
  // What runtimes size themselves by, and the sandbox's own limit.
  EXPECT_EQ(shell("cd /sys; echo *").out, "devices fs kernel\n");
  EXPECT_TRUE(
      holds("[ \"$(cat /sys/fs/cgroup/memory*/memory.limit_in_bytes "
            "/sys/fs/cgroup/memory.max 2>/dev/null)\" = " +
            std::to_string(spec({}).policy.limits.memory) + " ]"));
  // The workspace of this test is below /tmp; nothing else is.
  EXPECT_EQ(shell("ls -A /tmp").out, fs::path(base_).filename().string() + "\n");
  EXPECT_EQ(shell("ls -A /run").out, "");
}

TEST_P(Isolation, ShowsAGrantBelowVarTmp) {
  // Otherwise a link to /tmp, where nothing could be mounted for it.
  EXPECT_EQ(shell("readlink /var/tmp").out, "/tmp\n");
  std::string path = "/var/tmp/sharkcage-grant-XXXXXX";
  ASSERT_NE(::mkdtemp(path.data()), nullptr);
  give_to_person(path);
  Trial granted = spec({"/bin/sh", "-c", "echo here > " + path + "/made && ls -A /var/tmp /tmp"});
  grant(granted, path, Access::kReadWrite);
  const Outcome outcome = run(granted);
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_THAT(outcome.out, HasSubstr(path.substr(9) + "\n")) << outcome.text();
  EXPECT_TRUE(fs::exists(path + "/made"));
  fs::remove_all(path);
}

TEST_P(Isolation, HidesUsersAndSecretsOfEtc) {
  for (const char* name : {"shadow", "gshadow", "sudoers", "gitconfig", "crontab", "machine-id",
                           "ssl/private", "hosts.allow", "fstab"}) {
    EXPECT_TRUE(holds(std::string("! test -e /etc/") + name)) << name;
  }
  EXPECT_EQ(shell("cut -d: -f1 /etc/passwd").out, "root\npat\nnobody\n");
  // There so that nobody is told of a refusal at each start of ssh, and empty.
  EXPECT_EQ(shell("ls -A /etc/ssh; cat /etc/ssh/ssh_config").out, "ssh_config\n");
}

TEST_P(Isolation, CannotWriteToTheSystem) {
  for (const char* path :
       {"/x", "/usr/x", "/etc/x", "/etc/passwd", "/dev/x", "/proc/x", "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger", "/run/x", "/usr/bin/ls"}) {
    EXPECT_TRUE(holds(std::string("! bash -c 'echo 1 >> ") + path + "' 2>/dev/null")) << path;
  }
}

TEST_P(Isolation, CannotReadTheKernelsState) {
  for (const char* path : {"/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/kallsyms",
                           "/proc/kmsg", "/proc/timer_list"}) {
    EXPECT_TRUE(holds(std::string("! cat ") + path + " 2>/dev/null | head -c 1 | grep -q ."))
        << path;
  }
  EXPECT_TRUE(
      holds("! test -e /sys/class && ! test -e /sys/firmware && ! test -e /sys/kernel/debug"));
  EXPECT_TRUE(
      holds("! test -e /dev/sda && ! test -e /dev/vda && ! test -e /dev/mem && "
            "! test -e /dev/kvm"));
}

TEST_P(Isolation, SeesNoOtherProcesses) {
  EXPECT_EQ(run(spec({"/bin/sh", "-c", "cd /proc; echo [0-9]*; echo $$"})).out, "1 2\n2\n");
  EXPECT_TRUE(holds("! kill -0 " + std::to_string(::getpid()) + " 2>/dev/null"));
}

TEST_P(Isolation, HasNoNetworkInterfacesButLoopback) {
  EXPECT_EQ(shell("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '").out, "lo\n");
  EXPECT_EQ(shell("tail -n +2 /proc/net/route").out, "");
  EXPECT_TRUE(holds("! (exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null"));
}

// Their addresses cannot be judged: they would lead past the proxy, to whoever listens in a
// directory that the host sees, too. Streams are the deputy's (deputy_sockets_test.cc).
TEST_P(Isolation, HasNoUnixDatagrams) {
  const auto perl = [&](const std::string& code) {
    return shell("perl -MSocket -e '" + code + " ? print qq(made) : print $!'").out;
  };
  const std::string refused = "Address family not supported by protocol";
  EXPECT_EQ(perl("socket(my $s, AF_UNIX, SOCK_DGRAM, 0)"), refused);
  EXPECT_EQ(perl("socketpair(my $a, my $b, AF_UNIX, SOCK_DGRAM, 0)"), refused);
  EXPECT_EQ(perl("socket(my $s, AF_UNIX, SOCK_STREAM, 0)"), "made");
  EXPECT_EQ(perl("socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0)"), "made");
}

TEST_P(Isolation, HasItsOwnNamespaces) {
  for (const char* kind : {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
    const std::string link = std::string("/proc/self/ns/") + kind;
    EXPECT_NE(shell("readlink " + link).out, fs::read_symlink(link).string() + "\n") << kind;
  }
  EXPECT_EQ(shell("uname -n").out, "sharkcage\n");
}

TEST_P(Isolation, IsNeverRoot) {
  Trial call = spec({"bash", "-c", "id -u; id -G; cat /proc/self/uid_map"});
  const std::string id = std::to_string(person_uid());
  EXPECT_THAT(run(call).out, HasSubstr(id + "\n"));
  EXPECT_THAT(run(call).out, Not(HasSubstr("\n0\n")));
  EXPECT_TRUE(holds("! python3 -c 'import os; os.setuid(0)' 2>/dev/null"));
}

TEST_P(Isolation, RunsRootsCallsUnderAnotherUser) {
  if (!privileged()) GTEST_SKIP() << "a user install runs as the person";
  Trial call = spec({"bash", "-c", "id -u; id -un; id -G; touch made; stat -c %u made"});
  call.identity.uid = 0;
  call.identity.gid = 0;
  call.identity.name = "root";
  call.paths.clear();
  ASSERT_EQ(::chown(workspace_.c_str(), 0, 0), 0);
  grant(call, workspace_, Access::kReadWrite);
  EXPECT_EQ(run(call).out, "1000\nuser\n1000\n1000\n");
  struct stat status {};
  ASSERT_EQ(::stat((workspace_ + "/made").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0u);  // the person's, on disk
}

TEST_P(Isolation, KeepsTheOwnerOfTheWorkspace) {
  write("home/workspace/old", "mine", 0600);
  EXPECT_TRUE(holds("cat old && echo more >> old && echo new > new && mkdir d && mv new d/new"));
  struct stat status {};
  ASSERT_EQ(::stat((workspace_ + "/d/new").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, person_uid());
  EXPECT_EQ(std::ifstream(workspace_ + "/old").rdbuf()->in_avail() > 0, true);
}

TEST_P(Isolation, CannotWriteThroughAReadOnlyGrant) {
  const std::string file = write("home/data/file", "old");
  Trial call = spec({"bash", "-c",
                     "cat " + file + "; echo new > " + file + "; rm -f " + file + "; touch " +
                         home_ + "/data/x; chmod 777 " + file});
  grant(call, home_ + "/data", Access::kReadOnly);
  EXPECT_EQ(run(call).out, "old");
  EXPECT_TRUE(fs::exists(file));
  EXPECT_FALSE(fs::exists(home_ + "/data/x"));
}

TEST_P(Isolation, GrantsASingleFile) {
  const std::string file = write("home/data/file", "text");
  write("home/data/other", "canary");
  Trial call = spec({"bash", "-c", "cat " + file + "; ls " + home_ + "/data"});
  grant(call, file, Access::kReadOnly);
  EXPECT_EQ(run(call).out, "textfile\n");
}

TEST_P(Isolation, HidesProtectedPathsInsideAGrant) {
  const std::string secret = write("home/workspace/.env/key", "canary");
  const std::string file = write("home/workspace/token", "canary");
  write("home/workspace/kept/target", "canary");
  fs::create_symlink("workspace/kept", home_ + "/.link");
  Trial call =
      spec({"bash", "-c",
            "cat .env/key token kept/target; ls .env kept; mv .env moved; chmod 700 .env"});
  call.policy.hidden = {workspace_ + "/.env", file, home_ + "/.link", workspace_ + "/missing"};
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.out, "") << outcome.text();
  EXPECT_TRUE(fs::exists(secret));
}

// What is hidden by its path stays hidden only as long as no command can give it another.
TEST_P(Isolation, KeepsProtectedPathsWhereTheyAre) {
  const std::string secret = write("home/workspace/conf/deep/key", "canary");
  Trial call = spec({"bash", "-c",
                     "mv conf moved; mv conf/deep conf/moved; rm -r conf 2>/dev/null; "
                     "touch conf/deep/new && mv conf/deep/new conf/deep/kept"});
  call.policy.hidden = {secret};
  const Outcome outcome = run(call);
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_TRUE(fs::exists(secret)) << outcome.text();
}

TEST_P(Isolation, HidesProtectedPathsBelowADirectoryThatWasClosed) {
  const std::string secret = write("home/workspace/conf/key", "canary");
  Trial closing = spec({"chmod", "0", "conf"});
  closing.policy.hidden = {secret};
  EXPECT_EQ(run(closing).exit, 0);
  Trial opening = spec({"bash", "-c", "chmod 755 conf; cat conf/key; ls -l conf"});
  opening.policy.hidden = {secret};
  const Outcome outcome = run(opening);
  EXPECT_THAT(outcome.out, Not(HasSubstr("canary"))) << outcome.text();
  EXPECT_THAT(outcome.out, HasSubstr("----------")) << outcome.text();
}

TEST_P(Isolation, HasNoFilesInMemoryToRunWhereProgramsAreScoped) {
  // Sealed against execve, too: the loader would map and run it.
  const std::string script = "$n = 'x'; for (0, 8) { print syscall(" +
                             std::to_string(SYS_memfd_create) +
                             ", $n, $_), ' ', $!{EACCES} ? 1 : 0, ' ' }";
  Trial call = spec({"perl", "-e", script});
  const Outcome outcome = run(scoped(call, {"/usr/bin/perl"}));
  EXPECT_EQ(outcome.out, "-1 1 -1 1 ") << outcome.text();
}

TEST_P(Isolation, LoadsNoLineDiscipline) {
  const std::string script =
      "open(T, '+<', '/dev/ptmx') or die; $n = pack('i', 27); "
      "print ioctl(T, " +
      std::to_string(TIOCSETD) + ", $n) // 'no', $!{EPERM} ? ' EPERM' : ''";
  EXPECT_EQ(run(spec({"perl", "-e", script})).out, "no EPERM");
}

// The launcher and the monitor have directories of the host open, of control groups for one.
TEST_P(Isolation, StartsInNoDirectoryThatAnybodyElseHasOpen) {
  const UniqueFd host(::open("/", O_PATH | O_DIRECTORY));  // goes on to the launcher
  Launcher own = own_launcher();
  Trial spec = this->spec({"stat", "-c", "%n", "var/lib"});
  spec.workdir = "/proc/self/fd/" + std::to_string(host.get());
  Call call(own, spec);
  call.start();
  const Outcome outcome = call.finish();
  EXPECT_EQ(outcome.out, "") << outcome.text();
  EXPECT_THAT(outcome.failed, HasSubstr("working directory")) << outcome.text();
}

TEST_P(Isolation, RefusesAGrantThatWasReplaced) {
  write("home/data/file", "approved");
  write("home/secret/file", "canary");
  Trial call = spec({"cat", home_ + "/data/file"});
  grant(call, home_ + "/data", Access::kReadOnly);
  fs::rename(home_ + "/data", home_ + "/was");
  fs::rename(home_ + "/secret", home_ + "/data");
  Outcome outcome = run(call);
  EXPECT_THAT(outcome.failed, HasSubstr(home_ + "/data")) << outcome.text();
  EXPECT_EQ(outcome.out, "");

  fs::rename(home_ + "/data", home_ + "/secret");
  fs::create_symlink("secret", home_ + "/data");
  outcome = run(call);
  EXPECT_THAT(outcome.failed, HasSubstr(home_ + "/data")) << outcome.text();
  EXPECT_EQ(outcome.out, "");
}

TEST_P(Isolation, MakesNoMountpointThroughALinkInTheWorkspace) {
  write("home/elsewhere/file", "text");
  fs::create_symlink("../elsewhere", workspace_ + "/skills");
  Trial call = spec({"true"});
  call.paths.push_back(
      judge_path(home_ + "/elsewhere", workspace_ + "/skills/made", Access::kReadOnly));
  EXPECT_FALSE(run(call).failed.empty());
  EXPECT_FALSE(fs::exists(home_ + "/elsewhere/made"));
}

TEST_P(Isolation, RefusesGrantsOverTheSystem) {
  for (const char* target : {"/", "/usr", "/etc", "/proc/x", "/dev/x", "/sys"}) {
    Trial call = spec({"true"});
    call.paths.push_back(judge_path(workspace_, target, Access::kReadWrite));
    EXPECT_THAT(run(call).failed, HasSubstr("cannot be shown")) << target;
  }
}

TEST_P(Isolation, HasNoCapabilityInAnySet) {
  EXPECT_EQ(shell("grep ^Cap /proc/self/status | cut -f2 | sort -u").out, "0000000000000000\n");
  EXPECT_EQ(shell("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status").out,
            "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

TEST_P(Isolation, CannotReachPid1) {
  EXPECT_EQ(shell("kill -KILL 1; kill -TERM 1; kill -SEGV 1; kill -STOP 1; echo alive").out,
            "alive\n");
  for (const char* name : {"mem", "environ", "maps", "fd/0", "root", "cwd", "auxv", "stack"}) {
    EXPECT_TRUE(holds(std::string("! head -c 1 /proc/1/") + name +
                      " 2>/dev/null && ! ls /proc/1/fd "
                      "2>/dev/null && ! ls /proc/1/root/ 2>/dev/null"))
        << name;
  }
  EXPECT_TRUE(holds("! prlimit --pid 1 --nofile=10 2>/dev/null"));
}

TEST_P(Isolation, HoldsNothingThatTellsOfOtherSandboxes) {
  Call other(launcher(), spec({"bash", "-c",
                               "echo canary > /tmp/mine; echo canary > /dev/shm/mine; "
                               "echo up; read"}));
  other.start();
  other.wait_for_output("up");
  EXPECT_EQ(shell("cat /tmp/mine /dev/shm/mine; ls /dev/shm").out, "");
  other.finish();
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
