// Who may ask for what: the peer's credentials decide, and nothing that it says.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "common/errors.h"
#include "tests/integration/host.h"
#include "tests/integration/raw.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

const bool kIsRoot = ::geteuid() == 0;

// An id that belongs to nobody here.
uid_t unused_uid(uid_t from = 54321) {
  while (::getpwuid(from) != nullptr) ++from;
  return from;
}

void become(uid_t uid) {
  if (::setgroups(0, nullptr) != 0) throw_errno("setgroups");
  if (::setresgid(uid, uid, uid) != 0) throw_errno("setresgid");
  if (::setresuid(uid, uid, uid) != 0) throw_errno("setresuid");
}

// The first line that the supervisor says to a peer that says hello.
std::string greeting(const Instance& instance) {
  Raw raw(instance);
  raw.send(rpc::request(1, "hello", {{"client", "raw"}, {"versions", {1}}}).dump() + "\n");
  const auto answer = raw.answer();
  if (!answer) return "closed without a word";
  return answer->dump() + (raw.is_closed() ? " closed" : " open");
}

void expect_refused(const std::string& answer, const std::string& why) {
  EXPECT_THAT(answer, HasSubstr("-32002"));
  EXPECT_THAT(answer, HasSubstr(why));
  EXPECT_THAT(answer, HasSubstr(" closed"));
}

TEST(Peers, AnotherUserIsRefused) {
  if (!kIsRoot) GTEST_SKIP() << "only root can be another user";
  Instance instance;
  instance.start();
  const uid_t stranger = unused_uid();
  expect_refused(in_child([&] {
                   become(stranger);
                   return greeting(instance);
                 }),
                 "no role here. The configuration names");
  EXPECT_TRUE(instance.blocked_has(std::to_string(stranger)));
}

TEST(Peers, AStrangerCannotFillTheLog) {
  if (!kIsRoot) GTEST_SKIP() << "only root can be another user";
  Instance instance;
  instance.start();
  const auto start = std::chrono::steady_clock::now();
  in_child([&]() -> std::string {
    become(unused_uid());
    for (int i = 0; i < 500; ++i) greeting(instance);
    return "";
  });
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - start);
  const auto records = instance.records("peer");
  EXPECT_GE(records.size(), 1u);
  EXPECT_LE(records.size(), static_cast<std::size_t>(seconds.count()) + 2);
}

TEST(Peers, TheSocketIsThePersonsAlone) {
  if (kIsRoot)
    GTEST_SKIP() << "root's socket is guarded by roles, for the hosts of a system install";
  Instance instance;
  instance.start();
  struct stat socket {};
  struct stat folder {};
  ASSERT_EQ(::stat(instance.places().socket().c_str(), &socket), 0);
  ASSERT_EQ(::stat(instance.places().run_dir.c_str(), &folder), 0);
  EXPECT_EQ(socket.st_mode & 0777, 0600u);
  EXPECT_EQ(folder.st_mode & 0777, 0700u);
}

TEST(Peers, AnotherUserNamespaceIsRefused) {
  Instance instance;
  instance.start();
  const std::string answer = in_child([&]() -> std::string {
    if (::unshare(CLONE_NEWUSER) != 0) return "skip";
    return greeting(instance);
  });
  if (answer == "skip") GTEST_SKIP() << "this user may not make user namespaces";
  // An unmapped uid is the overflow uid, which the supervisor never sees: it sees the real one.
  expect_refused(answer, "another user or pid namespace");
  EXPECT_TRUE(instance.blocked_has("another user or pid namespace"));
}

TEST(Peers, AnotherPidNamespaceIsRefused) {
  if (!kIsRoot) GTEST_SKIP() << "only root can make a pid namespace without a user namespace";
  Instance instance;
  instance.start();
  const std::string answer = in_child([&] {
    if (::unshare(CLONE_NEWPID) != 0) throw_errno("unshare");
    return in_child([&] { return greeting(instance); });
  });
  expect_refused(answer, "another user or pid namespace");
}

TEST(Peers, ASandboxedCommandDoesNotReachTheSocket) {
  Instance instance;
  instance.start();
  const Output output = instance.run({"/bin/sh", "-c", "ls " + instance.root() + "/cage"});
  EXPECT_NE(output.status, 0);
  EXPECT_EQ(output.out, "");
}

class SystemPeers : public ::testing::Test {
 protected:
  SystemPeers() : host_(unused_uid()), operator_(unused_uid(host_ + 1)) {
    if (!kIsRoot) return;
    instance_.configure(Json{{"hosts", {{"users", {std::to_string(host_)}}}},
                             {"operators", {{"users", {std::to_string(operator_)}}}}}
                            .dump());
    instance_.start();
  }
  void SetUp() override {
    if (!kIsRoot) GTEST_SKIP() << "roles of other users exist where the supervisor is root's";
  }

  // The code of the method's error as this user; "0" for a result.
  std::string code_as(uid_t uid, const std::string& method, const Json& params) {
    return in_child([&] {
      become(uid);
      try {
        instance_.client().call(method, params);
        return std::string("0");
      } catch (const rpc::RemoteError& error) {
        return std::to_string(error.error().code);
      }
    });
  }

  uid_t host_;
  uid_t operator_;
  Instance instance_;
};

TEST_F(SystemPeers, AHostCannotApprove) {
  const std::string forbidden = std::to_string(rpc::kForbidden);
  instance_.sc({"skill", "add", instance_.write_skill("wanted", Json::array())});
  for (const char* method : {"skill.list", "approval.list", "audit.query", "supervisor.stop"}) {
    EXPECT_EQ(code_as(host_, method, Json::object()), forbidden) << method;
  }
  EXPECT_EQ(code_as(host_, "skill.approve", {{"name", "wanted"}, {"content_digest", "x"}}),
            forbidden);
  EXPECT_EQ(code_as(host_, "skill.add", {{"path", instance_.workspace()}}), forbidden);
  EXPECT_TRUE(instance_.blocked_has("skill.approve needs the role operator"));
  EXPECT_EQ(code_as(host_, "session.close", {{"session", "x"}}), "0");
  EXPECT_EQ(code_as(host_, "status.get", Json::object()), "0");
}

TEST_F(SystemPeers, AHostEndsOnlyWhatItsUserStarted) {
  const Output output = instance_.sc(
      {"run", "--json", "--session", "web", "--", "/bin/sh", "-c", "sleep 54321 & true"});
  const Json call = Json::parse(output.out).at("call");
  EXPECT_EQ(code_as(host_, "session.end", {{"session", "web"}}), "0");
  EXPECT_EQ(code_as(host_, "call.cancel", {{"call", call}}), std::to_string(rpc::kNotFound));
  EXPECT_EQ(instance_.status().at("calls").size(), 1u);
  EXPECT_THAT(instance_.records("end"), ::testing::IsEmpty());
  EXPECT_EQ(code_as(operator_, "session.end", {{"session", "web"}}), "0");
  EXPECT_EQ(instance_.status().at("calls").size(), 0u);
}

TEST_F(SystemPeers, AHostLearnsNothingOfPlacesWhereItCannotLook) {
  const std::string closed = instance_.workspace() + "/closed";
  std::filesystem::create_directories(closed + "/there");
  std::filesystem::create_symlink("/", closed + "/link");
  std::filesystem::permissions(closed, std::filesystem::perms::owner_all);
  for (const char* name : {"/there", "/link", "/missing"}) {
    const std::string answer = in_child([&] {
      become(host_);
      try {
        instance_.client().call("session.open",
                                {{"session", "s"}, {"workspace", closed + name}, {"access", "ro"}});
        return std::string("opened");
      } catch (const rpc::RemoteError& error) {
        return error.error().message;
      }
    });
    EXPECT_THAT(answer, ::testing::HasSubstr("Permission denied")) << name;
  }
}

TEST_F(SystemPeers, AnOperatorCannotRun) {
  const std::string forbidden = std::to_string(rpc::kForbidden);
  for (const char* method : {"tool.authorize", "exec.prepare", "exec.open", "exec.run",
                             "session.open", "approval.resolve", "tool.finish"}) {
    EXPECT_EQ(code_as(operator_, method, Json::object()), forbidden) << method;
  }
  EXPECT_EQ(code_as(operator_, "skill.list", Json::object()), "0");
}

TEST_F(SystemPeers, ATokenOrTicketOfAnotherUserIsWorthless) {
  Host host(instance_);
  const std::string mark = instance_.workspace() + "/mark";
  const std::string command = "touch " + mark;
  const std::string ticket = host.ticket_for(command);
  const std::string token = host.token_for(command);
  // The session is not the other user's, and cannot be made so.
  EXPECT_EQ(code_as(host_, "exec.prepare",
                    {{"session", "session"},
                     {"command", command},
                     {"token", token},
                     {"env", Json::object()}}),
            std::to_string(rpc::kNotFound));
  const std::string answer = in_child([&] {
    become(host_);
    rpc::Client client = instance_.client();
    Streams streams;
    try {
      client.call("exec.open", {{"ticket", ticket}}, streams.to_pass());
      return std::string("opened");
    } catch (const rpc::RemoteError& error) {
      return std::to_string(error.error().code) + " " + error.what();
    }
  });
  EXPECT_THAT(answer, HasSubstr("-32001"));
  EXPECT_THAT(answer, HasSubstr("another user"));
  EXPECT_NE(::access(mark.c_str(), F_OK), 0);
}

TEST_F(SystemPeers, OnlyThePeerThatAskedResolvesItsRequest) {
  instance_.sc({"skill", "add",
                instance_.write_skill(
                    "wanted", Json::array({{{"capability", "system.exec"}, {"reason", "test"}}}))});
  Host host(instance_);
  const Json verdict =
      host.authorize(instance_.root() + "/skills/wanted/run.sh", {{"prompt", true}});
  ASSERT_EQ(verdict.at("verdict"), "ask") << verdict;
  const Json answer = {{"request", verdict.at("approval").at("request")},
                       {"token", verdict.at("token")},
                       {"decision", "allow-always"}};
  EXPECT_EQ(code_as(host_, "approval.resolve", answer), std::to_string(rpc::kNotFound));
  EXPECT_EQ(code_as(operator_, "approval.resolve", answer), std::to_string(rpc::kForbidden));
  EXPECT_EQ(host.client().call("approval.resolve", answer).at("verdict"), "allow");
}

}  // namespace
}  // namespace sharkcage::testing
