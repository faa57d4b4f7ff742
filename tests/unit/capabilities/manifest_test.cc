#include "capabilities/manifest.h"

#include <gmock/gmock.h>

#include <chrono>

#include "common/fd.h"
#include "fixture.h"
#include "schema.h"

namespace sharkcage {
namespace {

using testing::HasSubstr;

const Catalogue& catalogue() {
  static const Catalogue instance;
  return instance;
}

Manifest parse(const Json& json) {
  return parse_manifest(json.dump(), "/s/sharkcage.json", catalogue());
}

Json weather() {
  return Json::parse(R"({
    "name": "weather", "version": "1.0.0", "description": "Forecasts from wttr.in",
    "capabilities": [
      { "capability": "network.external", "scope": ["wttr.in:443"], "reason": "fetch forecasts" },
      { "capability": "system.exec", "scope": ["curl"], "reason": "call wttr.in" } ],
    "tools": [ { "name": "weather_now", "description": "now", "parameters": { "type": "object" } } ],
    "runtime": "node", "main": "mod.js",
    "limits": { "memory": "512M", "cpus": 1, "pids": 64, "wall": "60s" } })");
}

// `weather()` with the value at a JSON pointer replaced.
Json with(const char* pointer, const Json& value) {
  Json json = weather();
  json[Json::json_pointer(pointer)] = value;
  return json;
}

Json without(const char* key) {
  Json json = weather();
  json.erase(key);
  return json;
}

std::string refused(const Json& json) {
  return complaint_of([&] { parse(json); });
}

TEST(Manifest, ReadsEveryField) {
  const Manifest manifest = parse(weather());
  EXPECT_EQ(manifest.name, "weather");
  EXPECT_EQ(manifest.version, "1.0.0");
  ASSERT_EQ(manifest.capabilities.size(), 2u);
  EXPECT_EQ(manifest.capabilities[0].scope, std::vector<std::string>{"wttr.in:443"});
  EXPECT_EQ(manifest.capabilities[1].reason, "call wttr.in");
  EXPECT_EQ(manifest.tools.at(0).name, "weather_now");
  EXPECT_EQ(manifest.main, "mod.js");
  EXPECT_EQ(manifest.digest.size(), 64u);
}

TEST(Manifest, DigestDependsOnContentAndNotOnLayout) {
  const Manifest plain = parse(weather());
  EXPECT_EQ(parse_manifest(weather().dump(4), "f", catalogue()).digest, plain.digest);
  EXPECT_NE(parse(with("/version", "1.0.1")).digest, plain.digest);
  EXPECT_NE(parse(with("/capabilities/0/scope/0", "wttr.in:444")).digest, plain.digest);
}

TEST(Manifest, LimitsOnlyLower) {
  Limits configured;
  configured.pids = 32;
  const Limits limits = parse(weather()).limits_within(configured);
  EXPECT_EQ(limits.memory, 512ull << 20);
  EXPECT_EQ(limits.pids, 32u);
  EXPECT_EQ(limits.open_files, configured.open_files);
}

TEST(Manifest, ErrorsNameFileFieldAndRemedy) {
  EXPECT_THAT(refused(with("/capabilities/0/capability", "network.externel")),
              testing::AllOf(HasSubstr("/s/sharkcage.json: capabilities[0].capability: "),
                             HasSubstr("Did you mean \"network.external\"?")));
  EXPECT_THAT(refused(with("/capabilities/1/scope/0", "cu rl")),
              HasSubstr("capabilities[1].scope[0]: \"cu rl\" is not a name of a program"));
  EXPECT_THAT(refused(with("/capabilities/0/scope", "wttr.in")),
              testing::AllOf(HasSubstr("capabilities[0].scope: expected a list"),
                             HasSubstr("in brackets")));
  EXPECT_THAT(refused(with("/capabilities/1/scope", Json::array())),
              testing::AllOf(HasSubstr("capabilities[1].scope: the list is empty"),
                             HasSubstr("leave the capability out")))
      << "system.exec without a scope would be every program";
  EXPECT_THAT(refused(with("/capabilities/0/scope/0", "*")), HasSubstr("every host"));
  EXPECT_THAT(refused(with("/capabilities/0/scope/0", "localhost:80")),
              HasSubstr("network.internal"));
  EXPECT_THAT(refused(with("/capabilities/0/scope/0", "10.0.0.1:80")),
              HasSubstr("network.internal"));
  EXPECT_THAT(refused(with("/capabilities/0/scope/0", "*.com")), HasSubstr("top-level domain"));
  EXPECT_THAT(refused(with("/name", "agent")),
              HasSubstr("name: \"agent\" is the name of the baseline"));
  EXPECT_THAT(refused(with("/name", "../x")), HasSubstr("name: "));
  EXPECT_THAT(refused(with("/nmae", "x")), HasSubstr("unknown key \"nmae\""));
  EXPECT_THAT(refused(without("version")), HasSubstr("version: missing"));
  EXPECT_THAT(refused(without("main")), HasSubstr("main: missing"));
  EXPECT_THAT(refused(with("/limits/memory", "lots")), HasSubstr("limits.memory: \"lots\""));
  EXPECT_THAT(refused(with("/main", "../../etc/passwd")), HasSubstr("main: "));
}

TEST(Manifest, RefusesScopesThatWouldMeanCodeOrNothing) {
  const auto scope = [](const char* capability, const char* word) {
    return refused(
        Json{{"name", "x"},
             {"version", "1"},
             {"capabilities", {{{"capability", capability}, {"scope", {word}}, {"reason", "r"}}}}});
  };
  EXPECT_THAT(scope("system.env", "LD_PRELOAD"), HasSubstr("never granted"));
  EXPECT_THAT(scope("system.env", "PATH"), HasSubstr("set by the sandbox"));
  EXPECT_THAT(scope("system.env", "A-B"), HasSubstr("not a name"));
  EXPECT_THAT(scope("system.exec", "sub/tool"), HasSubstr("relative path"));
  EXPECT_THAT(scope("system.exec", "/usr/../bin/sh"), HasSubstr("normal form"));
  EXPECT_THAT(scope("system.exec", "-c"), HasSubstr("not a name of a program"));
  EXPECT_THAT(scope("system.files.read", "notes"), HasSubstr("absolute path"));
  EXPECT_THAT(scope("system.files.read", "~root/x"), HasSubstr("absolute path"));
  EXPECT_THAT(scope("system.files.read", "/a/../b"), HasSubstr("normal form"));
  EXPECT_THAT(scope("system.files.read", "~/*.txt"), HasSubstr("pattern"));
  EXPECT_THAT(scope("cost.api", "nobody"), HasSubstr("Known: anthropic"));
  EXPECT_THAT(scope("data.meals", "x"), HasSubstr("takes no scope"));
  EXPECT_THAT(scope("home.read", "light; rm"), HasSubstr("pattern of entities"));
}

TEST(Manifest, BringsScopesIntoNormalForm) {
  const Manifest manifest = parse(with("/capabilities/0/scope", {"WTTR.in.:443", "*.A.org"}));
  EXPECT_EQ(manifest.capabilities[0].scope, (std::vector<std::string>{"wttr.in:443", "*.a.org"}));
  EXPECT_THAT(refused(with("/capabilities/0/scope", {"wttr.in", "WTTR.IN"})),
              HasSubstr("stands twice"));
}

TEST(Manifest, RefusesTextThatCommandsATerminal) {
  for (const char* text :
       {"a\x1b[2Jb", "a\nb", "a\rb", "safe\u202Eevil", "a\u200Bb", "a\tb", "a\x7f"}) {
    EXPECT_THAT(refused(with("/capabilities/0/reason", text)), HasSubstr("capabilities[0].reason"));
    EXPECT_THAT(refused(with("/description", text)), HasSubstr("description"));
  }
  EXPECT_NO_THROW(parse(with("/description", "Größe – ok 🦈")));
}

TEST(Manifest, TenMegabytesOfNestingAreRefusedAtOnce) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(complaint_of([] {
                parse_manifest(std::string(10u << 20, '['), "/s/sharkcage.json", catalogue());
              }),
              HasSubstr("larger than 1048576"));
  const std::string deep = R"({"tools": )" + std::string(500'000, '[');
  EXPECT_THAT(complaint_of([&] { parse_manifest(deep, "/s/sharkcage.json", catalogue()); }),
              HasSubstr("nested deeper"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(Manifest, RefusesWhatIsNotOneJsonObject) {
  for (const char* text : {"", "[]", "null", "{", "{}{}", "{\"name\": \"a\", \"name\": \"b\"}",
                           "\xff", "{\"name\": \"\xff\"}", "{\"version\": 1e999}"}) {
    EXPECT_THROW(parse_manifest(text, "f", catalogue()), UserError) << text;
  }
}

TEST(Manifest, HintsAtAWildcardWithoutItsName) {
  const auto hints =
      manifest_hints(parse(with("/capabilities/0/scope/0", "*.wttr.in")), catalogue());
  ASSERT_EQ(hints.size(), 1u);
  EXPECT_THAT(hints[0], HasSubstr("capabilities[0].scope: \"*.wttr.in\" does not match wttr.in"));
}

TEST(Manifest, NotesASiteWithoutTheNamesBelowIt) {
  const Manifest site = parse(with("/capabilities/0/scope/0", "wttr.in"));
  EXPECT_TRUE(manifest_hints(site, catalogue()).empty());
  const auto notes = manifest_notes(site, catalogue());
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("capabilities[0].scope: \"wttr.in\" does not match names below"));
}

TEST(Manifest, NamesHostsThatTheSkillNeverReaches) {
  const Manifest manifest = parse(with("/deny_hosts", {"Admin.Wttr.in.", "bücher.example:80"}));
  EXPECT_EQ(manifest.deny_hosts,
            (std::vector<std::string>{"admin.wttr.in", "xn--bcher-kva.example:80"}));
  EXPECT_EQ(recorded_manifest(manifest.json).deny_hosts.size(), 2u);
  EXPECT_NE(manifest.digest, parse(weather()).digest);
  EXPECT_THAT(refused(with("/deny_hosts", {"a.example", "http://b.example"})),
              HasSubstr("/s/sharkcage.json: deny_hosts[1]: \"http://b.example\" is a URL"));
}

// Before anybody can approve it, and naming the rule.
TEST(Manifest, ARuleThatCannotBeParsedIsNamed) {
  for (const char* rule : {"a b.example", "2130706433", "10.0.0.1/8", "*.*.example", "a.example:0",
                           "[::1", "ex\u00e4mple .org"}) {
    EXPECT_THAT(refused(with("/capabilities/0/scope/0", rule)),
                testing::AllOf(HasSubstr("/s/sharkcage.json: capabilities[0].scope[0]: "),
                               HasSubstr(std::string("\"") + rule + "\"")))
        << rule;
  }
}

struct Case {
  const char* what;
  Json json;
  bool shape;  // what the schema says
  bool valid;  // what the parser says
};

std::vector<Case> corpus() {
  const Json many(65, Json{{"capability", "data.meals"}, {"reason", "r"}});
  std::vector<Case> cases = {
      {"all fields", weather(), true, true},
      {"least", Json::parse(R"({"name":"a","version":"0","capabilities":[]})"), true, true},
      {"schema key", with("/$schema", "https://example.com/s"), true, true},
      {"no scope", with("/capabilities/1", {{"capability", "system.exec"}, {"reason", "r"}}), true,
       true},
      {"unknown capability", with("/capabilities/0/capability", "a.b"), true, false},
      {"bad host", with("/capabilities/0/scope/0", "http://x"), true, false},
      {"required scope",
       with("/capabilities/0", {{"capability", "network.external"}, {"reason", "r"}}), true, false},
      {"tools without main", without("main"), true, false},
      {"size beyond 2^53", with("/limits/memory", "9999999999T"), true, false},
      {"zero size", with("/limits/memory", "0M"), true, false},
      {"not an object", Json::array(), false, false},
      {"no name", without("name"), false, false},
      {"no version", without("version"), false, false},
      {"no capabilities", without("capabilities"), false, false},
      {"unknown key", with("/x", 1), false, false},
      {"unknown key in a capability", with("/capabilities/0/x", 1), false, false},
      {"unknown key in a tool", with("/tools/0/x", 1), false, false},
      {"unknown key in limits", with("/limits/x", 1), false, false},
      {"agent", with("/name", "agent"), false, false},
      {"upper case", with("/name", "Weather"), false, false},
      {"long name", with("/name", std::string(65, 'a')), false, false},
      {"longest name", with("/name", std::string(64, 'a')), true, true},
      {"name with a slash", with("/name", "a/b"), false, false},
      {"hidden name", with("/name", ".a"), false, false},
      {"version number", with("/version", 1), false, false},
      {"empty version", with("/version", ""), false, false},
      {"version with a space", with("/version", "1 0"), false, false},
      {"long description", with("/description", std::string(1025, 'x')), false, false},
      {"description in characters",
       with("/description",
            [] {
              std::string text;
              for (int i = 0; i < 1024; ++i) text += "ä";
              return text;
            }()),
       true, true},
      {"capabilities not a list", with("/capabilities", Json::object()), false, false},
      {"too many", with("/capabilities", many), false, false},
      {"empty scope", with("/capabilities/0/scope", Json::array()), false, false},
      {"scope of numbers", with("/capabilities/0/scope", {1}), false, false},
      {"empty scope word", with("/capabilities/0/scope", {""}), false, false},
      {"empty reason", with("/capabilities/0/reason", ""), false, false},
      {"long reason", with("/capabilities/0/reason", std::string(513, 'x')), false, false},
      {"tool name", with("/tools/0/name", "a b"), false, false},
      {"tool parameters", with("/tools/0/parameters", "x"), false, false},
      {"runtime", with("/runtime", "bash"), false, false},
      {"runtime number", with("/runtime", 3), false, false},
      {"main", with("/main", ""), false, false},
      {"main above", with("/main", "../a"), true, false},
      {"size text", with("/limits/tmp", "12 M"), false, false},
      {"size zero", with("/limits/tmp", 0), false, false},
      {"size number", with("/limits/tmp", 4096), true, true},
      {"size negative", with("/limits/tmp", -1), false, false},
      {"cpus zero", with("/limits/cpus", 0), false, false},
      {"cpus part", with("/limits/cpus", 0.5), true, true},
      {"cpus text", with("/limits/cpus", "1"), false, false},
      {"pids zero", with("/limits/pids", 0), false, false},
      {"pids part", with("/limits/pids", 1.5), false, false},
      {"wall unit", with("/limits/wall", "60"), false, false},
      {"wall number", with("/limits/wall", 1000), true, true},
      {"wall zero", with("/limits/wall", 0), false, false},
      {"denied hosts", with("/deny_hosts", {"a.example"}), true, true},
      {"denied hosts that are none", with("/deny_hosts", {"a b"}), true, false},
      {"denied hosts not a list", with("/deny_hosts", "a.example"), false, false},
      {"no denied hosts", with("/deny_hosts", Json::array()), false, false},
      {"limits list", with("/limits", Json::array()), false, false},
  };
  return cases;
}

TEST(Manifest, SchemaAndParserAgree) {
  const Json schema = parse_json(read_file(SCHEMA_FILE, 1u << 20), SCHEMA_FILE);
  for (const Case& one : corpus()) {
    EXPECT_EQ(matches_schema(one.json, schema, schema), one.shape) << one.what;
    bool valid = true;
    std::string why;
    try {
      parse(one.json);
    } catch (const UserError& error) {
      valid = false;
      why = error.full();
    }
    EXPECT_EQ(valid, one.valid) << one.what << ": " << why;
    EXPECT_TRUE(one.shape || !valid) << one.what << " passes the parser and not the schema";
  }
}

}  // namespace
}  // namespace sharkcage
