// What the configuration and manifests say of the network beyond single hosts: who never reaches
// what, which tools and programs have it at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/integration/host.h"
#include "tests/integration/http_server.h"

namespace sharkcage::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class NetworkRules : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "curl is not installed";
  }
  void start(const Json& config) {
    instance_.configure(config.dump());
    instance_.start();
  }
  // A skill that may reach `scope` on this machine and run anything.
  void approve(const std::string& name, const Json& scope,
               const Json& more = Json::object()) const {
    const Json capabilities =
        Json::array({{{"capability", "network.internal"}, {"scope", scope}, {"reason", "test"}},
                     {{"capability", "system.exec"}, {"reason", "test"}}});
    Json manifest = {{"name", name}, {"version", "1.0.0"}, {"capabilities", capabilities}};
    manifest.update(more);
    const std::string folder = instance_.write_skill(name, capabilities);
    write_text(folder + "/sharkcage.json", manifest.dump());
    ASSERT_EQ(instance_.sc({"skill", "add", folder}).status, 0);
    ASSERT_EQ(instance_.sc({"approve", name, "--yes"}).status, 0);
  }
  Output run(const std::string& skill, const std::vector<std::string>& command) const {
    std::vector<std::string> arguments = {"run", "--skill", skill, "--"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    return instance_.sc(arguments);
  }
  Output fetch(const std::string& skill, const std::string& host) const {
    return run(skill, {"curl", "-sSf", "--max-time", "30", "http://" + host + "/"});
  }
  std::string at(const std::string& name) const { return name + ":" + server_.port(); }

  HttpServer server_;
  Instance instance_;
};

TEST_F(NetworkRules, EveryDenyListWinsOverTheGrant) {
  start({{"deny_hosts", {"everybody.localhost"}},
         {"network", {{"skills", {{"caller", {{"deny_hosts", {"Single.Localhost."}}}}}}}}});
  approve("caller", {at("*.localhost")}, {{"deny_hosts", {at("itself.localhost")}}});
  approve("other", {at("*.localhost")});
  EXPECT_EQ(fetch("caller", at("open.localhost")).out, "hello\n");
  EXPECT_EQ(fetch("other", at("single.localhost")).out, "hello\n");
  EXPECT_EQ(fetch("other", at("itself.localhost")).out, "hello\n");
  for (const char* denied :
       {"everybody.localhost", "single.localhost", "SINGLE.localhost.", "itself.localhost"}) {
    const Output refused = fetch("caller", at(denied));
    EXPECT_NE(refused.status, 0) << denied;
    EXPECT_THAT(refused.err, HasSubstr("403")) << denied;
  }
  EXPECT_NE(fetch("other", at("everybody.localhost")).status, 0);
  EXPECT_EQ(server_.connections(), 3);
  EXPECT_TRUE(instance_.blocked_has("the host is denied"));
}

TEST_F(NetworkRules, WhoeverApprovesIsToldWhatIsNeverReached) {
  start(Json::object());
  approve("caller", {at("*.localhost")}, {{"deny_hosts", {"admin.localhost"}}});
  const std::string never = "Never reaches admin.localhost";
  EXPECT_THAT(instance_.sc({"skill", "show", "caller"}).out, HasSubstr(never));
  EXPECT_THAT(instance_.sc({"approve", "caller", "--yes"}).out, HasSubstr(never));
  EXPECT_THAT(instance_.sc({"verify", instance_.root() + "/skills/caller"}).out, HasSubstr(never));
}

TEST_F(NetworkRules, WhoeverNamesOneOfTwoNamesIsTold) {
  start(Json::object());
  const std::string folder =
      instance_.write_skill("half", Json::array({{{"capability", "network.external"},
                                                  {"scope", {"*.example.com", "example.org"}},
                                                  {"reason", "test"}}}));
  const auto both =
      AllOf(HasSubstr("does not match example.com itself"), HasSubstr("add \"*.example.org\""));
  EXPECT_THAT(instance_.sc({"skill", "add", folder}).out, both);
  EXPECT_THAT(instance_.sc({"verify", folder}).out, both);
  EXPECT_THAT(instance_.sc({"approve", "half", "--yes"}).out, both);
}

TEST_F(NetworkRules, AnInternationalNameIsShownAndMatchedInItsAsciiForm) {
  start(Json::object());
  approve("caller", {at("B\u00fccher.localhost")});
  EXPECT_THAT(instance_.sc({"skill", "show", "caller"}).out,
              AllOf(HasSubstr("xn--bcher-kva.localhost"), Not(HasSubstr("\u00fc"))));
  EXPECT_EQ(fetch("caller", at("xn--bcher-kva.localhost")).out, "hello\n");
  EXPECT_NE(fetch("caller", at("bucher.localhost")).status, 0);
}

TEST_F(NetworkRules, OnlyNamedToolsHaveTheNetwork) {
  start({{"network", {{"tools", {"process"}}, {"skills", {{"free", {{"tools", {"exec"}}}}}}}}});
  approve("caller", {at("localhost")});
  approve("free", {at("localhost")});
  EXPECT_EQ(fetch("free", at("localhost")).out, "hello\n");
  EXPECT_NE(fetch("caller", at("localhost")).status, 0);
  EXPECT_THAT(run("caller", {"env"}).out, Not(HasSubstr("PROXY")));
  EXPECT_EQ(server_.connections(), 1);
  // It is approved: what refuses it is another thing, and the record says which.
  approve("named", {at("api.localhost")});
  run("named", {"getent", "ahosts", "api.localhost"});
  EXPECT_TRUE(instance_.blocked_has("gives this tool no network (network.tools)"));
  EXPECT_FALSE(instance_.blocked_has("the host is not approved"));
}

class NetworkPrograms : public NetworkRules {
 protected:
  void SetUp() override {
    NetworkRules::SetUp();
    if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "python3 is not installed";
    start({{"network", {{"programs", {"curl"}}}}});
    approve("caller", {at("localhost")});
  }
  Output python(const std::string& code) const {
    return run("caller", {"/usr/bin/python3", "-I", "-c",
                          "import os, socket, sys\nport = " + server_.port() + "\n" + code});
  }
};

TEST_F(NetworkPrograms, OnlyNamedOnesHaveTheNetwork) {
  const std::string url = "http://" + at("localhost") + "/";
  EXPECT_EQ(fetch("caller", at("localhost")).out, "hello\n");
  EXPECT_EQ(run("caller", {"sh", "-c", "curl -sS " + url + "; exec curl -sS " + url}).out,
            "hello\nhello\n");
  EXPECT_EQ(run("caller", {"curl", "-sS", "--noproxy", "*", url}).out, "hello\n");
  const int before = server_.connections();
  const std::string real = std::filesystem::canonical("/usr/bin/python3").string();
  // By the proxy, by the name, by the address; and inside as ever.
  const Output refused = python(R"(
inside = socket.socket(); inside.bind(('127.0.0.1', 0)); inside.listen(1)
for where in (('127.0.0.1', 18800), ('0.0.0.0', 18800), ('localhost', port), ('127.0.0.1', port),
              ('127.0.0.1', 18801), inside.getsockname()):
    try: socket.create_connection(where, 30).close(); print('connected', end=' ')
    except OSError as error: print(error.errno, end=' ')
late = socket.socket(); late.setblocking(False); print(late.connect_ex(('127.0.0.1', 18800)), end=' ')
six = socket.socket(socket.AF_INET6)
print(six.connect_ex(('::ffff:127.0.0.1', 18800)))
)");
  EXPECT_EQ(refused.out, "13 13 13 13 111 connected 13 13\n") << refused.err;
  for (const char* program : {"wget", "git"}) {
    if (::access((std::string("/usr/bin/") + program).c_str(), X_OK) != 0) continue;
    const Output other = program == std::string("git")
                             ? run("caller", {"git", "ls-remote", url})
                             : run("caller", {"wget", "-qO-", "--tries=1", url});
    EXPECT_NE(other.status, 0) << program;
  }
  EXPECT_EQ(server_.connections(), before);
  EXPECT_TRUE(instance_.blocked_has("\"address\":\"" + at("localhost") + "\""));
  EXPECT_TRUE(instance_.blocked_has("\"to\":\"" + real + "\""));
  EXPECT_THAT(instance_.sc({"audit", "--blocked", "--all"}).out,
              HasSubstr("connect to " + at("localhost") + " by " + real));
}

// The name, the bytes and the path of another file do not make it the named one.
TEST_F(NetworkPrograms, ACopyIsAnotherProgram) {
  const std::string fetch = " -sS --max-time 30 http://" + at("localhost") + "/ 2>&1; echo $?";
  for (const std::string& make :
       {std::string("cp /usr/bin/curl curl; ./curl"),
        std::string("cp /usr/bin/curl /tmp; /tmp/curl"),
        std::string("cp /usr/bin/curl ~; PATH=~:$PATH; curl"),
        std::string("mkdir -p usr/bin; cp /usr/bin/curl usr/bin; cd usr/bin; ./curl"),
        std::string("cp /usr/bin/curl '/tmp/curl (deleted)'; '/tmp/curl (deleted)'")}) {
    const Output copied = run("caller", {"sh", "-c", make + fetch});
    EXPECT_THAT(copied.out, Not(HasSubstr("hello"))) << make;
    EXPECT_THAT(copied.out, HasSubstr("7\n")) << make;
  }
  const Output from_memory = python(R"(
memory = os.memfd_create('curl')
os.write(memory, open('/usr/bin/curl', 'rb').read())
os.execve(memory, ['curl', '-sS', f'http://localhost:{port}/'], os.environ)
)");
  EXPECT_EQ(from_memory.status, 7) << from_memory.out << from_memory.err;
  EXPECT_EQ(server_.connections(), 0);
}

// What the host fetches itself obeys the same lists.
TEST_F(NetworkRules, AFetchOfTheHostsIsHeldToTheLists) {
  start({{"services",
          {{"a", "a.example:8080"},
           {"b", "b.example"},
           {"net", "93.184.216.0/24"},
           {"all", "*.c.example"},
           {"inside", "localhost:8123"}}},
         {"deny_hosts", {"a.example", "93.184.216.8/29", "d.c.example:443"}},
         {"network", {{"skills", {{"agent", {{"deny_hosts", {"e.c.example"}}}}}}}}});
  Host host(instance_);
  const auto verdict = [&](const std::string& url) {
    return host.authorize("", {{"tool", "web_fetch"}, {"params", {{"url", url}}}})
        .at("verdict")
        .get<std::string>();
  };
  for (const char* url : {"https://b.example/", "http://B.Example./x", "https://93.184.216.1/",
                          "https://x.c.example/", "http://d.c.example/", "http://localhost:8123"}) {
    EXPECT_EQ(verdict(url), "allow") << url;
  }
  for (const char* url : {"http://a.example:8080/", "https://93.184.216.9/", "https://d.c.example/",
                          "https://e.c.example/", "https://c.example/", "https://b.example:8443/",
                          "https://b.example@evil.example/", "https://3221225985/",
                          "http://127.0.0.1:8123/", "ftp://b.example/", "b.example"}) {
    EXPECT_EQ(verdict(url), "block") << url;
  }
}

TEST_F(NetworkRules, AFetchOfTheHostsIsATool) {
  start({{"services", {{"b", "b.example"}}}, {"network", {{"tools", {"exec"}}}}});
  Host host(instance_);
  EXPECT_EQ(host.authorize("", {{"tool", "web_fetch"}, {"params", {{"url", "https://b.example/"}}}})
                .at("verdict"),
            "block");
}

// Told by one call to a later one in the same sandbox, and by one skill's to another's.
TEST_F(NetworkRules, ATokenIsWorthNothingElsewhereOrLater) {
  start(Json::object());
  approve("caller", {at("localhost")});
  approve("other", {at("localhost")});
  const std::vector<std::string> warm = {"run", "--skill", "caller", "--session", "s", "--"};
  const auto in_session = [&](std::vector<std::string> command) {
    command.insert(command.begin(), warm.begin(), warm.end());
    return instance_.sc(command);
  };
  // Its sandbox stays, and so does a process that it leaves running for a while.
  const Output told = in_session({"sh", "-c", "echo -n $http_proxy; touch /tmp/mark"});
  const std::string proxy = told.out;
  ASSERT_THAT(proxy, HasSubstr("@127.0.0.1:18800")) << told.err;
  const std::vector<std::string> fetch = {"curl",      "-sSf", "--max-time",
                                          "30",        "-x",   proxy,
                                          "--noproxy", "",     "http://" + at("localhost") + "/"};
  const Output later = in_session(fetch);
  EXPECT_NE(later.status, 0);
  EXPECT_THAT(later.err, HasSubstr("407"));
  EXPECT_EQ(in_session({"cat", "/tmp/mark"}).status, 0) << "the sandbox is not the same";
  const Output elsewhere = run("other", fetch);
  EXPECT_NE(elsewhere.status, 0);
  EXPECT_THAT(elsewhere.err, HasSubstr("407"));
  EXPECT_EQ(server_.connections(), 0);
  EXPECT_TRUE(instance_.blocked_has("token"));
  EXPECT_FALSE(instance_.blocked_has(proxy.substr(7, 32))) << "a token is in the log";
}

// The program follows, and asks for where it is sent: that is judged like any other.
TEST_F(NetworkRules, ARedirectLeadsNowhereElse) {
  HttpServer secret;
  for (const std::string& target :
       {std::string("http://169.254.169.254/latest/meta-data/"),
        std::string("http://[fd00:ec2::254]/"), "http://other.localhost:" + secret.port() + "/",
        std::string("http://metadata.google.internal/")}) {
    SCOPED_TRACE(target);
    HttpServer sends("HTTP/1.0 302 Found\r\nLocation: " + target);
    Instance instance;
    instance.start();
    const std::string here = "localhost:" + sends.port();
    instance.approve_skill(
        "caller",
        Json::array({{{"capability", "network.internal"}, {"scope", {here}}, {"reason", "t"}},
                     {{"capability", "system.exec"}, {"reason", "t"}}}));
    const Output output =
        instance.sc({"run", "--skill", "caller", "--", "curl", "-sSL", "--max-time", "30", "-w",
                     "%{http_code}", "http://" + here + "/"});
    EXPECT_THAT(output.out, AllOf(HasSubstr("sharkcage: "), ::testing::EndsWith("403")));
    EXPECT_EQ(sends.connections(), 1);
  }
  EXPECT_EQ(secret.connections(), 0);
}

}  // namespace
}  // namespace sharkcage::testing
