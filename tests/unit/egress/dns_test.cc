#include "supervisor/egress/dns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dns_message.h"

namespace sharkcage::egress::testing {
namespace {

using dns::Rcode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

dns::Question parsed(const Asked& asked) {
  const std::string packet = asked.packet();
  const auto question = dns::parse(bytes_of(packet));
  EXPECT_TRUE(question);
  return question.value_or(dns::Question{});
}

dns::Question named(const std::string& wire) {
  Asked asked;
  asked.name = wire;
  return parsed(asked);
}

std::string label(const std::string& bytes) {
  return static_cast<char>(bytes.size()) + bytes;
}

Response responded(const Asked& asked, Rcode code, const char* address = nullptr,
                   const std::string& prohibited = "") {
  std::optional<Address> data;
  if (address != nullptr) data = Address::parse(address);
  const std::string packet = dns::respond(parsed(asked), code, data, prohibited);
  EXPECT_LE(packet.size(), dns::kMaxResponse);
  const Response response = read_response(packet);
  EXPECT_TRUE(response.readable);
  EXPECT_EQ(response.id, asked.id);
  return response;
}

TEST(Dns, AQuestionSaysWhatIsAsked) {
  Asked asked;
  asked.type = ns_t_aaaa;
  const dns::Question question = parsed(asked);
  EXPECT_EQ(question.problem, Rcode::kNoError);
  EXPECT_EQ(question.id, 0x1234);
  EXPECT_EQ(question.name, "www.example");
  EXPECT_EQ(question.host, "www.example");
  EXPECT_EQ(question.type, dns::kTypeAaaa);
  EXPECT_EQ(question.class_of_data, dns::kClassIn);
  EXPECT_FALSE(question.edns);
}

TEST(Dns, AnAddressIsAnsweredUnderTheNameAsItWasAsked) {
  Asked asked;
  asked.name = wire_name("wWw.ExAmPlE");
  EXPECT_EQ(parsed(asked).host, "www.example");
  EXPECT_EQ(parsed(asked).name, "wWw.ExAmPlE");
  const Response response = responded(asked, Rcode::kNoError, "198.18.0.1");
  EXPECT_EQ(response.flags, 0x8180u);  // a response, recursion desired and available
  EXPECT_EQ(response.question, asked.name + word(ns_t_a) + word(ns_c_in));
  EXPECT_THAT(response.addresses, ElementsAre(std::string("\xC6\x12\x00\x01", 4)));
  EXPECT_EQ(response.answer_name, "wWw.ExAmPlE");
  EXPECT_EQ(response.ttl, 60u);
  EXPECT_FALSE(response.opt);
}

TEST(Dns, AnAddressOfTheOtherFamilyIsNoAnswer) {
  Asked asked;
  EXPECT_THAT(responded(asked, Rcode::kNoError, "fd00::1").addresses, IsEmpty());
  asked.type = ns_t_aaaa;
  EXPECT_THAT(responded(asked, Rcode::kNoError, "198.18.0.1").addresses, IsEmpty());
  const Response v6 = responded(asked, Rcode::kNoError, "fd00::1");
  EXPECT_THAT(v6.addresses, ElementsAre("\xFD" + std::string(14, '\0') + "\x01"));
  asked.type = ns_t_mx;
  const Response none = responded(asked, Rcode::kNoError, "198.18.0.1");
  EXPECT_THAT(none.addresses, IsEmpty());
  EXPECT_EQ(none.code, 0u);
  asked.type = ns_t_a;
  EXPECT_THAT(responded(asked, Rcode::kRefused, "198.18.0.1").addresses, IsEmpty());
}

TEST(Dns, ARefusalIsExplainedToWhoSentAnOpt) {
  Asked asked;
  const Response plain = responded(asked, Rcode::kRefused, nullptr, "not approved");
  EXPECT_EQ(plain.code, 5u);
  EXPECT_FALSE(plain.opt);
  asked.with_opt();
  const std::string prohibited = word(15) + word(14) + word(18) + "not approved";
  EXPECT_EQ(responded(asked, Rcode::kRefused, nullptr, "not approved").options, prohibited);
  EXPECT_EQ(responded(asked, Rcode::kNxDomain, nullptr, "not approved").options, prohibited);
  EXPECT_THAT(responded(asked, Rcode::kRefused).options,
              ::testing::StartsWith(word(15) + word(2 + 24) + word(18)));
  EXPECT_EQ(responded(asked, Rcode::kNxDomain).options, "");
  EXPECT_EQ(responded(asked, Rcode::kServFail).options, "");
}

TEST(Dns, ALongExplanationEndsWithAWholeCharacter) {
  Asked asked;
  asked.name = label(std::string(63, 'a')) + label(std::string(63, 'b')) +
               label(std::string(63, 'c')) + label(std::string(61, 'd')) + '\0';
  ASSERT_EQ(asked.name.size(), 255u);
  asked.type = ns_t_aaaa;
  asked.with_opt();
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "\xE2\x82\xAC";  // the euro sign, three bytes
  const Response response = responded(asked, Rcode::kNoError, "fd00::1", text);
  EXPECT_EQ(response.addresses.size(), 1u);
  EXPECT_EQ(response.options.size(), 6u + 126u);
  EXPECT_EQ(responded(asked, Rcode::kRefused, nullptr, "\x1b[2J").options.substr(6), "\\x1b[2J");
}

TEST(Dns, AnOptIsAnsweredWithAnOpt) {
  Asked asked;
  asked.with_opt(opt_record(0, 0x8000, word(10) + word(8) + "cookie__"));
  const Response response = responded(asked, Rcode::kNoError, "198.18.0.1");
  EXPECT_TRUE(response.opt);
  EXPECT_EQ(response.opt_flags, 0x8000u);  // DO is copied (RFC 3225, section 3)
  EXPECT_EQ(response.options, "");
  EXPECT_EQ(response.addresses.size(), 1u);
}

TEST(Dns, AnotherVersionOfEdnsIsSaidToBeBad) {
  Asked asked;
  asked.with_opt(opt_record(1));
  EXPECT_EQ(parsed(asked).problem, Rcode::kBadVers);
  const Response response = responded(asked, Rcode::kBadVers);
  EXPECT_EQ(response.code, 16u);
  EXPECT_THAT(response.addresses, IsEmpty());
}

TEST(Dns, AnotherOperationIsNotImplemented) {
  for (unsigned opcode = 1; opcode < 16; ++opcode) {
    Asked asked;
    asked.flags = opcode << 11;
    EXPECT_EQ(parsed(asked).problem, Rcode::kNotImp);
    const Response response = responded(asked, parsed(asked).problem);
    EXPECT_EQ(response.flags, 0x8000u | (opcode << 11) | 0x80u | 4u);
  }
}

TEST(Dns, AResponseGetsNoAnswerNorDoesAPieceOfAHeader) {
  Asked asked;
  asked.flags = 0x8180;
  std::string packet = asked.packet();
  EXPECT_FALSE(dns::parse(bytes_of(packet)));
  asked.flags = 0x0100;
  packet = asked.packet();
  for (std::size_t size = 0; size < 12; ++size) {
    EXPECT_FALSE(dns::parse(bytes_of(packet).first(size))) << size;
  }
  for (std::size_t size = 12; size < packet.size(); ++size) {
    EXPECT_EQ(dns::parse(bytes_of(packet).first(size))->problem, Rcode::kFormErr) << size;
  }
}

void expect_malformed(const Asked& asked, const char* what) {
  const dns::Question question = parsed(asked);
  EXPECT_EQ(question.problem, Rcode::kFormErr) << what;
  const Response response = read_response(dns::respond(question, question.problem));
  EXPECT_TRUE(response.readable) << what;
  EXPECT_EQ(response.code, 1u) << what;
  EXPECT_EQ(response.id, asked.id) << what;
}

TEST(Dns, OtherNumbersOfRecordsAreMalformed) {
  Asked asked;
  asked.questions = 0;
  expect_malformed(asked, "no question");
  asked.questions = 2;
  expect_malformed(asked, "two questions");
  asked = Asked();
  asked.rest = wire_name("b.example") + word(ns_t_a) + word(ns_c_in);
  asked.questions = 2;
  expect_malformed(asked, "two questions that are there");
  asked = Asked();
  asked.answers = 1;
  expect_malformed(asked, "an answer");
  asked = Asked();
  asked.authorities = 1;
  expect_malformed(asked, "an authority");
  asked = Asked();
  asked.additional = 1;
  expect_malformed(asked, "an OPT that is missing");
  asked = Asked();
  asked.rest = "x";
  expect_malformed(asked, "a byte too many");
  asked = Asked();
  asked.rest = std::string(dns::kMaxQuestion, '\0');
  expect_malformed(asked, "too long");
}

TEST(Dns, NamesThatAreNoneAreMalformed) {
  Asked asked;
  asked.name = word(0xC00C);
  expect_malformed(asked, "a pointer to itself");
  asked.name = "\x03www" + word(0xC00C);
  expect_malformed(asked, "a pointer behind a label");
  asked.name = std::string("\x40www", 4) + '\0';
  expect_malformed(asked, "an extended label");
  asked.name = std::string("\x80www", 4) + '\0';
  expect_malformed(asked, "a reserved kind of label");
  asked.name = label(std::string(64, 'a')) + '\0';
  expect_malformed(asked, "a label of 64 bytes");
  asked.name = std::string("\x3F") + "abc";
  expect_malformed(asked, "a label beyond the end");
  asked.name = label(std::string(63, 'a')) + label(std::string(63, 'b')) +
               label(std::string(63, 'c')) + label(std::string(62, 'd')) + '\0';
  expect_malformed(asked, "a name of 256 bytes");
  EXPECT_EQ(parsed(asked).name, "");
  EXPECT_EQ(parsed(asked).host, "");
}

TEST(Dns, OtherRecordsThanOneOptAreMalformed) {
  expect_malformed(Asked().with_opt().with_opt(), "two of them");
  expect_malformed(Asked().with_opt(wire_name("a") + opt_record().substr(1)), "one with a name");
  std::string signature = opt_record();
  signature[2] = static_cast<char>(ns_t_tsig);
  expect_malformed(Asked().with_opt(signature), "a signature");
  expect_malformed(Asked().with_opt(opt_record(0, 0, word(10) + word(8) + "short")),
                   "an option beyond the end");
  expect_malformed(Asked().with_opt(opt_record(0, 0, "x")), "a piece of an option");
}

TEST(Dns, WhatIsNoHostNameIsRecordedPrintableAndMatchesNothing) {
  const struct {
    std::string wire;
    std::string name;
  } kNames[] = {
      {std::string(1, '\0'), "."},
      {label("a.example") + '\0', "a\\x2eexample"},
      {label("evil\\x2e") + label("example") + '\0', "evil\\x5cx2e.example"},
      {label("\x1b[2J") + label("example") + '\0', "\\x1b[2J.example"},
      {label(std::string("a\0b", 3)) + label("example") + '\0', "a\\x00b.example"},
      {label("m\xC3\xBCnchen") + label("example") + '\0', "m\xC3\xBCnchen.example"},
      {label("m\xFCnchen") + label("example") + '\0', "m\\xfcnchen.example"},
      {label("*") + label("example") + '\0', "*.example"},
      {label("a b") + '\0', "a b"},
      {wire_name("10.0.0.1"), "10.0.0.1"},
      {wire_name("2130706433"), "2130706433"},
  };
  for (const auto& [wire, name] : kNames) {
    const dns::Question question = named(wire);
    EXPECT_EQ(question.problem, Rcode::kNoError) << name;
    EXPECT_EQ(question.name, name);
    EXPECT_EQ(question.host, "") << name;
    // It is echoed all the same.
    EXPECT_EQ(question.wire, wire + word(ns_t_a) + word(ns_c_in));
  }
  EXPECT_EQ(named(wire_name("_ldap._tcp.a-b.example")).host, "_ldap._tcp.a-b.example");
}

TEST(Dns, WhatAsksForMoreThanANamesRecordsMatchesNothing) {
  Asked asked;
  for (const unsigned type : {ns_t_axfr, ns_t_ixfr, ns_t_tsig, ns_t_tkey, ns_t_maila, ns_t_opt}) {
    asked.type = type;
    EXPECT_EQ(parsed(asked).host, "") << type;
    EXPECT_EQ(parsed(asked).name, "www.example") << type;
  }
  asked.type = ns_t_a;
  for (const unsigned class_of_data : {0, 2, 3, 4, 254, 255, 0x8001}) {
    asked.class_of_data = class_of_data;
    EXPECT_EQ(parsed(asked).host, "") << class_of_data;
    EXPECT_EQ(parsed(asked).problem, Rcode::kNoError) << class_of_data;
    EXPECT_THAT(responded(asked, Rcode::kNoError, "198.18.0.1").addresses, IsEmpty());
  }
}

}  // namespace
}  // namespace sharkcage::egress::testing
