#include "capabilities/catalogue.h"

#include <gmock/gmock.h>

#include "capabilities/variables.h"
#include "fixture.h"

namespace sharkcage {
namespace {

using testing::HasSubstr;

TEST(Catalogue, HoldsEveryCapabilityWithItsRisk) {
  const Catalogue catalogue;
  const std::map<std::string, Risk> expected = {
      {"network.external", Risk::kMedium}, {"network.internal", Risk::kMedium},
      {"home.read", Risk::kLow},           {"home.control", Risk::kMedium},
      {"home.automation", Risk::kMedium},  {"data.meals", Risk::kLow},
      {"data.preferences", Risk::kLow},    {"data.history", Risk::kMedium},
      {"data.memory", Risk::kMedium},      {"fleet.read", Risk::kLow},
      {"fleet.dispatch", Risk::kMedium},   {"fleet.manage", Risk::kHigh},
      {"notify.push", Risk::kLow},         {"notify.signal", Risk::kHigh},
      {"system.files.read", Risk::kHigh},  {"system.files.write", Risk::kDangerous},
      {"system.exec", Risk::kDangerous},   {"system.env", Risk::kHigh},
      {"cost.api", Risk::kMedium}};
  for (const auto& [name, risk] : expected) {
    const CatalogueEntry* entry = catalogue.find(name);
    ASSERT_NE(entry, nullptr) << name;
    EXPECT_EQ(entry->risk, risk) << name;
  }
  EXPECT_EQ(catalogue.entries().size(), expected.size());
}

TEST(Catalogue, SuggestsTheNearestName) {
  const Catalogue catalogue;
  EXPECT_EQ(catalogue.nearest("network.externel"), "network.external");
  EXPECT_EQ(catalogue.nearest("system.files.reed"), "system.files.read");
  EXPECT_EQ(catalogue.nearest("exec"), "system.exec");
  EXPECT_EQ(catalogue.nearest("zzzzzzzzzzzzzz"), "");
  EXPECT_EQ(catalogue.nearest(std::string(1'000'000, 'a')), "");
}

TEST(Catalogue, TakesOwnEntriesFromTheConfiguration) {
  const Catalogue catalogue({{"acme.tickets", Json{{"label", "read tickets"},
                                                   {"risk", "medium"},
                                                   {"internal", true},
                                                   {"hosts", {"tickets.acme.internal:8443"}},
                                                   {"variables", {"TICKETS_TOKEN"}}}},
                             {"home.read", Json{{"hosts", {"ha.lan:8123"}}}}});
  ASSERT_NE(catalogue.find("acme.tickets"), nullptr);
  EXPECT_EQ(catalogue.find("acme.tickets")->service.variables.at(0), "TICKETS_TOKEN");
  EXPECT_EQ(catalogue.find("home.read")->service.hosts.at(0), "ha.lan:8123");
  EXPECT_EQ(catalogue.find("home.read")->service.variables.size(), 2u);
}

TEST(Catalogue, RefusesOwnEntriesThatMisleadAPerson) {
  const auto refused = [](const std::string& name, const Json& entry) {
    return complaint_of([&] { Catalogue catalogue({{name, entry}}); });
  };
  // A built-in name keeps its meaning and its risk.
  EXPECT_THAT(refused("system.exec", {{"risk", "low"}}), HasSubstr("system.exec"));
  EXPECT_THAT(refused("network.external", {{"hosts", {"evil.example:443"}}}),
              HasSubstr("cannot be changed"));
  EXPECT_THAT(refused("home.read", {{"risk", "low"}}), HasSubstr("cannot be changed"));
  EXPECT_THAT(refused("acme.x", {{"label", "do x"}}), HasSubstr("acme.x.risk: missing"));
  EXPECT_THAT(refused("acme.x", {{"label", "a\x1b[2Jb"}, {"risk", "low"}}), HasSubstr("label"));
  EXPECT_THAT(refused("acme.x", {{"label", "x"}, {"risk", "none"}}), HasSubstr("Known: low"));
  EXPECT_THAT(refused("acme.x", {{"label", "x"}, {"risk", "low"}, {"rosk", 1}}), HasSubstr("rosk"));
  EXPECT_THAT(refused("acme.x", {{"label", "x"}, {"risk", "low"}, {"hosts", {"*"}}}),
              HasSubstr("acme.x.hosts[0]"));
  EXPECT_THAT(refused("acme.x", {{"label", "x"}, {"risk", "low"}, {"variables", {"LD_PRELOAD"}}}),
              HasSubstr("LD_PRELOAD"));
  EXPECT_THAT(refused("Bad", {{"label", "x"}, {"risk", "low"}}),
              HasSubstr("no name of a capability"));
  EXPECT_THAT(refused("acme.x", Json(1)), HasSubstr("expected an object"));
}

TEST(Catalogue, KnowsInterpretersInEveryVersion) {
  const Catalogue catalogue;
  for (const char* name : {"python3", "/usr/bin/python3.11", "sh", "bash", "node", "perl5.36",
                           "lua5.4", "ruby3.1", "mawk", "busybox", "vim.basic", "R", "php8.2"}) {
    EXPECT_TRUE(catalogue.is_interpreter(name)) << name;
  }
  for (const char* name : {"grep", "curl", "wc", "sort", "/usr/bin/cat", "shred", "nodelist", ""}) {
    EXPECT_FALSE(catalogue.is_interpreter(name)) << name;
  }
}

TEST(Variables, ThoseThatRunCodeAreKnown) {
  for (const char* name :
       {"LD_PRELOAD", "LD_LIBRARY_PATH", "NODE_OPTIONS", "PYTHONPATH", "BASH_ENV", "ENV",
        "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "PERL5LIB", "RUBYOPT", "EDITOR", "PAGER",
        "BASH_FUNC_ls%%", "GCONV_PATH", "PHPRC", "LESSOPEN"}) {
    EXPECT_TRUE(is_code_variable(name)) << name;
  }
  for (const char* name : {"HA_TOKEN", "LANG", "TERM", "OPENAI_API_KEY", "TZ", "LC_ALL"}) {
    EXPECT_FALSE(is_code_variable(name)) << name;
  }
  EXPECT_TRUE(is_reserved_variable("PATH"));
  EXPECT_TRUE(is_reserved_variable("https_proxy"));
  EXPECT_TRUE(is_reserved_variable("SHARKCAGE_TICKET"));
  for (const char* name : {"", "1A", "A-B", "A B", "A=B", "Ä"}) {
    EXPECT_FALSE(is_variable_name(name)) << name;
  }
}

}  // namespace
}  // namespace sharkcage
