#include "capabilities/hosts.h"

#include <gmock/gmock.h>

#include "fixture.h"

namespace sharkcage {
namespace {

using testing::HasSubstr;

std::string normal(const std::string& text) {
  return parse_host(text, "f").text();
}
std::string refused(const std::string& text) {
  return complaint_of([&] { parse_host(text, "capabilities[0].scope[1]"); });
}

TEST(Hosts, TakesEveryShapeInNormalForm) {
  EXPECT_EQ(normal("wttr.in"), "wttr.in");
  EXPECT_EQ(normal("WTTR.In.:443"), "wttr.in:443");
  EXPECT_EQ(normal("*.Example.com"), "*.example.com");
  EXPECT_EQ(normal("192.0.2.7:8080"), "192.0.2.7:8080");
  EXPECT_EQ(normal("2001:DB8:0::1"), "2001:db8::1");
  EXPECT_EQ(normal("[2001:db8::1]:8080"), "[2001:db8::1]:8080");
  EXPECT_EQ(normal("[2001:db8::1]"), "2001:db8::1");
  EXPECT_EQ(normal("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(normal("100.64.0.0/10"), "100.64.0.0/10");
  EXPECT_EQ(normal("100.64.0.0/10:22"), "100.64.0.0/10:22");
  EXPECT_EQ(normal("[2001:db8::/32]:22"), "[2001:db8::/32]:22");
  EXPECT_EQ(normal("xn--bcher-kva.example"), "xn--bcher-kva.example");
}

TEST(Hosts, NormalFormIsStable) {
  for (const char* text : {"A.b.:1", "*.x.org", "[::1]:5", "fd00::/8", "10.0.0.0/8:1", "1.2.3.4"}) {
    EXPECT_EQ(normal(normal(text)), normal(text)) << text;
  }
}

TEST(Hosts, RefusesAddressesInDisguise) {
  for (const char* text : {"2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1",
                           "127.0.0.01", "1.2.3.4.5", "256.1.1.1", "foo.0x1", "1.2.3", "*.1"}) {
    EXPECT_THAT(refused(text), HasSubstr("capabilities[0].scope[1]: ")) << text;
  }
  EXPECT_THAT(refused("2130706433"), HasSubstr("four decimal numbers"));
}

TEST(Hosts, RefusesWhatIsNoPattern) {
  for (const char* text : {"",
                           " ",
                           "a b",
                           "*",
                           "*.",
                           "*:443",
                           "a.*.com",
                           "**.a.com",
                           "a*.com",
                           ".a.com",
                           "a..com",
                           "-a.com",
                           "a-.com",
                           "http://a.com",
                           "a.com/path",
                           "a.com:0",
                           "a.com:65536",
                           "a.com:080",
                           "a.com:",
                           "a.com:x",
                           "[a.com]:1",
                           "[::1",
                           "[::1]x",
                           "fe80::1%eth0",
                           "0.0.0.0/0",
                           "::/0",
                           "10.0.0.0/33",
                           "10.0.0.0/",
                           "10.0.0.0/-1",
                           "10.0.0.0/08",
                           "a.com\n",
                           "[1.2.3.4]",
                           "[10.0.0.0/8]:1",
                           "a@b.com"}) {
    EXPECT_THROW(parse_host(text, "f"), UserError) << text;
  }
  EXPECT_THROW(parse_host(std::string("a\0b.com", 7), "f"), UserError);
  EXPECT_THROW(parse_host(std::string(100'000, 'a'), "f"), UserError);
  EXPECT_THROW(parse_host(std::string(64, 'a') + ".com", "f"), UserError);
}

TEST(Hosts, InternationalNamesAreTakenInTheirAsciiForm) {
  EXPECT_EQ(normal("bücher.example"), "xn--bcher-kva.example");
  EXPECT_EQ(normal("BÜCHER.Example.:443"), "xn--bcher-kva.example:443");
  EXPECT_EQ(normal("*.bücher.example"), "*.xn--bcher-kva.example");
  EXPECT_EQ(normal("*.BU\u0308CHER.example:8443"), "*.xn--bcher-kva.example:8443");
  EXPECT_EQ(normal("faß.example"), "xn--fa-hia.example");
  EXPECT_EQ(normal("例え。テスト"), "xn--r8jz45g.xn--zckzah");
  // A Cyrillic а is another name, and looks like one to whoever approves it.
  EXPECT_EQ(normal("p\u0430ypal.com"), "xn--pypal-4ve.com");
  EXPECT_EQ(normal(normal("*.bücher.example")), "*.xn--bcher-kva.example");
}

TEST(Hosts, RefusesInternationalTextsThatAreNoNames) {
  for (const char* text : {"\xff.example", "a\xc3.example", "b\u00fcch er.example", "☃_x.example",
                           "a\u200b\u202e.example", "ü*.example", "ü/x.example", "a。。b",
                           "ex\uff0fample.com", "user\uff20example.com"}) {
    EXPECT_THAT(refused(text), HasSubstr("capabilities[0].scope[1]: ")) << text;
  }
  // Digits of other scripts become those of an address.
  for (const char* text : {"\uff11\uff12\uff17.0.0.1", "127。0。0。1", "\u0661.example.1",
                           "\uff12130706433", "\uff10x7f.1"}) {
    EXPECT_THROW(parse_host(text, "f"), UserError) << text;
  }
}

TEST(Hosts, NamesTheNetworkThatWasMeant) {
  EXPECT_THAT(refused("10.1.2.3/8"), HasSubstr("\"10.0.0.0/8\""));
}

TEST(Hosts, KnowsWhatIsInternal) {
  for (const char* text :
       {"localhost",   "localhost:80",    "x.localhost",     "nas",       "nas.local", "a.lan",
        "a.home.arpa", "db.internal",     "127.0.0.1",       "127.9.9.9", "10.1.1.1",  "172.31.0.1",
        "192.168.1.1", "169.254.169.254", "100.64.0.0/10",   "::1",       "fe80::1",   "fd12::1",
        "0.0.0.0",     "10.0.0.0/8",      "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(is_internal(parse_host(text, "f"))) << text;
  }
  for (const char* text : {"wttr.in", "*.example.com", "8.8.8.8", "172.32.0.1", "100.128.0.1",
                           "2001:4860::8888", "localhost.example.com", "192.0.0.0/8", "*.com"}) {
    EXPECT_FALSE(is_internal(parse_host(text, "f"))) << text;
  }
}

TEST(Hosts, APatternWithoutPortStandsForTheWebPorts) {
  const std::vector<HostRule> rules = host_rules(parse_host("wttr.in", "f"), false);
  const std::vector<HostRule> expected = {{"wttr.in", 80, false}, {"wttr.in", 443, false}};
  EXPECT_EQ(rules, expected);
  const std::vector<HostRule> one = {{"::1", 99, true}};
  EXPECT_EQ(host_rules(parse_host("[::1]:99", "f"), true), one);
}

TEST(Hosts, SaysThatAWildcardLeavesOutTheNameItself) {
  const auto hints = host_hints({parse_host("*.example.com", "f")});
  ASSERT_EQ(hints.size(), 1u);
  EXPECT_THAT(hints[0], HasSubstr("does not match example.com"));
  EXPECT_TRUE(
      host_hints({parse_host("*.example.com", "f"), parse_host("example.com:443", "f")}).empty());
  EXPECT_EQ(
      host_hints({parse_host("*.example.com:443", "f"), parse_host("example.com:80", "f")}).size(),
      1u)
      << "the other port is not the same";
}

TEST(Hosts, SaysThatASiteLeavesOutTheNamesBelowIt) {
  const auto notes_on = [](std::initializer_list<const char*> words) {
    std::vector<HostPattern> scope;
    for (const char* word : words) scope.push_back(parse_host(word, "f"));
    return host_notes(scope);
  };
  for (const char* site : {"example.com", "Example.com.:443", "example.co.uk", "bücher.example"}) {
    ASSERT_EQ(notes_on({site}).size(), 1u) << site;
  }
  EXPECT_THAT(notes_on({"example.com"})[0], HasSubstr("add \"*.example.com\""));
  EXPECT_TRUE(notes_on({"example.com", "*.example.com"}).empty());
  for (const char* host : {"api.example.com", "localhost:80", "nas.local", "192.0.2.7",
                           "192.0.2.0/24", "*.example.com", "api.example.dev"}) {
    EXPECT_TRUE(notes_on({host}).empty()) << host;
  }
}

}  // namespace
}  // namespace sharkcage
