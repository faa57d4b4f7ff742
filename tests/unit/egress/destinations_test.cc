#include "capabilities/destinations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/errors.h"

namespace sharkcage::egress {
namespace {

using ::testing::HasSubstr;

Destination to(const std::string& host, unsigned port = 443) {
  auto result = destination_from_text(host, port);
  const auto* destination = std::get_if<Destination>(&result);
  if (destination == nullptr) throw std::runtime_error(host + " is no destination");
  return *destination;
}

bool matches(const DestinationRules& rules, const std::string& host, unsigned port = 443) {
  return !rules.match(to(host, port)).rules.empty();
}

DestinationRules::Judgement judged(const DestinationRules& rules, const std::string& host,
                                   const std::string& address, bool own = false) {
  return rules.judge(rules.match(to(host)), *Address::parse(address), own);
}

TEST(DestinationRules, NamesAreComparedInNormalForm) {
  const DestinationRules rules({{"wttr.in", 443, false}}, {});
  EXPECT_TRUE(matches(rules, "wttr.in"));
  EXPECT_TRUE(matches(rules, "WTTR.In."));
  EXPECT_FALSE(matches(rules, "wttr.in", 80));
  EXPECT_FALSE(matches(rules, "a.wttr.in"));
  EXPECT_FALSE(matches(rules, "wttr.in.evil.example"));
  EXPECT_FALSE(matches(rules, "xwttr.in"));
}

TEST(DestinationRules, AStarIsNeverTheBareHost) {
  const DestinationRules rules({{"*.example.com", 443, false}}, {});
  EXPECT_TRUE(matches(rules, "a.example.com"));
  EXPECT_TRUE(matches(rules, "a.b.example.com"));
  EXPECT_FALSE(matches(rules, "example.com"));
  EXPECT_FALSE(matches(rules, "aexample.com"));
  EXPECT_FALSE(matches(rules, "example.com.evil.example"));
}

TEST(DestinationRules, AddressesAreMatchedByAddressRulesOnly) {
  const DestinationRules rules(
      {{"10.0.0.0/8", 443, true}, {"::ffff:192.0.2.7", 443, true}, {"a.example", 443, true}}, {});
  EXPECT_TRUE(matches(rules, "10.1.2.3"));
  EXPECT_TRUE(matches(rules, "::ffff:10.1.2.3"));
  EXPECT_TRUE(matches(rules, "192.0.2.7"));
  EXPECT_FALSE(matches(rules, "64:ff9b::10.1.2.3"));
  EXPECT_FALSE(matches(rules, "11.1.2.3"));
  // A name is not looked up for a network's sake.
  EXPECT_FALSE(matches(rules, "b.example"));
}

TEST(DestinationRules, RefuseTextsThatProgramsReadDifferently) {
  for (const char* host :
       {"2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "0X7F000001", "127.1", "1.2.3.4.5",
        "a.1", "a.0x1", "0x", "256.256.256.256", "[::1]", "::1%1", "1:2", "host:80", ":"}) {
    const auto result = destination_from_text(host, 80);
    ASSERT_TRUE(std::holds_alternative<NoDestination>(result)) << host;
    EXPECT_THAT(std::get<NoDestination>(result).reason, HasSubstr("number")) << host;
  }
}

TEST(DestinationRules, SayWhatToAskForInstead) {
  const auto asked = destination_from_text(
      "b\xc3\xbc"
      "cher.example",
      443);
  EXPECT_EQ(std::get<NoDestination>(asked).reason,
            "the host is not ASCII; ask for its form that begins with xn--");
}

TEST(DestinationRules, RefuseWhatIsNoName) {
  const std::string label(64, 'a');
  std::string longest;
  while (longest.size() < 254) longest += "a.";
  for (const std::string& host :
       {std::string(), std::string("."), std::string(".."), std::string("a..b"), std::string(".a"),
        std::string("a b"), std::string("a\0b", 3), std::string("a/b"), std::string("*.a"),
        std::string("b\xC3\xBC"
                    "cher.example"),
        std::string("a.."), label + ".example", longest + "a", std::string("a%00b"),
        std::string("user@host")}) {
    EXPECT_TRUE(std::holds_alternative<NoDestination>(destination_from_text(host, 80))) << host;
  }
  EXPECT_EQ(to("xn--bcher-kva.example").host, "xn--bcher-kva.example");
  EXPECT_EQ(to("_dmarc.a-b.example").host, "_dmarc.a-b.example");
}

TEST(DestinationRules, ANameWhoseOnlyPortIsDeniedIsDenied) {
  const DestinationRules rules({{"a.example", 443, false}}, {"a.example:443"});
  const auto match = rules.match_name("a.example");
  EXPECT_TRUE(match.rules.empty());
  EXPECT_EQ(match.reason, "the host is denied");
  EXPECT_EQ(match.rule, "a.example:443");
  const DestinationRules both({{"a.example", 80, false}, {"a.example", 443, false}},
                              {"a.example:443"});
  EXPECT_FALSE(both.match_name("a.example").rules.empty());
}

TEST(DestinationRules, APublicNameMustNotLeadInside) {
  const DestinationRules rules({{"a.example", 443, false}}, {});
  EXPECT_TRUE(judged(rules, "a.example", "93.184.216.34").allowed);
  for (const char* address : {"127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254",
                              "169.254.1.1", "100.64.1.1", "0.0.0.0", "224.0.0.1", "::1", "fe80::1",
                              "fd00::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::"}) {
    const auto judgement = judged(rules, "a.example", address);
    EXPECT_FALSE(judgement.allowed) << address;
    EXPECT_EQ(judgement.rule, "a.example:443");
  }
  EXPECT_THAT(judged(rules, "a.example", "127.0.0.1").reason, HasSubstr("loopback"));
  const auto own = judged(rules, "a.example", "93.184.216.34", true);
  EXPECT_FALSE(own.allowed);
  EXPECT_THAT(own.reason, HasSubstr("own address"));
}

TEST(DestinationRules, AnInternalRuleOpensTheInside) {
  const DestinationRules rules({{"nas.lan", 443, true}}, {});
  for (const char* address :
       {"127.0.0.1", "10.0.0.1", "169.254.1.1", "100.64.1.1", "::1", "fd00::1", "93.184.216.34"}) {
    EXPECT_TRUE(judged(rules, "nas.lan", address).allowed) << address;
  }
  EXPECT_TRUE(judged(rules, "nas.lan", "93.184.216.34", true).allowed);
  // But not what is no host, and credentials only by their address.
  for (const char* address : {"0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "169.254.169.254",
                              "fd00:ec2::254", "64:ff9b::169.254.169.254"}) {
    EXPECT_FALSE(judged(rules, "nas.lan", address).allowed) << address;
  }
}

TEST(DestinationRules, MetadataNeedsItsVeryAddress) {
  const DestinationRules network({{"169.254.0.0/16", 443, true}}, {});
  EXPECT_FALSE(judged(network, "169.254.169.254", "169.254.169.254").allowed);
  const DestinationRules external({{"169.254.169.254", 443, false}}, {});
  EXPECT_FALSE(judged(external, "169.254.169.254", "169.254.169.254").allowed);
  const DestinationRules named({{"169.254.169.254", 443, true}}, {});
  EXPECT_TRUE(judged(named, "169.254.169.254", "169.254.169.254").allowed);
}

TEST(DestinationRules, TheWidestOfSeveralMatchingRulesCounts) {
  const DestinationRules rules({{"*.lan", 443, false}, {"nas.lan", 443, true}}, {});
  const auto judgement = judged(rules, "nas.lan", "10.0.0.1");
  EXPECT_TRUE(judgement.allowed);
  EXPECT_EQ(judgement.rule, "nas.lan:443");
  EXPECT_FALSE(judged(rules, "pc.lan", "10.0.0.1").allowed);
}

TEST(DestinationRules, DenialsWinOverEverything) {
  const DestinationRules rules({{"*.example", 443, true}, {"0.0.0.0/0", 443, true}},
                               {"Evil.Example", "*.bad.example", "10.0.0.0/8", "ok.example:80",
                                "[2001:db8::/32]:443", "192.0.2.1:443"});
  EXPECT_FALSE(matches(rules, "evil.example"));
  EXPECT_TRUE(matches(rules, "a.evil.example"));
  EXPECT_FALSE(matches(rules, "a.bad.example"));
  EXPECT_TRUE(matches(rules, "ok.example"));
  EXPECT_FALSE(matches(rules, "10.1.1.1"));
  EXPECT_FALSE(matches(rules, "192.0.2.1"));
  EXPECT_FALSE(judged(rules, "ok.example", "10.1.1.1").allowed);
  EXPECT_FALSE(judged(rules, "ok.example", "64:ff9b::10.1.1.1").allowed);
  EXPECT_FALSE(judged(rules, "ok.example", "::ffff:10.1.1.1").allowed);
  EXPECT_FALSE(judged(rules, "ok.example", "2001:db8::1").allowed);
  EXPECT_EQ(judged(rules, "ok.example", "10.1.1.1").rule, "10.0.0.0/8");
}

TEST(DestinationRules, ARuleThatIsNoneIsNamed) {
  const auto message = [](const std::string& host, unsigned port, std::vector<std::string> deny) {
    try {
      DestinationRules({{host, port, false}}, deny);
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (const char* host : {"", "*", "*.", "a b", "**.a", "a.*", "10.0.0.0/99", "127.1", "a:80"}) {
    EXPECT_THAT(message(host, 443, {}), HasSubstr(host)) << host;
    EXPECT_NE(message(host, 443, {}), "") << host;
  }
  EXPECT_NE(message("ok.example", 0, {}), "");
  EXPECT_NE(message("ok.example", 65536, {}), "");
  EXPECT_EQ(message("ok.example", 443, {}), "");
  for (const char* deny : {"", "a:0", "a:65536", "a:x", "[::1", "*"}) {
    EXPECT_NE(message("ok.example", 443, {deny}), "") << deny;
  }
}

TEST(DestinationRules, WithoutRulesThereIsNoNetwork) {
  const DestinationRules rules({}, {});
  EXPECT_FALSE(matches(rules, "a.example"));
  EXPECT_FALSE(rules.judge({}, *Address::parse("93.184.216.34"), false).allowed);
}

}  // namespace
}  // namespace sharkcage::egress
