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
