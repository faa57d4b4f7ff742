// Records and skills in words.
#include <gtest/gtest.h>
#include <stdlib.h>

#include "cli/audit_view.h"
#include "cli/refusal_view.h"
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
  EXPECT_EQ(describe(record("connection", "block",
                            {{"protocol", "dns"}, {"host", "evil.example"}, {"phase", "close"}},
                            "not approved")),
            "weather tried to look up evil.example — not approved");
  EXPECT_EQ(describe(record("connection", "block",
                            {{"protocol", "http"},
                             {"program", "curl"},
                             {"host", "evil.example"},
                             {"port", 80},
                             {"count", 3},
                             {"phase", "close"}},
                            "not approved")),
            "weather tried to reach evil.example:80 — not approved (curl, 3 times)");
  EXPECT_EQ(describe(record("connection", "block", {{"host", ""}, {"phase", "close"}}, "no token")),
            "weather tried to use the proxy — no token");
  audit::Record outside =
      record("connection", "block", {{"host", "evil.example"}, {"port", 80}}, "not approved");
  outside.session = "egress client gateway";
  outside.call = "egress-client-gateway";
  EXPECT_EQ(describe(outside),
            "egress client gateway tried to reach evil.example:80 — not approved");
  outside.call.clear();
  EXPECT_EQ(describe(outside),
            "somebody without the token of egress client gateway tried to reach evil.example:80 — "
            "not approved");
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
  const auto refused_by = [](const char* host, const char* address) {
    return describe(record("connection", "allow",
                           {{"host", host}, {"port", 80}, {"address", address}, {"phase", "close"}},
                           "refused"));
  };
  EXPECT_EQ(refused_by("localhost", "::1"), "weather did not reach localhost:80 at ::1 — refused");
  EXPECT_EQ(refused_by("::1", "::1"), "weather did not reach [::1]:80 — refused");
  EXPECT_EQ(describe(record("approval", "allow", {{"by_uid", 0}}, "approved")),
            "weather was approved");
}

TEST(AuditView, NamesRefusedAccesses) {
  const auto outcome = record(
      "outcome", "", {{"exit", 1}, {"refused", {"open /etc/shadow", {{"what", "exec gcc"}}}}});
  EXPECT_EQ(describe(outcome),
            "weather's exec ended with status 1; refused: tried: open /etc/shadow, tried: "
            "{\"what\":\"exec gcc\"}");
  EXPECT_NE(audit_line(outcome, {}).find("block"), std::string::npos);
}

TEST(AuditView, SaysRefusedAccessesInWords) {
  const auto words = [](const Json& refusal) { return refusal_sentence(refusal, "/home/ada"); };
  EXPECT_EQ(words({{"operation", "read"},
                   {"path", "/home/ada/.aws/credentials"},
                   {"pid", 7},
                   {"program", "cat"},
                   {"first", "2026-11-21T14:03:07.000000Z"},
                   {"count", 3}}),
            "tried to read ~/.aws/credentials (cat, 3 times)");
  EXPECT_EQ(words({{"operation", "list"}, {"path", "/home/ada"}}), "tried to list ~");
  EXPECT_EQ(words({{"operation", "read"}, {"path", "/home/adam/x"}, {"program", "sh"}}),
            "tried to read /home/adam/x (sh)");
  EXPECT_EQ(words({{"operation", "write"}, {"path", "/usr/bin/x"}}), "tried to write /usr/bin/x");
  EXPECT_EQ(words({{"operation", "rename"}, {"path", "/w/a"}, {"to", "/home/ada/b"}}),
            "tried to rename /w/a to ~/b");
  EXPECT_EQ(words({{"operation", "link"}, {"path", "/w/a"}, {"to", "/w/b"}}),
            "tried to link /w/a as /w/b");
  EXPECT_EQ(words({{"operation", "execute"}, {"path", "/usr/bin/curl"}, {"program", "sh"}}),
            "tried to run /usr/bin/curl (sh)");
  EXPECT_EQ(words({{"operation", "connect"}, {"address", "93.184.216.34:443"}}),
            "tried to connect to 93.184.216.34:443");
  EXPECT_EQ(words({{"operation", "connect"},
                   {"address", "example.com:443"},
                   {"to", "/usr/bin/wget"},
                   {"program", "wget"}}),
            "tried to connect to example.com:443 by /usr/bin/wget, which may not use the network "
            "(wget)");
  EXPECT_EQ(words({{"operation", "bind"}, {"address", "0.0.0.0:80"}}),
            "tried to listen on 0.0.0.0:80");
  EXPECT_EQ(words({{"operation", "system call"}, {"call", "ptrace"}, {"program", "gdb"}}),
            "used a refused system call: ptrace (gdb)");
  EXPECT_EQ(words({{"operation", "limit"}, {"limit", "memory"}}), "hit the memory limit");
  EXPECT_EQ(words({{"operation", "unknown"}, {"reason", "no answer"}}),
            "may have been refused what is not known: no answer");
  EXPECT_EQ(words({{"operation", "limit"}, {"limit", "pids"}, {"value", "64 processes"}}),
            "hit the limit of 64 processes");
  EXPECT_EQ(words({{"operation", "limit"}, {"limit", "output"}, {"value", "64 KiB"}}),
            "hit the limit of 64 KiB of output");
  EXPECT_EQ(words({{"operation", "limit"}, {"limit", "open files"}, {"value", "32"}}),
            "hit the limit of 32 open files");
  EXPECT_EQ(
      refusal_sentence(
          {{"operation", "limit"}, {"limit", "pids"}, {"count", 1}, {"at_least", true}}, "", ""),
      "hit the limit of processes (at least once)");
  EXPECT_EQ(words({{"operation", "limit"}, {"limit", "inodes"}}), "hit the limit \"inodes\"");
}

TEST(AuditView, ShowsALineForEachRefusal) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  const View view{
      .colours = false, .now = *parse_rfc3339("2026-11-21T15:00:00.000000Z"), .home = "/home/ada"};
  auto outcome =
      record("outcome", "",
             {{"exit", 1},
              {"refused",
               {{{"operation", "read"}, {"path", "/home/ada/.netrc"}, {"program", "cat"}},
                {{"operation", "write"}, {"path", "/etc/hosts"}},
                {{"operation", "stat"}, {"path", "/sys"}},
                {{"operation", "stat"}, {"path", "/boot"}}}},
              {"refused_more", 5}});
  EXPECT_EQ(
      blocked_lines(outcome, view),
      (std::vector<std::string>{
          "   #12  14:03:07  block  weather tried to read ~/.netrc (cat)",
          "   #12  14:03:07  block  weather tried to write /etc/hosts",
          "   #12  14:03:07  block  weather tried to look at /sys",
          "   #12  14:03:07  block  weather tried to look at /boot",
          "   #12  14:03:07  block  weather tried 5 more, of which only the number was kept"}));
  EXPECT_EQ(audit_line(outcome, view),
            "   #12  14:03:07  block  weather's exec ended with status 1; refused: read ~/.netrc, "
            "write /etc/hosts, look at /sys and 6 more");
  outcome.session = "cli";
  EXPECT_TRUE(blocked_lines(outcome, view)[0].ends_with("(cat)"));
  outcome.session = "agent:main:main";
  EXPECT_TRUE(blocked_lines(outcome, view)[0].ends_with("(cat)  [exec in agent:main:main]"));
  const auto verdict = record("verdict", "block", {{"argv", {"ls"}}}, "no");
  EXPECT_EQ(blocked_lines(verdict, view), std::vector<std::string>{audit_line(verdict, view)});
}

TEST(AuditView, WhatACommandLeftRunningIsNotItself) {
  const Json payload = {
      {"refused",
       {{{"operation", "read"}, {"path", "/etc/shadow"}, {"program", "cat"}, {"count", 2}}}},
      {"left_running", true},
      {"command", "sh serve.sh"}};
  const auto outcome = record("outcome", "", payload, "refused to what the command left running");
  EXPECT_EQ(describe(outcome),
            "what weather's exec left running is over: sh serve.sh; refused: read /etc/shadow");
  const auto lines = blocked_lines(outcome, {});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].ends_with(
      "weather tried to read /etc/shadow (cat, 2 times, after its command returned)"))
      << lines[0];
}

TEST(AuditView, ALimitIsNamedWithItsSizeAndItsCommand) {
  const Json payload = {{"refused", {{{"operation", "limit"}, {"limit", "wall"}}}},
                        {"limits", {{"wall", "1 second"}}},
                        {"command", "sleep 5"}};
  const auto lines = blocked_lines(record("outcome", "", payload), {});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].ends_with("hit the time limit of 1 second (sleep 5)")) << lines[0];
}

TEST(AuditView, AccessesArePicked) {
  const Json refused = {{{"operation", "read"}, {"path", "/a"}},
                        {{"operation", "list"}, {"path", "/b"}}};
  View view;
  view.matches = [](const Json& refusal) { return refusal.at("path") == "/b"; };
  auto lines = blocked_lines(record("outcome", "", {{"refused", refused}}), view);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].ends_with("tried to list /b")) << lines[0];
  EXPECT_TRUE(blocked_lines(record("verdict", "block", {{"argv", {"ls"}}}, "no"), view).empty());
  view.matches = {};
  view.wanted = [](const std::string& sentence) { return sentence.find("/a") != sentence.npos; };
  lines = blocked_lines(record("outcome", "", {{"refused", refused}}), view);
  ASSERT_EQ(lines.size(), 1u);
}

TEST(AuditView, ARefusedPathCannotCommandTheTerminalNorFakeALine) {
  const std::string path = "/w/\x1b[2J\n   #13  block \xe2\x80\xae\x7f" + std::string(100'000, 'x');
  for (const char* member : {"path", "address", "call", "limit", "program", "to"}) {
    for (const char* operation : {"read", "rename", "connect", "system call", "limit", "odd"}) {
      Json refusal = {{"operation", operation}, {"path", "/p"}, {"address", "a"}, {"call", "c"}};
      refusal[member] = path;
      const auto lines = blocked_lines(record("outcome", "", {{"refused", {refusal}}}), {});
      ASSERT_EQ(lines.size(), 1u);
      for (const char c : lines[0]) {
        EXPECT_FALSE(static_cast<unsigned char>(c) < 0x20 || c == 0x7f) << lines[0];
      }
      EXPECT_EQ(lines[0].find("\xe2\x80\xae"), std::string::npos);
      EXPECT_LT(lines[0].size(), 2000u);
    }
  }
}

TEST(AuditView, ARecordCannotCommandTheTerminalNorFakeALine) {
  const auto hostile = record("verdict", "block", {{"argv", {"\x1b[2J", "a\nb", "\xe2\x80\xae"}}},
                              "because\r\x1b]0;x\x07");
  const std::string line = audit_line(hostile, {});
  for (const char c : line) EXPECT_FALSE(static_cast<unsigned char>(c) < 0x20) << line;
  EXPECT_EQ(line.find("\xe2\x80\xae"), std::string::npos);
}

TEST(AuditView, LinesAreAligned) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  const auto now = parse_rfc3339("2026-11-21T15:00:00.000000Z");
  auto first = record("verdict", "ask", {{"argv", {"ls"}}});
  first.skill = "agent";
  EXPECT_EQ(audit_line(first, {.now = *now}), "   #12  14:03:07  ask    the agent asks to run: ls");
}

TEST(AuditView, OddRecordsDoNotThrow) {
  for (const Json& payload :
       {Json::object(), Json{{"argv", "x"}}, Json{{"argv", {1, Json::array()}}},
        Json{{"refused", "x"}}, Json{{"refused", {1}}},
        Json{{"refused", {{{"operation", 1}, {"path", 2}}}}},
        Json{{"refused", {{{"operation", "read"}, {"path", {{"b64", "/w=="}}}, {"count", "x"}}}}},
        Json{{"host", 1}}}) {
    for (const char* kind : {"verdict", "outcome", "connection", "approval", "other", ""}) {
      EXPECT_NO_THROW(audit_line(record(kind, "block", payload), {.colours = true}))
          << payload.dump();
      EXPECT_NO_THROW(blocked_lines(record(kind, "", payload), {})) << payload.dump();
    }
  }
  EXPECT_NO_THROW(audit_line(record_from_json(Json::array()), {}));
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
