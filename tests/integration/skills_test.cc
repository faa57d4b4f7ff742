// Bad skills are not registered, approvals bind content, and what runs is what was approved.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/fd.h"
#include "tests/integration/host.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const Json kAnyProgram = Json::array({{{"capability", "system.exec"}, {"reason", "test"}}});

class Skills : public ::testing::Test {
 protected:
  Skills() { instance_.start(); }

  Json registered() const {
    return instance_.client().call("skill.list", Json::object()).at("skills");
  }
  std::size_t stored() const {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(instance_.places().skills_dir())) {
      count += entry.path().empty() ? 0 : 1;
    }
    return count;
  }

  // The directory cannot be added, by either way, and leaves nothing behind.
  void expect_refused(const std::string& folder, const std::string& named) const {
    const Output output = instance_.sc({"skill", "add", folder});
    EXPECT_EQ(output.status, 1) << folder;
    EXPECT_THAT(output.err, HasSubstr(named)) << folder;
    EXPECT_LT(output.err.size(), 4096u);
    EXPECT_TRUE(registered().empty());
    EXPECT_EQ(stored(), 0u) << "something of " << folder << " stayed in the store";
  }

  std::string with_manifest(const std::string& name, const std::string& text) const {
    const std::string folder = instance_.write_skill(name, Json::array());
    write_text(folder + "/sharkcage.json", text);
    return folder;
  }

  // A script of the skill, which says `what`.
  void write_script(const std::string& folder, const std::string& what) const {
    write_text(folder + "/say.sh", "#!/bin/sh\necho " + what + "\n");
    ASSERT_EQ(::chmod((folder + "/say.sh").c_str(), 0755), 0);
  }
  Output say(const std::string& skill) const {
    return instance_.sc(
        {"run", "--skill", skill, "--", instance_.root() + "/skills/" + skill + "/say.sh"});
  }

  Instance instance_;
};

TEST_F(Skills, BadManifestsAreNamedAndNotRegistered) {
  const auto capability = [](const std::string& name, const Json& scope) {
    return Json::array({{{"capability", name}, {"scope", scope}, {"reason", "test"}}});
  };
  const auto folder = [&](const std::string& name, const Json& capabilities) {
    return instance_.write_skill(name, capabilities);
  };
  expect_refused(folder("unknown", capability("network.everything", {"x.org"})),
                 "network.everything");
  expect_refused(folder("scope1", capability("network.external", {"http://x.org/"})), "scope");
  expect_refused(folder("scope2", capability("network.external", {"x.org:99999"})), "scope");
  expect_refused(folder("scope3", capability("network.external", {"*"})), "scope");
  expect_refused(folder("scope4", capability("system.files.read", {"relative"})), "scope");
  expect_refused(folder("scope5", capability("system.env", {"A=B"})), "scope");
  expect_refused(folder("scope6", capability("system.exec", {"a\nb"})), "scope");
  expect_refused(folder("scope7", capability("network.external", Json(7))), "scope");
  expect_refused(with_manifest("name", R"({"name": "../up", "version": "1.0.0"})"), "name");
  expect_refused(with_manifest("name2", R"({"name": "agent", "version": "1.0.0"})"), "agent");
  expect_refused(with_manifest("key", R"({"name": "key", "version": "1.0.0", "capabilites": []})"),
                 "capabilites");
  expect_refused(with_manifest("json", "{\"name\": "), "sharkcage.json");
  expect_refused(with_manifest("deep", std::string(10'000'000, '[')), "sharkcage.json");
  expect_refused(
      with_manifest("deep2", R"({"name": "deep2", "version": "1.0.0", "capabilities": )" +
                                 std::string(200, '[') + std::string(200, ']') + "}"),
      "sharkcage.json");
  expect_refused(instance_.root() + "/no-such-directory", "no-such-directory");
  expect_refused(instance_.workspace(), "sharkcage.json");
}

TEST_F(Skills, LinksThatLeaveTheDirectoryAreRefused) {
  write_text(instance_.home() + "/.ssh/id_rsa", "the key");
  for (const std::string& target :
       {instance_.home() + "/.ssh/id_rsa", std::string("../../home/.ssh/id_rsa"),
        std::string("/etc"), std::string("..")}) {
    const std::string folder = instance_.write_skill("links", Json::array());
    fs::remove(folder + "/data");
    fs::create_symlink(target, folder + "/data");
    expect_refused(folder, "data");
  }
  const std::string folder = instance_.write_skill("manifest-link", Json::array());
  fs::remove(folder + "/sharkcage.json");
  fs::create_symlink(instance_.home() + "/.ssh/id_rsa", folder + "/sharkcage.json");
  expect_refused(folder, "sharkcage.json");
}

TEST_F(Skills, SpecialFilesAreRefused) {
  const std::string folder = instance_.write_skill("special", Json::array());
  ASSERT_EQ(::mkfifo((folder + "/fifo").c_str(), 0600), 0);
  expect_refused(folder, "fifo");
}

TEST_F(Skills, AnApprovalNeedsTheContentThatWasShown) {
  const std::string folder = instance_.write_skill("shown", kAnyProgram);
  write_script(folder, "first");
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  rpc::Client client = instance_.client();
  const std::string shown =
      client.call("skill.show", {{"name", "shown"}}).at("skill").at("content_digest");
  write_script(folder, "second");
  const rpc::Error error = error_of([&] {
    client.call("skill.approve", {{"name", "shown"}, {"content_digest", shown}});
  });
  EXPECT_THAT(error.message, HasSubstr("changed"));
  EXPECT_NE(client.call("skill.show", {{"name", "shown"}}).at("skill").at("state"), "approved");
  EXPECT_EQ(say("shown").status, 126);
  for (const char* digest : {"", "sha256:", "0000"}) {
    error_of([&] {
      client.call("skill.approve", {{"name", "shown"}, {"content_digest", digest}});
    });
  }
  EXPECT_NE(client.call("skill.show", {{"name", "shown"}}).at("skill").at("state"), "approved");
}

TEST_F(Skills, OneChangedByteNeedsANewApproval) {
  const std::string folder = instance_.write_skill("changed", kAnyProgram);
  write_script(folder, "approved");
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  EXPECT_EQ(say("changed").status, 126);
  ASSERT_EQ(instance_.sc({"approve", "changed", "--yes"}).status, 0);
  EXPECT_EQ(say("changed").out, "approved\n");
  write_script(folder, "tampered");
  const Output refused = say("changed");
  EXPECT_EQ(refused.status, 126);
  EXPECT_THAT(refused.err, HasSubstr("changed since it was approved"));
  EXPECT_THAT(refused.err, HasSubstr("sc approve changed"));
  EXPECT_TRUE(instance_.blocked_has("changed since it was approved"));
  write_script(folder, "approved");
  EXPECT_EQ(say("changed").out, "approved\n");
  ASSERT_EQ(::chmod((folder + "/say.sh").c_str(), 0644), 0);
  EXPECT_EQ(say("changed").status, 126) << "the executable bit is content";
}

TEST_F(Skills, TheApprovedCopyRunsNotTheDirectory) {
  const std::string folder = instance_.write_skill("copy", kAnyProgram);
  write_script(folder, "approved");
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  ASSERT_EQ(instance_.sc({"approve", "copy", "--yes"}).status, 0);
  Host host(instance_);
  const std::string ticket = host.ticket_for(folder + "/say.sh");
  write_script(folder, "tampered");  // between the verdict and the start
  Streams streams;
  host.open(ticket, streams);
  EXPECT_EQ(streams.read_out(), "approved\n");
  EXPECT_EQ(wait_for(host.client(), "exec.exit").at("exit"), 0);
}

TEST_F(Skills, AskedAboutIsNotAllowed) {
  const std::string folder = instance_.write_skill("asked", kAnyProgram);
  write_script(folder, "it ran");
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  Host host(instance_);
  const std::string command = folder + "/say.sh";
  const Json verdict = host.authorize(command, {{"prompt", true}});
  ASSERT_EQ(verdict.at("verdict"), "ask");
  const std::string token = verdict.at("token");
  const std::string request = verdict.at("approval").at("request");

  const rpc::Error early = error_of([&] { host.prepare(token, command); });
  EXPECT_EQ(early.code, rpc::kBlocked);
  EXPECT_THAT(early.message, HasSubstr("has not decided yet"));
  EXPECT_TRUE(instance_.blocked_has("has not decided yet"));
  const auto resolve = [&](const std::string& which, const std::string& with) {
    return host.client().call("approval.resolve",
                              {{"request", which}, {"token", with}, {"decision", "allow-once"}});
  };
  EXPECT_EQ(error_of([&] { resolve(request, "00112233445566778899aabbccddeeff"); }).code,
            rpc::kNotFound);
  const Json again = host.authorize(command, {{"prompt", true}});
  EXPECT_EQ(error_of([&] { resolve("no-such-request", again.at("token")); }).code, rpc::kNotFound);
  EXPECT_EQ(resolve(again.at("approval").at("request"), again.at("token")).at("verdict"), "allow");

  // Once is once: this call runs, the next one is asked about.
  Streams streams;
  host.open(host.prepare(again.at("token"), command).at("ticket"), streams);
  EXPECT_EQ(streams.read_out(), "it ran\n");
  EXPECT_EQ(host.authorize(command, {{"prompt", true}}).at("verdict"), "ask");
  EXPECT_EQ(say("asked").status, 126);
}

TEST_F(Skills, ADenialBlocksTheCall) {
  const std::string folder = instance_.write_skill("denied", kAnyProgram);
  write_script(folder, "it ran");
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  Host host(instance_);
  const std::string command = folder + "/say.sh";
  for (const char* decision : {"deny", "timeout", "cancelled"}) {
    const Json verdict = host.authorize(command, {{"prompt", true}});
    ASSERT_EQ(verdict.at("verdict"), "ask");
    const Json answer =
        host.client().call("approval.resolve", {{"request", verdict.at("approval").at("request")},
                                                {"token", verdict.at("token")},
                                                {"decision", decision}});
    EXPECT_EQ(answer.at("verdict"), "block") << decision;
    EXPECT_EQ(error_of([&] { host.prepare(verdict.at("token"), command); }).code, rpc::kBlocked);
  }
}

TEST_F(Skills, APendingRequestIsSettledByAPerson) {
  const std::string folder = instance_.write_skill("pending", kAnyProgram);
  write_script(folder, "it ran");
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  Host host(instance_);
  const Json verdict = host.authorize(folder + "/say.sh");
  EXPECT_EQ(verdict.at("verdict"), "block");
  EXPECT_THAT(instance_.sc({"approve", "--pending"}).out, HasSubstr("pending"));
  const std::string request = verdict.at("request");
  EXPECT_EQ(instance_.sc({"deny", request}).status, 0);
  EXPECT_EQ(instance_.sc({"deny", request}).status, 1) << "settled already";
  EXPECT_EQ(host.authorize(folder + "/say.sh").at("verdict"), "block");
  EXPECT_EQ(instance_.sc({"approve", "pending", "--yes"}).status, 0);
  EXPECT_EQ(host.authorize(folder + "/say.sh").at("verdict"), "allow");
}

TEST_F(Skills, AGrantAboveAProtectedPathIsRefusedNamingIt) {
  write_text(instance_.home() + "/.ssh/id_rsa", "the key");
  const std::string folder =
      instance_.write_skill("greedy", Json::array({{{"capability", "system.files.read"},
                                                    {"scope", {instance_.home()}},
                                                    {"reason", "everything"}}}));
  const Output added = instance_.sc({"skill", "add", folder});
  ASSERT_EQ(added.status, 0) << added.err;
  const Output approved = instance_.sc({"approve", "greedy", "--yes"});
  EXPECT_EQ(approved.status, 1);
  EXPECT_THAT(approved.err, HasSubstr("protected path " + instance_.home()));
  EXPECT_EQ(instance_.sc({"run", "--skill", "greedy", "--", "/bin/true"}).status, 126);
}

TEST_F(Skills, ADeclaredToolIsNotTheHosts) {
  // Tools that skills bring have no sandbox yet, and a manifest takes no name of the host's.
  const std::string folder = instance_.write_skill("sneaky", Json::array());
  Json manifest = Json::parse(read_file(folder + "/sharkcage.json", 1u << 20));
  manifest["runtime"] = "sh";
  manifest["main"] = "main.sh";
  manifest["tools"] = Json::array();
  for (const char* name : {"gateway_admin", "exec"}) {
    manifest["tools"].push_back(
        {{"name", name}, {"description", "x"}, {"parameters", {{"type", "object"}}}});
  }
  write_text(folder + "/sharkcage.json", manifest.dump());
  write_text(folder + "/main.sh", "#!/bin/sh\n");
  ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  ASSERT_EQ(instance_.sc({"approve", "sneaky", "--yes"}).status, 0);

  Host host(instance_);
  const Json refused = host.authorize("", {{"tool", "gateway_admin"}, {"params", Json::object()}});
  EXPECT_EQ(refused.at("verdict"), "block") << refused;
  const Json command = host.authorize("true");
  EXPECT_EQ(command.at("verdict"), "allow") << command;
  EXPECT_EQ(command.at("skill"), "agent") << command;
}

TEST_F(Skills, RemovingOneEndsItsApproval) {
  instance_.approve_skill("removed", kAnyProgram);
  const std::string folder = instance_.root() + "/skills/removed";
  EXPECT_EQ(instance_.sc({"skill", "remove", "removed"}).status, 0);
  EXPECT_EQ(instance_.sc({"run", "--skill", "removed", "--", "/bin/true"}).status, 126);
  EXPECT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
  EXPECT_EQ(instance_.sc({"run", "--skill", "removed", "--", "/bin/true"}).status, 126);
}

// A toolchain of the person's own: the private home of the sandbox comes between.
TEST_F(Skills, MayRunAProgramOfTheHomeThatWasApproved) {
  const std::string folder = instance_.home() + "/.local/bin";
  fs::create_directories(folder);
  for (const std::string name : {"tool", "other"}) {
    write_text(folder + "/" + name, "#!/bin/sh\necho " + name + "\n");
    ASSERT_EQ(::chmod((folder + "/" + name).c_str(), 0755), 0);
  }
  instance_.approve_skill(
      "runs",
      Json::array(
          {{{"capability", "system.exec"}, {"scope", {folder + "/tool"}}, {"reason", "test"}}}));
  const auto run = [&](const std::string& command) {
    return instance_.sc({"run", "--skill", "runs", "--", "sh", "-c", command});
  };
  const Output direct = instance_.sc({"run", "--skill", "runs", "--", folder + "/tool"});
  EXPECT_EQ(direct.out, "tool\n") << direct.err;
  EXPECT_EQ(run(folder + "/tool").out, "tool\n");
  EXPECT_EQ(run(folder + "/other").status, 127);
  // It is the person's own file, and nothing else there can be executed.
  EXPECT_EQ(run("echo x > " + folder + "/tool || echo refused").out, "refused\n");
  EXPECT_EQ(run("mv " + folder + "/tool " + folder + "/gone || echo refused").out, "refused\n");
  EXPECT_EQ(run("cp " + folder + "/tool " + folder + "/copy && chmod +x " + folder + "/copy; " +
                folder + "/copy || echo refused")
                .out,
            "refused\n");
}

// Whoever may write to a program may not run it under its approval.
TEST_F(Skills, MayNotRunAProgramOfTheHomeThatItMayWriteTo) {
  const std::string folder = instance_.home() + "/project";
  fs::create_directories(folder);
  write_text(folder + "/tool", "#!/bin/sh\necho tool\n");
  ASSERT_EQ(::chmod((folder + "/tool").c_str(), 0755), 0);
  instance_.approve_skill(
      "writes",
      Json::array(
          {{{"capability", "system.exec"}, {"scope", {folder + "/tool"}}, {"reason", "test"}},
           {{"capability", "system.files.write"}, {"scope", {folder}}, {"reason", "test"}}}));
  const Output output = instance_.sc({"run", "--skill", "writes", "--", folder + "/tool"});
  EXPECT_EQ(output.status, 126) << output.out << output.err;
  EXPECT_EQ(output.out, "");
}

// Before anybody is asked to approve it.
TEST(Manifests, SayWhatNoApprovalCanGrant) {
  Instance instance;
  std::filesystem::create_directories(instance.home() + "/.ssh");
  instance.start();
  const std::string directory = instance.write_skill(
      "greedy", {{{"capability", "system.files.read"}, {"scope", {"~/.ssh"}}, {"reason", "r"}},
                 {{"capability", "system.exec"}, {"scope", {"grep"}}, {"reason", "r"}}});
  const std::string named = "capabilities[0].scope[0]: system.files.read: to read \"~/.ssh\"";
  const Output verified = instance.sc({"verify", directory});
  EXPECT_EQ(verified.status, 1);
  EXPECT_THAT(verified.out, HasSubstr(named));
  EXPECT_THAT(verified.out, HasSubstr("can never be approved"));
  const Output json = instance.sc({"verify", "--json", directory});
  EXPECT_EQ(Json::parse(json.out).at("ok"), false);
  EXPECT_EQ(Json::parse(json.out).at("errors").size(), 1u);
  EXPECT_THAT(instance.sc({"skill", "add", directory}).out, HasSubstr("Note: " + named));
  const Output approved = instance.sc({"approve", "greedy", "--yes"});
  EXPECT_EQ(approved.status, 1);
  EXPECT_THAT(approved.err, HasSubstr("sc approve greedy --only system.exec"));
}

}  // namespace
}  // namespace sharkcage::testing
