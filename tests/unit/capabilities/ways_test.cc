#include "capabilities/ways.h"

#include <gmock/gmock.h>

#include "fixture.h"

namespace sharkcage {
namespace {

using WaysTest = Scratch;

TEST_F(WaysTest, LeadOverLinksToWhatIsMissing) {
  make_directory("a");
  link("b/../../c/./d", "a/link");
  make_directory("a/b");
  Ways ways;
  EXPECT_EQ(WayFinder().follow(at("a/link/e"), ways), at("c/d/e"));
  EXPECT_THAT(ways[at("a")].names, testing::ElementsAre("b", "link"));
  EXPECT_THAT(ways[root_].names, testing::ElementsAre("a", "c"));
  EXPECT_FALSE(ways.contains(at("c")));
}

// Whether a directory may be searched matters for its ".." as well.
TEST_F(WaysTest, LeadThroughWhatIsLeftAgain) {
  make_directory("a/b");
  make_directory("a/c");
  link("b/../c", "a/link");
  Ways ways;
  EXPECT_EQ(WayFinder().follow(at("a/link"), ways), at("a/c"));
  EXPECT_TRUE(ways.contains(at("a/b")));
}

TEST_F(WaysTest, HaveAnEnd) {
  link("b", "a");
  link("a", "b");
  Ways ways;
  EXPECT_EQ(WayFinder().follow(at("a/c"), ways), std::nullopt);
}

}  // namespace
}  // namespace sharkcage
