// What no sensible person would ask for: an error that says what is wrong, or the right behaviour.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "tests/integration/host.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class BadInput : public ::testing::Test {
 protected:
  // exec.run of `argv` with `more` merged in: how it ended, or {"error": …} when it did not begin.
  Json run(const std::vector<std::string>& argv, const Json& more = Json::object()) const {
    rpc::Client client = instance_.client();
    Streams streams;
    Json end;
    try {
      exec_run(client, instance_, argv, streams, more);
      streams.let_go();
      end = wait_for(client, "exec.exit");
    } catch (const rpc::RemoteError& error) {
      return {{"error", error.what()}, {"code", error.error().code}};
    }
    return end;
  }
  Json run_in(const std::string& workspace) const {
    return run({"/bin/true"},
               {{"workspace", {{"path", workspace}, {"access", "rw"}}}, {"workdir", workspace}});
  }
  Output sc_run_in(const std::string& workspace) const {
    return instance_.sc({"run", "--workspace", workspace, "--", "/bin/true"});
  }
  static std::string text(const Json& answer, const char* member) {
    return answer.value(member, answer.dump());
  }
  Instance instance_;
};

TEST_F(BadInput, AWorkspaceThatDoesNotExistIsNamed) {
  instance_.start();
  const std::string path = instance_.root() + "/nowhere";
  EXPECT_THAT(text(run_in(path), "error"),
              ::testing::AllOf(HasSubstr(path), HasSubstr("No such file")));
  const Output output = sc_run_in(path);
  EXPECT_EQ(output.status, 125);
  EXPECT_THAT(output.err, HasSubstr(path));
}

TEST_F(BadInput, AWorkspaceThatIsAFileIsNamed) {
  instance_.start();
  const std::string path = instance_.workspace() + "/file";
  write_text(path, "text");
  EXPECT_THAT(text(run_in(path), "error"), HasSubstr(path + " is not a directory"));
  EXPECT_THAT(sc_run_in(path).err, HasSubstr("is not a directory"));
  const rpc::Error error = error_of([&] {
    instance_.client().call("session.open",
                            {{"session", "s"}, {"workspace", path}, {"access", "rw"}});
  });
  EXPECT_THAT(error.message, HasSubstr("is not a directory"));
}

TEST_F(BadInput, AWorkspaceThatIsProtectedIsNamed) {
  instance_.start();
  const std::string path = instance_.home() + "/.ssh";
  std::filesystem::create_directories(path);
  const Output output = sc_run_in(path);
  EXPECT_EQ(output.status, 126);
  EXPECT_THAT(output.err, HasSubstr(path));
}

// ramfs has neither id-mapped mounts nor extended attributes.
TEST_F(BadInput, AWorkspaceWhoseFileSystemHasTooLittleIsNamedWithARemedy) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can mount one, and only its calls need them";
  const std::string path = instance_.root() + "/ramfs";
  std::filesystem::create_directory(path);
  // In a mount namespace of the supervisor's own, so that nothing of it stays.
  instance_.start([&] {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("ramfs", path.c_str(), "ramfs", 0, nullptr) != 0) {
      ::_exit(99);
    }
  });
  const Json end = run_in(path);
  EXPECT_EQ(end.value("reason", ""), "sandbox") << end.dump();
  EXPECT_THAT(text(end, "message"),
              ::testing::AllOf(HasSubstr(path), HasSubstr("id-mapped mounts")));
  EXPECT_EQ(run_in(instance_.workspace()).value("exit", -1), 0) << "others go on";
}

TEST_F(BadInput, AWorkspaceThatIsRemovedDuringTheCallIsGoneAndNoMore) {
  instance_.start();
  const std::string path = instance_.root() + "/gone";
  std::filesystem::create_directory(path);
  Process client = instance_.spawn(
      "sc", {"run", "--workspace", path, "--", "/bin/sh", "-c",
             "cd " + path + "; echo up; read go; touch file && echo written; echo end"});
  client.wait_for("up");
  std::filesystem::remove_all(path);
  client.write("go\n");
  const Output output = client.finish();
  EXPECT_EQ(output.status, 0) << output.err;
  EXPECT_EQ(output.out, "up\nend\n");
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_EQ(sc_run_in(path).status, 125);
}

TEST_F(BadInput, ACommandOfAMegabyteRuns) {
  instance_.start();
  std::vector<std::string> argv = {"/bin/true"};
  for (int i = 0; i < 10; ++i) argv.emplace_back(100'000, 'x');
  EXPECT_EQ(run(argv).value("exit", -1), 0);
}

// execve(2): 128 KiB an argument, a quarter of the stack's limit for all of them.
TEST_F(BadInput, ACommandOfTwoMegabytesIsWhatTheKernelMakesOfIt) {
  instance_.start();
  std::vector<std::string> argv = {"/bin/true"};
  for (int i = 0; i < 25; ++i) argv.emplace_back(100'000, 'x');
  const std::vector<std::vector<std::string>> commands = {argv,
                                                          {"/bin/true", std::string(2 << 20, 'x')}};
  for (const auto& command : commands) {
    rpc::Client client = instance_.client();
    Streams streams;
    exec_run(client, instance_, command, streams);
    streams.let_go();
    const Json end = wait_for(client, "exec.exit");
    EXPECT_EQ(end.value("exit", -1), 126) << end.dump();
    char text[256];
    const ssize_t got = ::read(streams.err.get(), text, sizeof text);
    EXPECT_THAT(std::string(text, got > 0 ? static_cast<std::size_t>(got) : 0),
                HasSubstr("longer than the kernel takes"));
  }
  // The record holds what fits, and says so.
  EXPECT_EQ(instance_.records("outcome").size(), 2u);
  EXPECT_EQ(instance_.verify().status, 0);
}

TEST_F(BadInput, AFrameBeyondTheLimitIsRefused) {
  instance_.start();
  const rpc::Error error = error_of([&] {
    Streams streams;
    rpc::Client client = instance_.client();
    exec_run(client, instance_, {"/bin/true", std::string(9 << 20, 'x')}, streams);
  });
  EXPECT_FALSE(error.message.empty());
  EXPECT_EQ(run({"/bin/true"}).value("exit", -1), 0) << "others go on";
}

TEST_F(BadInput, AnEmptyCommandIsNone) {
  instance_.start();
  EXPECT_THAT(text(run({}), "error"), HasSubstr("no program"));
  EXPECT_THAT(text(run({""}), "error"), HasSubstr("no program"));
  EXPECT_NE(instance_.sc({"run", "--", ""}).status, 0);
  EXPECT_EQ(instance_.sc({"run", "--"}).status, 2);
  EXPECT_EQ(run({"/bin/sh", "-c", ""}).value("exit", -1), 0) << "a script may be empty";
}

TEST_F(BadInput, OnTheCommandLineIsWrongUsageInPlainWords) {
  const std::string long_name(201, 'k');
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"run", "--", ""}, "empty"},
      {{"run", "--timeout", "0s", "--", "true"}, "no time"},
      {{"run", "--timeout", "99999999d", "--", "true"}, "longer than 366d"},
      {{"run", "--timeout", "1y", "--", "true"}, "units: ms, s, m, h, d"},
      {{"run", "--workspace", ".:rx", "--", "true"}, "\":ro\" or \":rw\""},
      {{"run", "--workspace", "", "--", "true"}, "empty"},
      {{"run", "--session", "", "--", "true"}, "empty"},
      {{"run", "--session", long_name, "--", "true"}, "longer than 200 bytes"},
      {{"run", "--skill", "", "--", "true"}, "empty"},
      {{"audit", "--since", "1y"}, "units: ms, s, m, h, d"},
      {{"audit", "--once"}, "--blocked"}};
  for (const auto& [arguments, words] : wrong) {
    const Output output = instance_.sc(arguments);
    EXPECT_EQ(output.status, 2) << output.err;
    EXPECT_THAT(output.err, HasSubstr(words));
  }
}

TEST_F(BadInput, ACommandWithNulIsRefused) {
  instance_.start();
  EXPECT_THAT(text(run({"/bin/echo", std::string("a\0b", 3)}), "error"), HasSubstr("NUL"));
  EXPECT_THAT(text(run({std::string("/bin/true\0", 10)}), "error"), HasSubstr("NUL"));
}

class Grants : public BadInput {
 protected:
  // A manifest whose grants name `count` directories, `each` in one capability.
  std::string skill_with(std::size_t count, std::size_t each) const {
    Json capabilities = {{{"capability", "system.exec"}, {"reason", "test"}}};
    for (std::size_t i = 0; i < count;) {
      Json scope = Json::array();
      for (std::size_t k = 0; k < each && i < count; ++k, ++i) {
        const std::string path = instance_.root() + "/many/" + std::to_string(i);
        std::filesystem::create_directories(path);
        scope.push_back(path);
      }
      capabilities.push_back(
          {{"capability", "system.files.read"}, {"scope", scope}, {"reason", "test"}});
    }
    return instance_.write_skill("many", capabilities);
  }
};

TEST_F(Grants, OfTenThousandDirectoriesAreRefusedWhereTheyAreWritten) {
  instance_.start();
  const Output one = instance_.sc({"skill", "add", skill_with(10'000, 10'000)});
  EXPECT_EQ(one.status, 1);
  EXPECT_THAT(one.err, ::testing::AllOf(HasSubstr("scope"), HasSubstr("more than 64")));
  const Output spread = instance_.sc({"skill", "add", skill_with(10'000, 64)});
  EXPECT_EQ(spread.status, 1);
  EXPECT_THAT(spread.err, AnyOf(HasSubstr("more than 64"), HasSubstr("larger than")));
}

// The most that a manifest can ask for.
TEST_F(Grants, OfFourThousandDirectoriesWork) {
  instance_.start();
  constexpr std::size_t kMost = 63 * 64;
  ASSERT_EQ(instance_.sc({"skill", "add", skill_with(kMost, 64)}).status, 0);
  const Output approved = instance_.sc({"approve", "many", "--yes"});
  ASSERT_EQ(approved.status, 0) << approved.err;
  EXPECT_THAT(approved.out, HasSubstr(instance_.root() + "/many/0"));
  const auto begin = std::chrono::steady_clock::now();
  const Output output = instance_.sc({"run", "--skill", "many", "--", "/bin/sh", "-c",
                                      "ls " + instance_.root() + "/many | wc -l"});
  RecordProperty("milliseconds",
                 static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                      std::chrono::steady_clock::now() - begin)
                                      .count()));
  EXPECT_EQ(output.out, std::to_string(kMost) + "\n") << output.err;
  EXPECT_EQ(output.status, 0);
}

TEST_F(Grants, OfEverythingAreRefusedAndNamed) {
  instance_.start();
  for (const char* capability : {"system.files.read", "system.files.write"}) {
    const std::string name = std::string("all-") + (capability + 13);
    const std::string folder = instance_.write_skill(
        name, Json::array({{{"capability", capability}, {"scope", {"/"}}, {"reason", "test"}}}));
    const Output added = instance_.sc({"skill", "add", folder});
    const Output approved = instance_.sc({"approve", name, "--yes"});
    EXPECT_NE(approved.status, 0) << approved.out;
    EXPECT_THAT(added.err + approved.err, HasSubstr("\"/\"")) << added.err << approved.err;
    EXPECT_EQ(instance_.sc({"run", "--skill", name, "--", "/bin/true"}).status, 126);
  }
}

}  // namespace
}  // namespace sharkcage::testing
