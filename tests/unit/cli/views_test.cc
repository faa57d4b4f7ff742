// Records and skills in words.
#include <gtest/gtest.h>
#include <stdlib.h>

#include "cli/audit_view.h"
#include "cli/skill_view.h"
#include "cli/style.h"

namespace sharkcage::cli {
namespace {

audit::Record record(const std::string& kind, const std::string& decision, Json payload,
                     const std::string& reason = {}) {
  audit::Record out;
  out.seq = 12;
  out.time = "2026-11-21T14:03:07.000000Z";
  out.kind = kind;
  out.skill = "weather";
  out.tool = "exec";
  out.decision = decision;
  out.reason = reason;
  out.payload = std::move(payload);
  return out;
}

TEST(AuditView, SaysWhatWasBlockedInWords) {
  EXPECT_EQ(describe(record("connection", "block",
                            {{"host", "evil.example"}, {"port", 443}, {"phase", "close"}},
                            "not approved")),
            "weather tried to reach evil.example:443 — not approved");
  EXPECT_EQ(describe(record("verdict", "block", {{"argv", {"cat", "/etc/a file"}}}, "no approval")),
            "weather wanted to run: cat '/etc/a file' — no approval");
  EXPECT_EQ(describe(record("outcome", "block", Json::object(), "no user namespaces")),
            "weather's exec did not run — no user namespaces");
}

TEST(AuditView, SaysWhatHappened) {
  EXPECT_EQ(describe(record("verdict", "allow", {{"params", {{"command", "curl wttr.in"}}}})),
            "weather may run: curl wttr.in");
  EXPECT_EQ(describe(record("verdict", "ask", {{"params", {{"path", "/w/a"}}}})),
            "weather asks to use exec on /w/a");
  EXPECT_EQ(describe(record("outcome", "", {{"exit", 3}, {"wall_us", 12'345'678}})),
            "weather's exec ended with status 3, 12.3 s");
  EXPECT_EQ(describe(record("outcome", "", {{"signal", 9}, {"wall_us", 1000}}, "wall")),
            "weather's exec was ended by signal 9 at its time limit, 1 ms");
  EXPECT_EQ(describe(record("connection", "allow",
                            {{"host", "wttr.in"},
                             {"port", 443},
                             {"phase", "close"},
                             {"bytes_up", 512},
                             {"bytes_down", 2048}})),
            "weather reached wttr.in:443, 512 B up, 2.0 KiB down");
  EXPECT_EQ(describe(record("connection", "allow",
                            {{"host", "wttr.in"},
                             {"port", 443},
                             {"phase", "close"},
                             {"bytes_up", 0},
                             {"bytes_down", 0}},
                            "unresolvable: Name or service not known")),
            "weather did not reach wttr.in:443 — unresolvable: Name or service not known");
  EXPECT_EQ(describe(record("approval", "allow", {{"by_uid", 0}}, "approved")),
            "weather was approved");
}

TEST(AuditView, NamesRefusedAccesses) {
  const auto outcome = record(
      "outcome", "", {{"exit", 1}, {"refused", {"open /etc/shadow", {{"what", "exec gcc"}}}}});
  EXPECT_EQ(describe(outcome),
            "weather's exec ended with status 1; refused: open /etc/shadow; exec gcc");
  EXPECT_NE(audit_line(outcome, false, {}).find("block"), std::string::npos);
}

TEST(AuditView, ARecordCannotCommandTheTerminalNorFakeALine) {
  const auto hostile = record("verdict", "block", {{"argv", {"\x1b[2J", "a\nb", "\xe2\x80\xae"}}},
                              "because\r\x1b]0;x\x07");
  const std::string line = audit_line(hostile, false, {});
  for (const char c : line) EXPECT_FALSE(static_cast<unsigned char>(c) < 0x20) << line;
  EXPECT_EQ(line.find("\xe2\x80\xae"), std::string::npos);
}

TEST(AuditView, LinesAreAligned) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  const auto now = parse_rfc3339("2026-11-21T15:00:00.000000Z");
  auto first = record("verdict", "ask", {{"argv", {"ls"}}});
  first.skill = "agent";
  EXPECT_EQ(audit_line(first, false, *now), "   #12  14:03:07  ask    the agent asks to run: ls");
}

TEST(AuditView, OddRecordsDoNotThrow) {
  for (const Json& payload :
       {Json::object(), Json{{"argv", "x"}}, Json{{"argv", {1, Json::array()}}},
        Json{{"refused", "x"}}, Json{{"refused", {1}}}, Json{{"host", 1}}}) {
    for (const char* kind : {"verdict", "outcome", "connection", "approval", "other", ""}) {
      EXPECT_NO_THROW(audit_line(record(kind, "block", payload), true, {})) << payload.dump();
    }
  }
  EXPECT_NO_THROW(audit_line(record_from_json(Json::array()), false, {}));
}

TEST(AuditView, RecordsSurviveTheWire) {
  auto original = record("verdict", "allow", {{"argv", {"ls"}}}, "because");
  original.session = "s";
  original.hash = std::string(64, 'a');
  EXPECT_EQ(record_from_json(original.to_json()).to_json(), original.to_json());
}

TEST(AuditView, LongCommandsAreShortened) {
  const std::string text =
      describe(record("verdict", "allow", {{"params", {{"command", std::string(5000, 'x')}}}}));
  EXPECT_LT(text.size(), 300u);
  EXPECT_TRUE(text.ends_with("…"));
}

TEST(SkillView, ShowsTheRiskiestFirstAndEveryScope) {
  const Json capabilities = {
      {{"capability", "network.internal"},
       {"label", "reach the local network"},
       {"risk", "medium"},
       {"scope", {"localhost:8123"}},
       {"reason", "ask the greeter"}},
      {{"capability", "system.exec"},
       {"label", "run programs: curl"},
       {"risk", "dangerous"},
       {"scope", {"curl"}},
       {"reason", "to ask"}},
      {{"capability", "odd"}, {"risk", "unheard of"}},
  };
  const std::string text = capability_table(capabilities, false, false, 0);
  EXPECT_LT(text.find("system.exec"), text.find("network.internal"));
  EXPECT_LT(text.find("odd"), text.find("network.internal"))
      << "an unknown risk counts as the highest";
  EXPECT_NE(text.find("reach the local network: localhost:8123"), std::string::npos);
  EXPECT_EQ(text.find("run programs: curl: curl"), std::string::npos);
  EXPECT_EQ(highest_risk(Json::array()), "none");
}

TEST(SkillView, SaysWhatToDoForEachState) {
  for (const char* state : {"pending", "changed", "revoked"}) {
    EXPECT_NE(state_hint({{"name", "weather"}, {"state", state}}).find("sc approve weather"),
              std::string::npos);
  }
  EXPECT_NE(state_hint({{"name", "weather"}, {"state", "missing"}}).find("sc skill add"),
            std::string::npos);
  EXPECT_EQ(state_hint({{"name", "weather"}, {"state", "approved"}}), "");
}

}  // namespace
}  // namespace sharkcage::cli
