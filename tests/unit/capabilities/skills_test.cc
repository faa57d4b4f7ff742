#include "capabilities/skills.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>

#include <utility>

#include "capabilities/prompt.h"
#include "common/fd.h"
#include "fixture.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = Standing::Kind;

constexpr const char* kWeather = R"({
  "name": "weather", "version": "1.0.0",
  "capabilities": [
    { "capability": "network.external", "scope": ["wttr.in:443"], "reason": "fetch" },
    { "capability": "system.exec", "scope": ["grep"], "reason": "look" } ] })";

class Registry : public Scratch {
 protected:
  Registry() {
    make_directory("store");
    make_directory("home/.ssh");
    write("weather/SKILL.md", "words");
    write("weather/sharkcage.json", kWeather);
    ProtectionInput input;
    input.home = at("home");
    ground_.home = at("home");
    ground_.protected_ = protected_paths(input);
    open();
  }
  void open() {
    skills_.reset();
    skills_ = std::make_unique<Skills>(at("approvals.db"), ContentStore(at("store")), Catalogue());
  }
  Added add() { return skills_->add(at("weather")); }
  Approval approve(const std::vector<std::string>& only = {}) {
    return skills_->approve("weather", add().skill.content_digest, only, "tester", ground_);
  }
  Kind standing() { return skills_->look("weather")->standing.kind; }

  Ground ground_;
  std::unique_ptr<Skills> skills_;
};

TEST_F(Registry, AddingSaysWhatChanged) {
  Added first = add();
  EXPECT_TRUE(first.created);
  EXPECT_EQ(first.skill.source, at("weather"));
  EXPECT_THAT(first.not_approved,
              ElementsAre("network.external: wttr.in:443", "system.exec: grep"));
  EXPECT_FALSE(add().changed());

  write("weather/SKILL.md", "other words");
  Added content = add();
  EXPECT_TRUE(content.content_changed);
  EXPECT_FALSE(content.manifest_changed);

  fs::rename(at("weather"), at("moved"));
  Added moved = skills_->add(at("moved"));
  EXPECT_TRUE(moved.source_changed);
  EXPECT_FALSE(moved.content_changed);
  EXPECT_EQ(skills_->list().size(), 1u);
}

TEST_F(Registry, NothingIsApprovedByAdding) {
  add();
  EXPECT_EQ(standing(), Kind::kUnapproved);
  EXPECT_EQ(skills_->standing("nobody", "").kind, Kind::kUnknown);
  EXPECT_FALSE(skills_->look("nobody"));
}

TEST_F(Registry, AnApprovalGrantsWhatWasAskedForAndSurvivesARestart) {
  const Approval approval = approve();
  open();
  const Standing standing = skills_->look("weather")->standing;
  ASSERT_EQ(standing.kind, Kind::kApproved);
  EXPECT_EQ(standing.approval->granted, approval.granted);
  EXPECT_EQ(standing.approval->effects, approval.effects);
  EXPECT_EQ(standing.approval->decided_by, "tester");
  EXPECT_EQ(standing.approval->effects.hosts, (std::vector<HostRule>{{"wttr.in", 443, false}}));
  EXPECT_EQ(standing.approval->effects.exec.programs.size(), 1u);
  EXPECT_THAT(add().not_approved, IsEmpty());
}

// Invariant 8.
TEST_F(Registry, OneByteVoidsTheApproval) {
  approve();
  write("weather/SKILL.md", "wordt");
  const auto look = skills_->look("weather");
  EXPECT_EQ(look->standing.kind, Kind::kChanged);
  EXPECT_NE(look->skill.content_digest, look->standing.approval->content_digest);
  write("weather/SKILL.md", "words");
  EXPECT_EQ(standing(), Kind::kApproved);
}

TEST_F(Registry, TheExecutableBitVoidsTheApproval) {
  approve();
  write("weather/SKILL.md", "words", 0755);
  EXPECT_EQ(standing(), Kind::kChanged);
}

TEST_F(Registry, WhatRunsIsTheApprovedCopy) {
  const Approval approval = approve();
  write("weather/SKILL.md", "evil");
  skills_->look("weather");
  skills_->store().remove_unreferenced(skills_->referenced_content());
  EXPECT_TRUE(skills_->store().intact(approval.content_digest));
  EXPECT_EQ(read_file(skills_->store().find(approval.content_digest) + "/SKILL.md", 100), "words");
}

TEST_F(Registry, AnApprovalIsForWhatThePersonWasShown) {
  const std::string shown = add().skill.content_digest;
  write("weather/SKILL.md", "swapped while the person was reading");
  EXPECT_THAT(complaint_of([&] { skills_->approve("weather", shown, {}, "t", ground_); }),
              HasSubstr("has changed since it was shown"));
  EXPECT_EQ(standing(), Kind::kUnapproved);
}

TEST_F(Registry, ADamagedCopyIsNotApproved) {
  const std::string shown = add().skill.content_digest;
  const std::string file = skills_->store().find(shown) + "/SKILL.md";
  fs::permissions(file, fs::perms::owner_all);
  write("store/" + shown + "/SKILL.md", "evil");
  EXPECT_THAT(complaint_of([&] { skills_->approve("weather", shown, {}, "t", ground_); }),
              HasSubstr("nothing is approved"));
}

TEST_F(Registry, WithoutItsCopyAnApprovalIsWorthNothing) {
  const Approval approval = approve();
  skills_->store().remove(approval.content_digest);
  EXPECT_NE(skills_->standing("weather", approval.content_digest).kind, Kind::kApproved);
  EXPECT_EQ(standing(), Kind::kApproved);  // copied again from an unchanged source
}

TEST_F(Registry, OnlyGrantsAPart) {
  const Approval approval = approve({"system.exec"});
  EXPECT_EQ(approval.granted.size(), 1u);
  EXPECT_THAT(approval.effects.hosts, IsEmpty());
  EXPECT_EQ(standing(), Kind::kApproved);
  EXPECT_THAT(add().not_approved, ElementsAre("network.external: wttr.in:443"));
  EXPECT_THAT(complaint_of([&] { approve({"system.env"}); }),
              HasSubstr("does not ask for \"system.env\""));
}

TEST_F(Registry, ARefusedGrantApprovesNothing) {
  write("weather/sharkcage.json",
        R"({"name": "weather", "version": "1", "capabilities": [
             {"capability": "system.files.read", "scope": ["~/.ssh"], "reason": "r"}]})");
  EXPECT_THAT(complaint_of([&] { approve(); }), HasSubstr("protected path " + at("home/.ssh")));
  EXPECT_EQ(standing(), Kind::kUnapproved);
}

TEST_F(Registry, ARefusalSaysHowToApproveTheRest) {
  write("weather/sharkcage.json",
        R"({"name": "weather", "version": "1", "capabilities": [
             {"capability": "system.env", "scope": ["TZ"], "reason": "r"},
             {"capability": "system.exec", "scope": ["no-such-program"], "reason": "r"},
             {"capability": "system.exec", "scope": ["grep"], "reason": "r"},
             {"capability": "system.files.read", "scope": ["~/.ssh"], "reason": "r"}]})");
  const std::string complaint = complaint_of([&] { approve(); });
  EXPECT_THAT(complaint, testing::EndsWith("Without it: sc approve weather --only system.env"));
  EXPECT_EQ(approve({"system.env"}).granted.size(), 1u);
}

TEST_F(Registry, RevokingTakesTheApprovalAway) {
  approve();
  EXPECT_TRUE(skills_->revoke("weather"));
  EXPECT_EQ(standing(), Kind::kRevoked);
  EXPECT_FALSE(skills_->revoke("weather"));
  approve();
  EXPECT_EQ(standing(), Kind::kApproved);
}

TEST_F(Registry, RemovingForgetsEverything) {
  approve();
  skills_->ask("weather", "s", "exec", 0);
  EXPECT_TRUE(skills_->remove("weather"));
  EXPECT_FALSE(skills_->remove("weather"));
  EXPECT_THAT(skills_->pending(), IsEmpty());
  EXPECT_THAT(skills_->referenced_content(), IsEmpty());
  add();
  EXPECT_EQ(standing(), Kind::kUnapproved);  // an old approval does not come back
}

TEST_F(Registry, ASkillThatIsGoneOrBrokenIsShownAsSuch) {
  approve();
  write("weather/sharkcage.json", "{");
  auto look = skills_->look("weather");
  EXPECT_EQ(look->standing.kind, Kind::kChanged);
  EXPECT_THAT(look->problem, HasSubstr("sharkcage.json"));
  fs::remove_all(at("weather"));
  look = skills_->look("weather");
  EXPECT_EQ(look->standing.kind, Kind::kMissing);
  EXPECT_EQ(to_json(*look, Catalogue())["state"], "missing");
}

TEST_F(Registry, ASkillCannotTakeAnothersName) {
  approve();
  write("weather/sharkcage.json", R"({"name": "other", "version": "1", "capabilities": []})");
  EXPECT_THAT(complaint_of([&] { skills_->refresh("weather"); }),
              HasSubstr("now calls itself other"));
  EXPECT_FALSE(skills_->find("other"));
  EXPECT_EQ(standing(), Kind::kChanged);
}

TEST_F(Registry, ABadSkillChangesNothing) {
  fs::remove(at("weather/sharkcage.json"));
  EXPECT_THAT(complaint_of([&] { add(); }), HasSubstr("has no manifest"));
  write("weather/sharkcage.json", R"({"name": "weather"})");
  EXPECT_THAT(complaint_of([&] { add(); }),
              HasSubstr(at("weather/sharkcage.json") + ": version: missing"));
  write("weather/sharkcage.json", std::string(2u << 20, ' '));
  EXPECT_THAT(complaint_of([&] { add(); }), HasSubstr("larger than"));
  write("weather/sharkcage.json",
        R"({"name": "weather", "version": "1", "capabilities": [], "main": "gone.sh"})");
  EXPECT_THAT(complaint_of([&] { add(); }), HasSubstr("main: there is no file"));
  EXPECT_THAT(skills_->list(), IsEmpty());
  EXPECT_TRUE(fs::is_empty(at("store")));
  EXPECT_THAT(complaint_of([&] { skills_->add(at("nowhere")); }), HasSubstr("cannot be read"));
  EXPECT_THAT(complaint_of([&] { skills_->add(at("weather/SKILL.md")); }),
              HasSubstr("not a directory"));
}

TEST_F(Registry, PluginJsonIsReadToo) {
  fs::rename(at("weather/sharkcage.json"), at("weather/plugin.json"));
  EXPECT_EQ(add().skill.name, "weather");
}

TEST_F(Registry, AskingTwiceIsOneRequest) {
  add();
  const Request first = skills_->ask("weather", "main", "exec", 1000);
  EXPECT_EQ(skills_->ask("weather", "main", "exec", 1000).id, first.id);
  EXPECT_NE(skills_->ask("weather", "other", "exec", 1000).id, first.id);
  EXPECT_EQ(skills_->pending().size(), 2u);
  EXPECT_EQ(first.raised_by, 1000u);
  EXPECT_EQ(first.asked.size(), 2u);
  const Json json = to_json(first, Catalogue());
  EXPECT_EQ(json["severity"], "critical");
  EXPECT_EQ(json["capabilities"][1]["risk"], "dangerous");
}

TEST_F(Registry, DecisionsSettleRequestsOnce) {
  add();
  const Request denied = skills_->ask("weather", "main", "exec", 0);
  EXPECT_EQ(skills_->settle(denied.id, RequestState::kDenied).state, RequestState::kDenied);
  EXPECT_THAT(complaint_of([&] { skills_->settle(denied.id, RequestState::kApproved); }),
              HasSubstr("settled already: denied"));
  EXPECT_THAT(complaint_of([&] { skills_->settle("nonsense", RequestState::kDenied); }),
              HasSubstr("There is no request"));
  const Request again = skills_->ask("weather", "main", "exec", 0);
  EXPECT_NE(again.id, denied.id);
  approve();
  EXPECT_EQ(skills_->find_request(again.id)->state, RequestState::kApproved);
  EXPECT_THAT(skills_->pending(), IsEmpty());
}

TEST_F(Registry, ARequestDoesNotOutliveTheContentItWasAbout) {
  add();
  const Request request = skills_->ask("weather", "main", "exec", 0);
  write("weather/SKILL.md", "new words");
  skills_->look("weather");
  EXPECT_FALSE(skills_->find_request(request.id));
}

TEST_F(Registry, FindsTheSkillThatOwnsAPath) {
  add();
  EXPECT_EQ(skills_->owner_of(at("weather/scripts/run.sh"))->name, "weather");
  EXPECT_EQ(skills_->owner_of(at("weather"))->name, "weather");
  EXPECT_FALSE(skills_->owner_of(at("weatherx/run.sh")));
  EXPECT_FALSE(skills_->owner_of("/"));
  EXPECT_EQ(skills_->places().around(at("weather/SKILL.md")),
            (SkillPlace{"weather", at("weather")}));
}

// What is kept in memory follows every change at once, and comes back after a restart.
TEST_F(Registry, LookupsFollowEveryChange) {
  const std::string tools = R"({"name": "weather", "version": "1", "capabilities": [],
      "runtime": "sh", "main": "run.sh", "tools": [{"name": "weather_now", "description": "d",
      "parameters": {"type": "object"}}]})";
  EXPECT_EQ(skills_->declaring("weather_now"), "");
  write("weather/run.sh", "true", 0755);
  write("weather/sharkcage.json", tools);
  add();
  EXPECT_EQ(skills_->declaring("weather_now"), "weather");
  EXPECT_EQ(skills_->get("weather")->manifest.version, "1");

  fs::rename(at("weather"), at("moved"));
  skills_->add(at("moved"));
  EXPECT_EQ(skills_->places().at(at("moved")), "weather");
  EXPECT_EQ(skills_->places().at(at("weather")), "");

  open();
  EXPECT_EQ(skills_->declaring("weather_now"), "weather");
  EXPECT_EQ(skills_->places().at(at("moved")), "weather");

  write("moved/sharkcage.json", kWeather);
  skills_->refresh("weather");
  EXPECT_EQ(skills_->declaring("weather_now"), "");
  EXPECT_EQ(skills_->get("weather")->manifest.version, "1.0.0");

  skills_->remove("weather");
  EXPECT_EQ(skills_->places().at(at("moved")), "");
  EXPECT_EQ(skills_->get("weather"), nullptr);
  EXPECT_EQ(skills_->standing("weather", "").kind, Kind::kUnknown);
}

TEST_F(Registry, CountsWhatIsApprovedAsItIsRecorded) {
  EXPECT_EQ(skills_->count().installed, 0u);
  approve();
  EXPECT_EQ(skills_->count().installed, 1u);
  EXPECT_EQ(skills_->count().approved, 1u);
  write("weather/SKILL.md", "changed");
  skills_->refresh("weather");
  EXPECT_EQ(skills_->count().approved, 0u);
}

TEST_F(Registry, TheFirstSkillByNameHasATool) {
  const auto declare = [&](const std::string& name) {
    write(name + "/run.sh", "true", 0755);
    write(name + "/sharkcage.json",
          R"({"name": ")" + name + R"(", "version": "1", "capabilities": [], "runtime": "sh",
          "main": "run.sh", "tools": [{"name": "t", "description": "d",
          "parameters": {"type": "object"}}]})");
    skills_->add(at(name));
  };
  declare("second");
  declare("first");
  EXPECT_EQ(skills_->declaring("t"), "first");
  skills_->remove("first");
  EXPECT_EQ(skills_->declaring("t"), "second");
  skills_->remove("second");
  EXPECT_EQ(skills_->declaring("t"), "");
}

TEST_F(Registry, AStandingFollowsEveryDecisionAtOnce) {
  const std::string digest = add().skill.content_digest;
  const auto kind = [&] { return skills_->standing("weather", digest).kind; };
  EXPECT_EQ(kind(), Kind::kUnapproved);
  std::uint64_t generation = skills_->generation();
  const auto changed = [&] {
    return std::exchange(generation, skills_->generation()) != generation;
  };
  approve({"system.exec"});
  EXPECT_TRUE(changed());
  EXPECT_EQ(kind(), Kind::kApproved);
  EXPECT_EQ(skills_->standing("weather", digest).approval->granted.size(), 1u);
  approve();
  EXPECT_EQ(skills_->standing("weather", digest).approval->granted.size(), 2u);
  skills_->revoke("weather");
  EXPECT_EQ(kind(), Kind::kRevoked);
  approve();
  EXPECT_EQ(kind(), Kind::kApproved);
  skills_->remove("weather");
  EXPECT_EQ(kind(), Kind::kUnknown);
  add();
  EXPECT_EQ(kind(), Kind::kUnapproved);
  EXPECT_TRUE(changed());
  EXPECT_FALSE(changed());
}

// A change that the disk refused is not believed: what memory says is what the database says.
TEST_F(Registry, AFailedChangeLeavesWhatIsRecorded) {
  const std::string digest = add().skill.content_digest;
  SQLite::Database other(at("approvals.db"), SQLite::OPEN_READWRITE);
  other.exec(
      "CREATE TRIGGER refuse BEFORE INSERT ON approvals BEGIN SELECT RAISE(ABORT, 'full'); END");
  EXPECT_THROW(skills_->approve("weather", digest, {}, "t", ground_), SQLite::Exception);
  EXPECT_EQ(standing(), Kind::kUnapproved);
  other.exec("DROP TRIGGER refuse");
  approve();
  other.exec(
      "CREATE TRIGGER refuse BEFORE DELETE ON approvals BEGIN SELECT RAISE(ABORT, 'full'); END");
  EXPECT_THROW(skills_->revoke("weather"), SQLite::Exception);
  EXPECT_EQ(standing(), Kind::kApproved);
}

TEST_F(Registry, ANewerDatabaseIsRefused) {
  skills_.reset();
  SQLite::Database(at("approvals.db"), SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 99");
  EXPECT_THAT(complaint_of([&] { open(); }), HasSubstr("newer version"));
}

TEST_F(Registry, TheDatabaseIsPrivateAndDurable) {
  struct stat status {};
  ASSERT_EQ(::stat(at("approvals.db").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  SQLite::Database db(at("approvals.db"), SQLite::OPEN_READONLY);
  EXPECT_EQ(db.execAndGet("PRAGMA journal_mode").getString(), "wal");
}

TEST_F(Registry, JsonFollowsTheProtocol) {
  approve({"system.exec"});
  const Json json = to_json(*skills_->look("weather"), Catalogue());
  EXPECT_EQ(json["state"], "approved");
  EXPECT_EQ(json["approved_by"], "tester");
  EXPECT_EQ(json["capabilities"][0]["granted"], false);
  EXPECT_EQ(json["capabilities"][1]["granted"], true);
  EXPECT_EQ(json["capabilities"][1]["label"], "run programs");
}

// The examples that ship must be good skills.
TEST_F(Registry, TheExamplesCanBeAddedAndApproved) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(EXAMPLES_DIR)) {
    if (!entry.is_directory()) continue;
    const Added added = skills_->add(entry.path().string());
    EXPECT_TRUE(fs::exists(entry.path() / "SKILL.md"));
    EXPECT_EQ(added.skill.name, entry.path().filename().string());
    EXPECT_THAT(manifest_hints(added.skill.manifest, Catalogue()), IsEmpty());
    ++count;
  }
  EXPECT_GE(count, 2);
}

}  // namespace
}  // namespace sharkcage
