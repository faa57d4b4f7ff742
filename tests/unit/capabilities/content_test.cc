#include "capabilities/content.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <thread>

#include "common/fd.h"
#include "fixture.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Content : public Scratch {
 protected:
  Content() {
    write("skill/SKILL.md", "words");
    write("skill/scripts/run.sh", "#!/bin/sh\necho hi\n", 0755);
    link("scripts/run.sh", "skill/run");
    make_directory("store");
  }
  std::string digest() const { return content_digest(at("skill")); }
  mode_t mode_of(const std::string& path) const {
    struct stat status {};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777;
  }
};

TEST_F(Content, EveryChangeChangesTheDigest) {
  const std::string before = digest();
  EXPECT_EQ(digest(), before);
  std::set<std::string> seen = {before};
  const auto fresh = [&](const char* what) { EXPECT_TRUE(seen.insert(digest()).second) << what; };
  write("skill/SKILL.md", "wordt");
  fresh("one byte");
  write("skill/SKILL.md", "words ");
  fresh("one more byte");
  write("skill/SKILL.md", "words", 0755);
  fresh("the executable bit");
  write("skill/SKILL.md", "words");
  fs::remove(at("skill/run"));
  fresh("a link removed");
  link("SKILL.md", "skill/run");
  fresh("a link's target");
  fs::remove(at("skill/run"));
  write("skill/run", "SKILL.md");
  fresh("a link replaced by a file");
  fs::rename(at("skill/run"), at("skill/ran"));
  fresh("a name");
  make_directory("skill/empty");
  fresh("an empty directory");
}

TEST_F(Content, OwnersTimesAndOtherModesAreNotContent) {
  const std::string before = digest();
  write("skill/SKILL.md", "words", 0600);
  EXPECT_EQ(digest(), before);
  write("skill/scripts/run.sh", "#!/bin/sh\necho hi\n", 04711);
  EXPECT_EQ(digest(), before);
}

// A name cannot be made to read as the end of one entry and the start of another.
TEST_F(Content, EntriesCannotRunIntoEachOther) {
  fs::remove_all(at("skill"));
  write("skill/a", "b");
  write("skill/c", "d");
  const std::string two = digest();
  fs::remove(at("skill/c"));
  write("skill/a", "bf- 1:c1:d");
  EXPECT_NE(digest(), two);
}

TEST_F(Content, RefusesWhatIsNoFileDirectoryOrLink) {
  ASSERT_EQ(::mkfifo(at("skill/pipe").c_str(), 0600), 0);
  EXPECT_THAT(complaint_of([&] { digest(); }), HasSubstr("skill/pipe is a fifo"));
  fs::remove(at("skill/pipe"));

  const UniqueFd sock(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = at("skill/sock");
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(sock.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_THAT(complaint_of([&] { digest(); }), HasSubstr("is a socket"));
}

TEST_F(Content, RefusesLinksThatLeaveTheSkill) {
  const auto refuses = [&](const std::string& target) {
    fs::remove(at("skill/out"));
    link(target, "skill/out");
    return complaint_of([&] { digest(); });
  };
  EXPECT_THAT(refuses("/etc/passwd"),
              HasSubstr("skill/out: the link to \"/etc/passwd\" leads out"));
  EXPECT_THAT(refuses("../secret"), HasSubstr("leads out"));
  EXPECT_THAT(refuses("scripts/../../secret"), HasSubstr("leads out"));
  EXPECT_THAT(refuses(".."), HasSubstr("leads out"));
  EXPECT_THAT(refuses("out"), HasSubstr("leads out"));  // a loop leads nowhere

  // Only on the way through another link does this one climb too far.
  fs::remove(at("skill/out"));
  make_directory("skill/a/b");
  link("../..", "skill/a/b/up");
  link("a/b/up/../secret", "skill/out");
  EXPECT_THAT(complaint_of([&] { digest(); }), HasSubstr("leads out"));
  fs::remove(at("skill/out"));
  EXPECT_NO_THROW(digest());
}

TEST_F(Content, RefusesNamesThatDeceive) {
  for (const char* name : {"a\nb", "a\x1b[2J", "a\xff", "a\u202Eb"}) {
    write(std::string("skill/") + name, "");
    EXPECT_THAT(complaint_of([&] { digest(); }), HasSubstr("Rename it")) << name;
    fs::remove(at(std::string("skill/") + name));
  }
}

TEST_F(Content, HoldsItsLimits) {
  EXPECT_THAT(complaint_of([&] {
                content_digest(at("skill"), {3, 1000, 32});
              }),
              HasSubstr("more than 3 files"));
  EXPECT_THAT(complaint_of([&] {
                content_digest(at("skill"), {100, 10, 32});
              }),
              HasSubstr("more than 10 bytes"));
  EXPECT_THAT(complaint_of([&] {
                content_digest(at("skill"), {100, 1000, 1});
              }),
              HasSubstr("nested deeper than 1"));
  std::string deep = "skill";
  for (int i = 0; i < 40; ++i) deep += "/d";
  make_directory(deep);
  EXPECT_THAT(complaint_of([&] { digest(); }), HasSubstr("nested deeper"));
}

// A huge file costs no time: its size alone is too much.
TEST_F(Content, SparseFilesCountWithTheirSize) {
  write("skill/huge", "");
  ASSERT_EQ(::truncate(at("skill/huge").c_str(), 1ll << 40), 0);
  EXPECT_THAT(complaint_of([&] { digest(); }), HasSubstr("skill/huge"));
}

TEST_F(Content, TheStoreKeepsWhatWasHashed) {
  ContentStore store(at("store"));
  const std::string added = store.add(at("skill"));
  EXPECT_EQ(added, digest());
  EXPECT_EQ(store.find(added), at("store/" + added));
  EXPECT_TRUE(store.intact(added));
  EXPECT_EQ(store.add(at("skill")), added);
  EXPECT_EQ(read_file(store.find(added) + "/scripts/run.sh", 100), "#!/bin/sh\necho hi\n");
  EXPECT_EQ(store.find("../skill"), "");
}

TEST_F(Content, CopiesAreReadOnlyAndPlain) {
  write("skill/scripts/run.sh", "#!/bin/sh\n", 06777);
  ContentStore store(at("store"));
  const std::string copy = store.find(store.add(at("skill")));
  EXPECT_EQ(mode_of(copy), 0555u);
  EXPECT_EQ(mode_of(copy + "/scripts"), 0555u);
  EXPECT_EQ(mode_of(copy + "/scripts/run.sh"), 0555u);
  EXPECT_EQ(mode_of(copy + "/SKILL.md"), 0444u);
  EXPECT_TRUE(fs::is_symlink(copy + "/run"));
}

TEST_F(Content, ARefusedSkillLeavesNothingInTheStore) {
  link("/etc", "skill/out");
  ContentStore store(at("store"));
  EXPECT_THROW(store.add(at("skill")), UserError);
  EXPECT_TRUE(fs::is_empty(at("store")));
}

TEST_F(Content, ADamagedCopyIsReplaced) {
  ContentStore store(at("store"));
  const std::string added = store.add(at("skill"));
  const std::string file = store.find(added) + "/SKILL.md";
  fs::permissions(file, fs::perms::owner_all);
  write("store/" + added + "/SKILL.md", "other");
  EXPECT_FALSE(store.intact(added));
  EXPECT_EQ(store.add(at("skill")), added);
  EXPECT_TRUE(store.intact(added));
  EXPECT_EQ(read_file(file, 100), "words");
}

TEST_F(Content, SweepsWhatNothingRefersTo) {
  ContentStore store(at("store"));
  const std::string first = store.add(at("skill"));
  write("skill/SKILL.md", "more words");
  const std::string second = store.add(at("skill"));
  make_directory("store/.new-0123456789abcdef/left/over");
  write("store/unrelated", "");
  EXPECT_EQ(store.remove_unreferenced({second}), 2u);
  EXPECT_EQ(store.find(first), "");
  EXPECT_TRUE(store.intact(second));
  EXPECT_TRUE(fs::exists(at("store/unrelated")));
}

// While one thread keeps swapping files for others and for links, what ends up in the store is
// always exactly what its name says, and never the bytes of a file outside.
TEST_F(Content, SwappingFilesDuringAddNeverSplitsDigestAndBytes) {
  write("secret", "SECRET");
  ContentStore store(at("store"));
  std::atomic<bool> stop = false;
  std::thread attacker([&] {
    std::error_code error;
    for (int i = 0; !stop; ++i) {
      write("spare",
            std::string(static_cast<std::size_t>(i % 7) * 1000, static_cast<char>('a' + i % 7)));
      fs::rename(at("spare"), at("skill/SKILL.md"), error);
      fs::create_symlink(at("secret"), at("trap"), error);
      fs::rename(at("trap"), at("skill/SKILL.md"), error);
    }
  });
  int taken = 0;
  for (int i = 0; i < 200; ++i) {
    try {
      const std::string digest = store.add(at("skill"));
      EXPECT_TRUE(store.intact(digest));
      EXPECT_THAT(read_file(store.find(digest) + "/SKILL.md", 10'000),
                  testing::Not(HasSubstr("SECRET")));
      ++taken;
    } catch (const UserError&) {
      // A link that leaves the skill, or a file that changed meanwhile.
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), ENOENT) << error.what();
    }
  }
  stop = true;
  attacker.join();
  RecordProperty("taken", taken);
  for (const auto& entry : fs::directory_iterator(at("store"))) {
    EXPECT_TRUE(store.intact(entry.path().filename().string())) << entry.path();
  }
}

// Sets the change time of everything in the skill into the past as far as the watch can see: it is
// asked again until it may trust its stamps.
TEST_F(Content, TheWatchSeesEveryChange) {
  ContentWatch watch;
  const std::string before = watch.digest(at("skill"));
  EXPECT_EQ(before, digest());
  EXPECT_EQ(watch.digest(at("skill")), before);
  write("skill/SKILL.md", "wordt");  // the same size, within the same tick perhaps
  EXPECT_EQ(watch.digest(at("skill")), digest());
  fs::last_write_time(at("skill/SKILL.md"),
                      fs::file_time_type::clock::now() - std::chrono::hours(9));
  write("skill/scripts/run.sh", "#!/bin/sh\necho ho\n", 0755);
  EXPECT_EQ(watch.digest(at("skill")), digest());
  fs::remove(at("skill/run"));
  EXPECT_EQ(watch.digest(at("skill")), digest());
  EXPECT_NE(watch.digest(at("skill")), before);
}

}  // namespace
}  // namespace sharkcage
