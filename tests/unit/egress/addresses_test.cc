#include "capabilities/addresses.h"

#include <gtest/gtest.h>

namespace sharkcage::egress {
namespace {

TEST(Addresses, ParseOnlyWhatEveryProgramReadsAlike) {
  for (const char* text : {"1.2.3.4", "255.255.255.255", "0.0.0.0", "::", "::1", "2001:db8::1",
                           "::ffff:1.2.3.4", "1:2:3:4:5:6:7:8"}) {
    ASSERT_TRUE(Address::parse(text)) << text;
    EXPECT_EQ(Address::parse(text)->to_string(), text);
  }
  for (const char* text :
       {"",         "1.2.3",    "1.2.3.4.5", "01.2.3.4",   "1.2.3.04",   "256.1.1.1",
        "1.2.3.4 ", " 1.2.3.4", "1..2.3",    "0x7f.0.0.1", "2130706433", "1.2.3.4.",
        "+1.2.3.4", "[::1]",    "::1%lo",    "1:2:3",      ":::",        "::g",
        "12345::",  "1.2.3.-4", "1.2.3.4/8", "1,2.3.4"}) {
    EXPECT_FALSE(Address::parse(text)) << text;
  }
  EXPECT_FALSE(Address::parse(std::string_view("::1\0", 4)));
  EXPECT_FALSE(Address::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST(Addresses, KnowWhatIsNotPublic) {
  const std::pair<const char*, AddressKind> cases[] = {
      {"8.8.8.8", AddressKind::kPublic},
      {"172.15.255.255", AddressKind::kPublic},
      {"172.16.0.0", AddressKind::kPrivate},
      {"172.31.255.255", AddressKind::kPrivate},
      {"172.32.0.0", AddressKind::kPublic},
      {"10.1.2.3", AddressKind::kPrivate},
      {"192.168.0.1", AddressKind::kPrivate},
      {"100.63.255.255", AddressKind::kPublic},
      {"100.64.0.0", AddressKind::kCarrierNat},
      {"100.127.255.255", AddressKind::kCarrierNat},
      {"127.0.0.1", AddressKind::kLoopback},
      {"127.255.255.254", AddressKind::kLoopback},
      {"169.254.1.1", AddressKind::kLinkLocal},
      {"169.254.169.254", AddressKind::kMetadata},
      {"168.63.129.16", AddressKind::kMetadata},
      {"0.0.0.0", AddressKind::kUnspecified},
      {"0.1.2.3", AddressKind::kUnspecified},
      {"224.0.0.1", AddressKind::kMulticast},
      {"255.255.255.255", AddressKind::kMulticast},
      {"240.0.0.1", AddressKind::kReserved},
      {"203.0.113.1", AddressKind::kReserved},
      {"::", AddressKind::kUnspecified},
      {"::1", AddressKind::kLoopback},
      {"fe80::1", AddressKind::kLinkLocal},
      {"febf::1", AddressKind::kLinkLocal},
      {"fec0::1", AddressKind::kPrivate},
      {"fd00::1", AddressKind::kPrivate},
      {"fd00:ec2::254", AddressKind::kMetadata},
      {"ff02::1", AddressKind::kMulticast},
      {"2606:4700::1111", AddressKind::kPublic},
      {"2001:db8::1", AddressKind::kReserved},
      {"2001::1", AddressKind::kReserved},
      {"4000::1", AddressKind::kReserved},
      {"::2", AddressKind::kReserved},
  };
  for (const auto& [text, kind] : cases) {
    EXPECT_STREQ(describe(kind_of(*Address::parse(text))), describe(kind)) << text;
  }
}

TEST(Addresses, JudgeTheIpv4InsideIpv6) {
  for (const char* text :
       {"::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1",
        "64:ff9b:1::127.0.0.1", "2002:7f00:1::", "2002:7f00:0001:1::1", "2606:4700::5efe:127.0.0.1",
        "2606:4700::200:5efe:127.0.0.1"}) {
    EXPECT_EQ(kind_of(*Address::parse(text)), AddressKind::kLoopback) << text;
  }
  EXPECT_EQ(kind_of(*Address::parse("64:ff9b::169.254.169.254")), AddressKind::kMetadata);
  EXPECT_EQ(kind_of(*Address::parse("::ffff:8.8.8.8")), AddressKind::kPublic);
  EXPECT_EQ(kind_of(*Address::parse("64:ff9b::8.8.8.8")), AddressKind::kPublic);
  EXPECT_EQ(Address::parse("::ffff:8.8.8.8")->unmapped(), *Address::parse("8.8.8.8"));
  EXPECT_EQ(Address::parse("64:ff9b::8.8.8.8")->unmapped(), *Address::parse("64:ff9b::8.8.8.8"));
}

TEST(Addresses, NetworksHoldWhatTheirPrefixSays) {
  const auto holds = [](const char* network, const char* address) {
    return Network::parse(network)->contains(*Address::parse(address));
  };
  EXPECT_TRUE(holds("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(holds("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(holds("10.0.0.0/9", "10.127.255.255"));
  EXPECT_FALSE(holds("10.0.0.0/9", "10.128.0.0"));
  EXPECT_TRUE(holds("0.0.0.0/0", "1.2.3.4"));
  EXPECT_FALSE(holds("0.0.0.0/0", "::1"));
  EXPECT_FALSE(holds("::/0", "1.2.3.4"));
  EXPECT_TRUE(holds("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(holds("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_TRUE(holds("1.2.3.4", "1.2.3.4"));
  EXPECT_FALSE(holds("1.2.3.4", "1.2.3.5"));
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8x",
                           "/8", "::/129", "host/8", "10.0.0.0/4294967304", "10.0.0.0/8/8"}) {
    EXPECT_FALSE(Network::parse(text)) << text;
  }
}

}  // namespace
}  // namespace sharkcage::egress
