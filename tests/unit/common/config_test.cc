// The configuration names operators: it is only read from a file that nobody else can write.
#include "common/config.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/errors.h"
#include "common/fd.h"

namespace sharkcage {
namespace {

using ::testing::HasSubstr;

class ConfigFile : public ::testing::Test {
 protected:
  ConfigFile() {
    std::string pattern = ::testing::TempDir() + "sharkcage-config-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/config.json";
    write_file_atomically(path_, R"({"allow_unsandboxed": ["one"]})", 0644);
  }
  ~ConfigFile() override { std::filesystem::remove_all(directory_); }

  std::string refusal() const {
    try {
      load_config(path_);
    } catch (const UserError& error) {
      return error.what();
    }
    return "none";
  }

  std::string directory_;
  std::string path_;
};

TEST_F(ConfigFile, OfOnesOwnIsRead) {
  EXPECT_EQ(load_config(path_).allow_unsandboxed, std::vector<std::string>{"one"});
  EXPECT_EQ(load_config(directory_ + "/missing").allow_unsandboxed, std::vector<std::string>());
}

TEST_F(ConfigFile, ThatOthersCanWriteIsRefused) {
  ASSERT_EQ(::chmod(path_.c_str(), 0646), 0);
  EXPECT_THAT(refusal(), HasSubstr("can be written by other users"));
}

TEST_F(ConfigFile, ThatAnotherGroupCanWriteIsRefused) {
  ASSERT_EQ(::chmod(path_.c_str(), 0664), 0);
  EXPECT_EQ(refusal(), "none") << "the group is one's own";
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file to any group";
  ASSERT_EQ(::chown(path_.c_str(), 0, 12345), 0);
  EXPECT_THAT(refusal(), HasSubstr("can be written by other users"));
}

TEST_F(ConfigFile, OfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_EQ(::chown(path_.c_str(), 12345, 12345), 0);
  EXPECT_THAT(refusal(), HasSubstr("belongs to user id 12345"));
}

TEST_F(ConfigFile, SaysWhoHasTheNetwork) {
  write_file_atomically(path_, R"({"network": {"tools": ["exec"], "skills": {
      "weather": {"programs": ["curl"], "deny_hosts": ["a.example"]}, "none": {"tools": []}}}})",
                        0644);
  const NetworkConfig network = load_config(path_).network;
  EXPECT_TRUE(network.reach_of("other").allows_tool("exec"));
  EXPECT_FALSE(network.reach_of("other").allows_tool("process"));
  EXPECT_FALSE(network.reach_of("other").programs);
  EXPECT_FALSE(network.reach_of("none").allows_tool("exec"));
  EXPECT_EQ(network.reach_of("weather").programs, std::vector<std::string>{"curl"});
  EXPECT_FALSE(network.reach_of("weather").allows_tool("process"));
  EXPECT_EQ(network.denied_to("weather"), std::vector<std::string>{"a.example"});
  EXPECT_TRUE(network.denied_to("other").empty());
  EXPECT_TRUE(NetworkConfig().reach_of("other").allows_tool("anything"));
  const Config again = config_from_json(load_config(path_).to_json(), "again");
  EXPECT_EQ(again.network.to_json(), network.to_json());
}

TEST_F(ConfigFile, NamesWhatIsWrongAboutTheNetwork) {
  const auto refused = [&](const std::string& network) {
    write_file_atomically(path_, "{\"network\": " + network + "}", 0644);
    return refusal();
  };
  EXPECT_THAT(refused("[]"), HasSubstr("network: expected an object"));
  EXPECT_THAT(refused(R"({"tool": []})"), HasSubstr("network: unknown key \"tool\""));
  EXPECT_THAT(refused(R"({"tools": "exec"})"), HasSubstr("network.tools: expected a list"));
  EXPECT_THAT(refused(R"({"programs": [""]})"), HasSubstr("network.programs: an empty name"));
  EXPECT_THAT(refused(R"({"skills": {"a": {"hosts": []}}})"),
              HasSubstr("network.skills.a: unknown key \"hosts\""));
  EXPECT_THAT(refused(R"({"skills": {"a": {"deny_hosts": [1]}}})"),
              HasSubstr("network.skills.a.deny_hosts[0]: expected a string"));
}

// Where commands have the person's user id, they share a count of descriptors on their way.
TEST_F(ConfigFile, OpenFilesOfCommandsAreFewerBesideAPerson) {
  const std::uint64_t expected = ::geteuid() == 0 ? Limits().open_files : 512;
  EXPECT_EQ(load_config(path_).limits.open_files, expected);
  EXPECT_EQ(load_config(directory_ + "/missing").limits.open_files, expected);
  write_file_atomically(path_, R"({"limits": {"open_files": 3000}})", 0644);
  EXPECT_EQ(load_config(path_).limits.open_files, 3000u);
}

}  // namespace
}  // namespace sharkcage
