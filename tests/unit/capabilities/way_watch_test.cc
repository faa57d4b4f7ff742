// What the kernel tells of the ways to paths: nothing that happens while a watch is begun is
// missed, nothing stays behind, and nobody can keep the supervisor listening.
#include "capabilities/way_watch.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "fixture.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

// The inodes that this process watches, as fdinfo has them (proc_pid_fdinfo(5)), one a watch.
std::vector<std::uint64_t> watched_inodes() {
  std::vector<std::uint64_t> inodes;
  for (const auto& entry : fs::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      const std::size_t at = line.find(" ino:");
      if (!line.starts_with("inotify ") || at == std::string::npos) continue;
      inodes.push_back(std::stoull(line.substr(at + 5), nullptr, 16));
    }
  }
  return inodes;
}

std::uint64_t inode_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw_errno("stat", path);
  return status.st_ino;
}

class WayWatchTest : public Scratch {
 protected:
  WayWatch watch_;
};

TEST_F(WayWatchTest, DoesNotMissWhatHappensWhileItBegins) {
  Ways ways;
  ways[make_directory("a")].names = {"b"};
  ways[make_directory("a/b")].names = {"c"};
  for (int i = 0; i < 300; ++i) ways[make_directory("z/" + std::to_string(i))].names = {"x"};

  // Once that one is watched, and most are not yet.
  const std::uint64_t old = inode_of(at("a/b"));
  std::atomic<bool> begun = false;
  std::thread other([&] {
    while (!begun) {
      const auto inodes = watched_inodes();
      if (std::find(inodes.begin(), inodes.end(), old) != inodes.end()) break;
    }
    fs::rename(at("a/b"), at("a/moved"));
    make_directory("a/b");
  });
  EXPECT_TRUE(watch_.watch(ways));
  begun = true;
  other.join();
  write("a/b/c", "in the directory that is there now");
  EXPECT_FALSE(watch_.quiet());
}

TEST_F(WayWatchTest, LeavesNoWatchBehindThatItDoesNotKnow) {
  Ways ways;
  for (int i = 0; i < 10; ++i) ways[make_directory("a/" + std::to_string(i))].names = {"x"};
  ways[at("nowhere")].names = {"x"};
  const std::size_t before = watched_inodes().size();
  EXPECT_FALSE(watch_.watch(ways));
  EXPECT_EQ(watched_inodes().size(), before);

  ways.erase(at("nowhere"));
  EXPECT_TRUE(watch_.watch(ways));
  EXPECT_EQ(watched_inodes().size(), before + ways.size());
  EXPECT_TRUE(watch_.quiet());
}

// Whoever makes and removes files in a watched directory makes asking dear, and no more.
TEST_F(WayWatchTest, SaysSoRatherThanReadOnAndOn) {
  Ways ways;
  ways[make_directory("a")].names = {"x"};
  ASSERT_TRUE(watch_.watch(ways));
  for (int i = 0; i < 100; ++i) write("a/some" + std::to_string(i), "");
  EXPECT_TRUE(watch_.quiet()) << "few of them";
  for (int i = 0; i < 2000; ++i) {
    const std::string path = at("a/many" + std::to_string(i % 2));
    ::close(::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ::unlink(path.c_str());
  }
  EXPECT_FALSE(watch_.quiet());
  EXPECT_TRUE(watch_.quiet()) << "the rest was thrown away";
}

}  // namespace
}  // namespace sharkcage
