#include "audit/record.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "audit/row.h"
#include "common/bytes.h"
#include "common/errors.h"
#include "tests/unit/audit/instance.h"

namespace sharkcage::audit {
namespace {

using std::string_literals::operator""s;

Row row_of(const Record& record, const std::string& payload) {
  return {static_cast<std::int64_t>(record.seq),
          record.version,
          record.time,
          record.kind,
          record.session,
          record.agent,
          record.skill,
          record.tool,
          record.call,
          record.decision,
          record.reason,
          record.policy,
          payload,
          record.prev_hash,
          record.hash};
}

// RFC 8785, appendix B: IEEE 754 doubles and their form.
TEST(AuditRecord, NumbersHaveTheFormOfRfc8785) {
  const std::pair<std::uint64_t, const char*> samples[] = {
      {0x0000000000000000, "0"},
      {0x8000000000000000, "0"},
      {0x0000000000000001, "5e-324"},
      {0x8000000000000001, "-5e-324"},
      {0x7fefffffffffffff, "1.7976931348623157e+308"},
      {0xffefffffffffffff, "-1.7976931348623157e+308"},
      {0x4340000000000000, "9007199254740992"},
      {0xc340000000000000, "-9007199254740992"},
      {0x4430000000000000, "295147905179352830000"},
      {0x44b52d02c7e14af5, "9.999999999999997e+22"},
      {0x44b52d02c7e14af6, "1e+23"},
      {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
      {0x444b1ae4d6e2ef4e, "999999999999999700000"},
      {0x444b1ae4d6e2ef4f, "999999999999999900000"},
      {0x444b1ae4d6e2ef50, "1e+21"},
      {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
      {0x3eb0c6f7a0b5ed8d, "0.000001"},
      {0x41b3de4355555553, "333333333.3333332"},
      {0x41b3de4355555554, "333333333.33333325"},
      {0x41b3de4355555555, "333333333.3333333"},
      {0x41b3de4355555556, "333333333.3333334"},
      {0x41b3de4355555557, "333333333.33333343"},
      {0xbecbf647612f3696, "-0.0000033333333333333333"},
      {0x43143ff3c1cb0959, "1424953923781206.2"},
  };
  for (const auto& [bits, text] : samples) {
    double number = 0;
    std::memcpy(&number, &bits, sizeof number);
    EXPECT_EQ(canonical_json(Json(number)), text);
  }
}

// RFC 8785, 3.2.2 and 3.2.3.
TEST(AuditRecord, TextAndOrderHaveTheFormOfRfc8785) {
  const Json value = Json::parse(R"({
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]})");
  EXPECT_EQ(canonical_json(value),
            "{\"literals\":[null,true,false],"
            "\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
            "\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
  const Json keys = Json::parse(R"({"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4,
                                    "\ud83d\ude00": 5, "\u0080": 6, "\u00f6": 7})");
  EXPECT_EQ(canonical_json(keys),
            "{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\uFB33\":3}");
}

TEST(AuditRecord, FastFormIsTheCanonicalForm) {
  Record record = Instance::record(7);
  record.seq = 9007199254740991;
  record.time = "2026-11-21T09:30:00.000001Z";
  record.session = "a\0b\x1f\"\\\b\f\n\r\t/é😀"s;
  record.reason = "\u2028 \x7f";
  record.payload = {{"z", 1.5}, {"a", Json::array({nullptr, "\"", -3})}};
  record.prev_hash = kNoHash;
  std::string fast;
  append_canonical(fast, row_of(record, canonical_json(record.payload)));
  EXPECT_EQ(fast, canonical_form(record));
  EXPECT_EQ(Hasher().hex(fast), hash_of(record));
}

// A fixed record and its hash, computed by hand with printf and sha256sum: other programs verify
// too.
TEST(AuditRecord, HashIsStable) {
  Record record;
  record.seq = 1;
  record.time = "2026-11-21T09:30:00.000001Z";
  record.kind = "verdict";
  record.decision = "block";
  record.payload = {{"n", 1}};
  record.prev_hash = kNoHash;
  EXPECT_EQ(canonical_form(record),
            "{\"agent\":\"\",\"call\":\"\",\"decision\":\"block\",\"kind\":\"verdict\","
            "\"payload\":{\"n\":1},\"policy\":\"\",\"prev_hash\":\"" +
                std::string(kNoHash) +
                "\",\"reason\":\"\",\"seq\":1,\"session\":\"\",\"skill\":\"\","
                "\"time\":\"2026-11-21T09:30:00.000001Z\",\"tool\":\"\",\"version\":1}");
  EXPECT_EQ(hash_of(record), "9e1e0729879ce26755981b25513e794f9af3a5ea24b81d2a95195f12e5c07375");
}

TEST(AuditRecord, HeadIsReadBackAndNothingElseIs) {
  const Head head{12, std::string(64, 'f')};
  EXPECT_EQ(parse_head(head.text()), head);
  for (const char* text :
       {"", ":", "12", "12:", "x:", "-1:", "12:ff", "99999999999999999999999:"}) {
    EXPECT_THROW(parse_head(text), UserError) << text;
    EXPECT_THROW(parse_head(text + std::string(63, 'f')), UserError) << text;
  }
  EXPECT_THROW(parse_head("12:" + std::string(64, 'F')), UserError);
  EXPECT_THROW(parse_head("12 :" + std::string(64, 'f')), UserError);
}

TEST(AuditRecord, AnyValueCanBeAppended) {
  const Instance instance;
  Record record;
  record.kind = "outcome";
  record.session = "\xff\xfe";
  record.reason = std::string("\x80 not text");
  record.payload = {{"large", std::numeric_limits<std::uint64_t>::max()},
                    {"small", std::numeric_limits<std::int64_t>::min()},
                    {"nan", std::nan("")},
                    {"infinite", -std::numeric_limits<double>::infinity()},
                    {"bytes", std::string("\xc3\x28")},
                    {"binary", Json::binary({1, 2, 255})},
                    {"nul", std::string("a\0b", 3)}};
  record.payload["\xff"] = "key";
  Log(instance.places()).append_and_wait(record);
  const auto records = instance.read();
  ASSERT_EQ(records.size(), 1u);
  const Json& payload = records[0].payload;
  EXPECT_EQ(records[0].session, "{\"b64\":\"//4=\"}");
  EXPECT_EQ(payload["large"], "18446744073709551615");
  EXPECT_EQ(payload["small"], "-9223372036854775808");
  EXPECT_EQ(payload["nan"], "NaN");
  EXPECT_EQ(payload["infinite"], "-Infinity");
  EXPECT_EQ(bytes_from_json(payload["bytes"], "bytes"), "\xc3\x28");
  EXPECT_EQ(payload["binary"]["b64"], "AQL/");
  EXPECT_EQ(payload["nul"], std::string("a\0b", 3));
  EXPECT_EQ(payload["{\"b64\":\"/w==\"}"], "key");
  EXPECT_TRUE(instance.verified().ok());
}

TEST(AuditRecord, PayloadThatIsNoObjectBecomesOne) {
  const Instance instance;
  {
    Log log(instance.places());
    for (const Json& payload : {Json(3), Json(), Json::array({1}), Json("text")}) {
      Record record;
      record.payload = payload;
      log.append_and_wait(record);
    }
  }
  for (const Record& record : instance.read()) EXPECT_TRUE(record.payload.contains("value"));
}

TEST(AuditRecord, LargePayloadIsCutAndSaysSo) {
  const Instance instance;
  Json deep = 1;
  for (int i = 0; i < 1000; ++i) {
    Json outer = Json::array();
    outer.push_back(std::move(deep));
    deep = std::move(outer);
  }
  {
    Log log(instance.places());
    Record record;
    record.payload = {{"output", std::string(1u << 20, 'x')},
                      {"refused", {{{"path", "/etc/shadow"}}}}};
    log.append_and_wait(record);
    record.payload = Json::object();
    for (int i = 0; i < 20000; ++i) record.payload["key" + std::to_string(i)] = i;
    log.append_and_wait(record);
    record.payload = {{"deep", deep}};
    log.append_and_wait(record);
    record.payload = Json::object();
    record.reason = std::string(100'000, 'r');
    log.append_and_wait(record);
  }
  const auto records = instance.read();
  ASSERT_EQ(records.size(), 4u);
  for (const Record& record : records) {
    EXPECT_LE(canonical_json(record.payload).size(), kMaxPayload);
    EXPECT_LE(record.reason.size(), kMaxField);
  }
  EXPECT_GT(records[0].payload["cut"]["bytes"], 1u << 20);
  EXPECT_EQ(records[0].payload["refused"][0]["path"], "/etc/shadow");
  EXPECT_TRUE(is_blocked(records[0]));
  EXPECT_TRUE(records[1].payload.contains("cut"));
  EXPECT_NE(canonical_json(records[2].payload).find("nested too deep"), std::string::npos);
  EXPECT_NE(records[3].reason.find("(cut, 100000 bytes)"), std::string::npos);
  EXPECT_TRUE(instance.verified().ok());
}

}  // namespace
}  // namespace sharkcage::audit
