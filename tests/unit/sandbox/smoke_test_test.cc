#include "supervisor/sandbox/smoke_test.h"

#include <gmock/gmock.h>

#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

class SmokeTest : public Sandbox {};
INSTANTIATE_TEST_SUITE_P(Install, SmokeTest, ::testing::ValuesIn(installs()), name_of);

TEST_P(SmokeTest, FindsEveryRequiredFacilityHere) {
  const auto facilities = smoke_test(launcher(), spec({"true"}).identity, workspace_);
  for (const Facility& facility : facilities) {
    EXPECT_TRUE(facility.ok || !facility.required)
        << facility.name << ": " << facility.detail << ". " << facility.remedy;
    EXPECT_FALSE(facility.detail.empty()) << facility.name;
  }
  EXPECT_TRUE(can_sandbox(facilities));
  EXPECT_GE(facilities.size(), 9u);
  EXPECT_TRUE(std::filesystem::is_empty(workspace_));
}

TEST_P(SmokeTest, NamesTheReasonWhenAHostCannotSandbox) {
  Identity identity = spec({"true"}).identity;
  // The wrong kind of install for this launcher: it refuses to take or to keep the ids.
  identity.host_uid = privileged() ? 0 : 1234567;
  const auto facilities = smoke_test(launcher(), identity, workspace_);
  EXPECT_FALSE(can_sandbox(facilities));
  EXPECT_THAT(facilities.at(0).detail, ::testing::HasSubstr("uid"));
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
