#include "common/places.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/errors.h"

namespace sharkcage {
namespace {

class PlacesTest : public testing::Test {
 protected:
  PlacesTest() {
    std::string path = testing::TempDir() + "places.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) throw_errno("mkdtemp", path);
    home_ = path;
    ::setenv("SHARKCAGE_HOME", home_.c_str(), 1);
  }
  ~PlacesTest() override {
    ::unsetenv("SHARKCAGE_HOME");
    std::filesystem::remove_all(home_);
  }

  static mode_t mode_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777;
  }

  std::string home_;
};

TEST_F(PlacesTest, ModesDoNotDependOnTheUmask) {
  const mode_t before = ::umask(0077);
  create_places(find_places());
  ::umask(before);
  // Peers of a system install reach the socket; nobody else enters the rest.
  EXPECT_EQ(mode_of(home_ + "/run"), ::geteuid() == 0 ? 0755u : 0700u);
  for (const char* closed :
       {"/etc", "/var", "/var/audit", "/var/seal", "/var/keys", "/var/skills"}) {
    EXPECT_EQ(mode_of(home_ + closed), 0700u) << closed;
  }
}

TEST_F(PlacesTest, ADirectoryThatOthersCanWriteIsRefused) {
  std::filesystem::create_directory(home_ + "/var");
  ASSERT_EQ(::chmod((home_ + "/var").c_str(), 0777), 0);
  EXPECT_THROW(create_places(find_places()), UserError);
}

}  // namespace
}  // namespace sharkcage
