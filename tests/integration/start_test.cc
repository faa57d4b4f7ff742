// A configuration that is not understood serves nobody.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/integration/instance.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

struct Case {
  std::string text;
  std::vector<std::string> named;  // what the error names beside the file
};

class Start : public ::testing::Test {
 protected:
  void expect_refused(const Case& wrong) {
    instance_.configure(wrong.text);
    for (const Output& end : {instance_.start_in_vain(), instance_.sc({"start"}),
                              instance_.sc({"start", "--foreground"})}) {
      EXPECT_EQ(end.status, 1) << wrong.text.substr(0, 100);
      EXPECT_THAT(end.err, HasSubstr(instance_.places().config_file()))
          << wrong.text.substr(0, 100);
      for (const auto& name : wrong.named) EXPECT_THAT(end.err, HasSubstr(name));
      EXPECT_LT(end.err.size(), 4096u);
    }
    EXPECT_FALSE(std::filesystem::exists(instance_.places().socket()));
  }
  Instance instance_;
};

TEST_F(Start, AnUnknownKeyIsNamedWithTheKnownOnes) {
  expect_refused({R"({"service": {}})", {"unknown key \"service\"", "Known:", "services"}});
  expect_refused({R"({"limits": {"ram": 1}})", {"limits", "unknown key \"ram\"", "memory"}});
  expect_refused(
      {R"({"operators": {"names": []}})", {"operators", "unknown key \"names\"", "users"}});
}

TEST_F(Start, AMalformedFileIsNamedWithThePlace) {
  expect_refused({"{\n  \"services\": {\n", {"line 3"}});
  expect_refused({"", {"not valid JSON"}});
  expect_refused({"[]", {"expected a JSON object"}});
  expect_refused({"{\"services\": {}, \"services\": {}}", {"stands twice"}});
  expect_refused({std::string(1 << 20, '[').substr(1), {"nested deeper"}});
  expect_refused({std::string(2 << 20, ' '), {"larger than"}});
  expect_refused({"\xff\xfe", {"not valid JSON"}});
}

TEST_F(Start, AValueThatIsNoneOfItsKindIsNamed) {
  expect_refused({R"({"services": {"api": "not a host"}})", {"services"}});
  expect_refused({R"({"services": {"api": 1}})", {"services"}});
  expect_refused({R"({"deny_hosts": ["*.*"]})", {"deny_hosts"}});
  expect_refused({R"({"network": {"programs": ["no-such-program"]}})", {"network.programs"}});
  expect_refused({R"({"network": {"skills": {"a": {"deny_hosts": ["*.*"]}}}})",
                  {"network.skills.a.deny_hosts"}});
  expect_refused({R"({"network": {"skills": {"A b": {}}}})", {"network.skills.A b"}});
  expect_refused({R"({"protected_paths": ["relative"]})", {"protected_paths", "absolute"}});
  expect_refused({R"({"limits": {"wall": "soon"}})", {"limits.wall"}});
  expect_refused({R"({"limits": {"pids": -1}})", {"limits.pids"}});
  expect_refused({R"({"capabilities": {"my.thing": {"risk": "terrible"}}})", {"my.thing"}});
}

TEST_F(Start, ADirectoryThatOthersCanWriteIsRefused) {
  const std::string var = instance_.places().state_dir;
  std::filesystem::create_directories(var);
  ASSERT_EQ(::chmod(var.c_str(), 0777), 0);
  const Output end = instance_.start_in_vain();
  EXPECT_EQ(end.status, 1);
  EXPECT_THAT(end.err, HasSubstr(var));
  EXPECT_THAT(end.err, HasSubstr("chmod go-w"));
}

TEST_F(Start, WrongUsageIsNotAFailure) {
  EXPECT_EQ(instance_.sc({"start", "--no-such-option"}).status, 2);
  EXPECT_EQ(instance_.sc({"no-such-command"}).status, 2);
  EXPECT_EQ(instance_.sc({"run", "--timeout", "soon", "--", "/bin/true"}).status, 2);
  EXPECT_EQ(instance_.sc({"run"}).status, 2);
  EXPECT_EQ(instance_.sc({"start", "--help"}).status, 0);
}

}  // namespace
}  // namespace sharkcage::testing
