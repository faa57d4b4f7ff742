// Bad input at the socket: an error that names the place, and the supervisor serves everybody else.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "tests/integration/host.h"
#include "tests/integration/raw.h"

namespace sharkcage::testing {
namespace {

using ::testing::HasSubstr;

class Frames : public ::testing::Test {
 protected:
  Frames() {
    instance_.start();
    pid_ = instance_.status().at("pid");
  }

  // The supervisor is the one that was started, and answers.
  void expect_alive() const { EXPECT_EQ(instance_.status().at("pid"), pid_); }

  std::size_t open_descriptors() const {
    std::size_t count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid_) + "/fd")) {
      count += entry.path().empty() ? 0 : 1;
    }
    return count;
  }

  // What the supervisor holds in memory; not told under AddressSanitizer, which keeps what was
  // freed.
  std::uint64_t resident_bytes() const {
#ifdef __SANITIZE_ADDRESS__
    return 0;
#else
    const std::string text = read_file("/proc/" + std::to_string(pid_) + "/statm", 4096);
    return std::stoull(text.substr(text.find(' '))) * static_cast<std::uint64_t>(::getpagesize());
#endif
  }

  Instance instance_;
  pid_t pid_ = 0;
};

const Json kStatus = rpc::request(7, "status.get", Json::object());

TEST_F(Frames, WhatIsNotJsonGetsAParseError) {
  Raw raw(instance_);
  raw.say_hello();
  const std::vector<std::string> lines = {
      "",
      "GET / HTTP/1.1\r",
      "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"status.get\"",
      std::string("\0\0\0\0", 4),
      "\xff\xfe\x00",
      R"({"jsonrpc":"2.0","id":1,"method":"status.)"
      "\xc3\x28"
      R"("})",
      R"({"jsonrpc":"2.0","id":1,"method":"\ud800"})",
      R"({"jsonrpc":"2.0","id":1,"id":2,"method":"status.get"})",
      R"({"jsonrpc":"2.0","id":1e999,"method":"status.get"})",
      kStatus.dump() + kStatus.dump()};
  for (const auto& line : lines) {
    raw.send(line + "\n");
    const auto answer = raw.answer();
    ASSERT_TRUE(answer) << line;
    EXPECT_TRUE(answer->at("id").is_null()) << line;
    EXPECT_EQ(answer->at("error").at("code"), rpc::kParseError) << line;
  }
  EXPECT_TRUE(raw.ask(kStatus).contains("result"));
}

TEST_F(Frames, WhatIsNoRequestGetsAnInvalidRequest) {
  Raw raw(instance_);
  raw.say_hello();
  const std::vector<std::string> lines = {"null",
                                          "1",
                                          "\"x\"",
                                          "[]",
                                          "{}",
                                          "[" + kStatus.dump() + "]",
                                          R"({"id":1,"method":"status.get"})",
                                          R"({"jsonrpc":"1.0","id":1,"method":"status.get"})",
                                          R"({"jsonrpc":2.0,"id":1,"method":"status.get"})",
                                          R"({"jsonrpc":"2.0","id":1})",
                                          R"({"jsonrpc":"2.0","id":1,"method":null})",
                                          R"({"jsonrpc":"2.0","id":1,"method":["status.get"]})",
                                          R"({"jsonrpc":"2.0","method":"status.get"})",
                                          R"({"jsonrpc":"2.0","id":null,"method":"status.get"})",
                                          R"({"jsonrpc":"2.0","id":1.5,"method":"status.get"})",
                                          R"({"jsonrpc":"2.0","id":true,"method":"status.get"})",
                                          R"({"jsonrpc":"2.0","id":[1],"method":"status.get"})"};
  for (const auto& line : lines) {
    raw.send(line + "\n");
    EXPECT_EQ(raw.error_code(), rpc::kInvalidRequest) << line;
  }
  for (const Json& id : {Json(-5), Json(18446744073709551615ull), Json("a string")}) {
    Json request = kStatus;
    request["id"] = id;
    const Json answer = raw.ask(request);
    EXPECT_EQ(answer.at("id"), id);
    EXPECT_TRUE(answer.contains("result")) << answer;
  }
}

TEST_F(Frames, ALineThatIsTooLongEndsTheConnection) {
  for (const std::string& end : {std::string(), std::string("\n")}) {
    Raw raw(instance_);
    raw.say_hello();
    raw.send(std::string(rpc::kMaxLine + 1, 'x') + end);
    EXPECT_EQ(raw.error_code(), rpc::kInvalidRequest);
    EXPECT_TRUE(raw.is_closed());
  }
  expect_alive();
}

TEST_F(Frames, TheLongestLineIsServed) {
  Raw raw(instance_);
  raw.say_hello();
  Json request = rpc::request(1, "session.close", {{"session", ""}});
  request["params"]["session"] = std::string(rpc::kMaxLine - request.dump().size(), 'x');
  ASSERT_EQ(request.dump().size(), rpc::kMaxLine);
  EXPECT_TRUE(raw.ask(request).contains("result"));
}

TEST_F(Frames, AnErrorIsNeverLongerThanALineMayBe) {
  Raw raw(instance_);
  raw.say_hello();
  const std::string name(rpc::kMaxLine - 100, '\x7f');  // made visible, it is four times as long
  for (const Json& request :
       {rpc::request(1, name, Json::object()), rpc::request(1, "status.get", {{name, 1}}),
        rpc::request(1, "skill.show", {{"name", name}})}) {
    const Json answer = raw.ask(request);
    EXPECT_TRUE(answer.contains("error"));
    EXPECT_LT(answer.dump().size(), 64u << 10);
  }
}

TEST_F(Frames, NestingIsBounded) {
  {
    Raw raw(instance_);
    raw.say_hello();
    raw.send(std::string(10'000'000, '['));
    EXPECT_EQ(raw.error_code(), rpc::kInvalidRequest);
    EXPECT_TRUE(raw.is_closed());
  }
  Raw raw(instance_);
  raw.say_hello();
  for (const char bracket : {'[', '{'}) {
    raw.send(std::string(rpc::kMaxLine - 1, bracket) + "\n");
    EXPECT_EQ(raw.error_code(), rpc::kParseError);
  }
  const auto nested = [&](std::size_t levels) {
    return R"({"jsonrpc":"2.0","id":1,"method":"tool.authorize","params":)" +
           std::string(levels, '[') + std::string(levels, ']') + "}\n";
  };
  raw.send(nested(rpc::kMaxDepth));
  EXPECT_EQ(raw.error_code(), rpc::kParseError);
  raw.send(nested(rpc::kMaxDepth - 1));
  EXPECT_EQ(raw.error_code(), rpc::kInvalidParams);
}

TEST_F(Frames, ALineThatIsCutIsDropped) {
  const std::string request =
      rpc::request(1, "session.open",
                   {{"session", "cut"}, {"workspace", instance_.workspace()}, {"access", "rw"}})
          .dump();
  for (std::size_t length : {std::size_t{1}, request.size() / 2, request.size()}) {
    Raw raw(instance_);
    raw.say_hello();
    raw.send(std::string_view(request).substr(0, length));
    ASSERT_EQ(::shutdown(raw.fd(), SHUT_WR), 0);
    EXPECT_TRUE(raw.is_closed());
  }
  EXPECT_EQ(instance_.status().at("sessions"), 0);
}

TEST_F(Frames, ALineMayComeInPieces) {
  Raw raw(instance_);
  raw.say_hello();
  for (const char c : kStatus.dump() + "\n") raw.send({&c, 1});
  const auto answer = raw.answer();
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->contains("result"));
}

TEST_F(Frames, HelloComesFirst) {
  Raw raw(instance_);
  EXPECT_EQ(raw.ask(kStatus).at("error").at("code"), rpc::kVersion);
  EXPECT_EQ(raw.ask(rpc::request(1, "hello", {{"client", "raw"}, {"versions", {2, 99}}}))
                .at("error")
                .at("code"),
            rpc::kVersion);
  EXPECT_EQ(raw.ask(rpc::request(1, "hello", {{"client", "raw"}})).at("error").at("code"),
            rpc::kVersion);
  EXPECT_EQ(raw.ask(kStatus).at("error").at("code"), rpc::kVersion);
  raw.say_hello();
  EXPECT_TRUE(raw.ask(kStatus).contains("result"));
}

TEST_F(Frames, RequestsMayFollowHelloWithoutWaiting) {
  Raw raw(instance_);
  raw.send(rpc::request(1, "hello", {{"client", "raw"}, {"versions", {1}}}).dump() + "\n" +
           kStatus.dump() + "\n");
  for (int i = 0; i < 2; ++i) {
    const auto answer = raw.answer();
    ASSERT_TRUE(answer);
    EXPECT_TRUE(answer->contains("result")) << *answer;
  }
}

TEST_F(Frames, UnknownMethodsAndMembersAreNamed) {
  Raw raw(instance_);
  raw.say_hello();
  const Json method = raw.ask(rpc::request(1, "no.such", Json::object()));
  EXPECT_EQ(method.at("error").at("code"), rpc::kMethodNotFound);
  EXPECT_THAT(method.at("error").at("message"), HasSubstr("no.such"));
  const Json member = raw.ask(rpc::request(1, "status.get", {{"surprise", 1}}));
  EXPECT_EQ(member.at("error").at("code"), rpc::kInvalidParams);
  EXPECT_THAT(member.at("error").at("message"), HasSubstr("surprise"));
  for (const Json& params : {Json(1), Json("x"), Json::array(), Json(nullptr)}) {
    EXPECT_EQ(raw.ask(rpc::request(1, "status.get", params)).at("error").at("code"),
              rpc::kInvalidParams)
        << params;
  }
}

// Every member of every method, with every kind of wrong value: refused, and never by accident.
TEST_F(Frames, NoValueOfAnyMemberBreaksAMethod) {
  const std::string home = instance_.workspace();
  const std::map<std::string, Json> methods = {
      {"hello", {{"client", "c"}, {"versions", {1}}}},
      {"session.open",
       {{"session", "s"},
        {"agent", "a"},
        {"scope", "s"},
        {"workspace", home},
        {"access", "rw"},
        {"skills", {{{"name", "n"}, {"path", home}}}},
        {"read_only", {{{"source", home}, {"path", home}}}}}},
      {"session.close", {{"session", "s"}}},
      {"tool.authorize",
       {{"tool", "exec"},
        {"params",
         {{"command", "true"}, {"workdir", "."}, {"host", "auto"}, {"env", {{"A", "b"}}}}},
        {"session", "s"},
        {"agent", "a"},
        {"run", "r"},
        {"call", "c"},
        {"outer", false},
        {"requester", {{"id", "x"}}},
        {"prompt", true}}},
      {"approval.resolve", {{"request", "r"}, {"token", "t"}, {"decision", "deny"}}},
      {"tool.finish", {{"token", "t"}, {"error", "e"}, {"duration_ms", 1}}},
      {"exec.prepare",
       {{"session", "s"},
        {"command", "true"},
        {"token", "t"},
        {"kind", "exec"},
        {"workdir", home},
        {"env", {{"A", "b"}}},
        {"terminal", false}}},
      {"exec.open",
       {{"ticket", "t"}, {"argv", {"true"}}, {"terminal", {{"rows", 1}, {"columns", 1}}}}},
      {"exec.run",
       {{"argv", {"true"}},
        {"skill", "s"},
        {"session", "s"},
        {"workspace", {{"path", home}, {"access", "rw"}}},
        {"workdir", home},
        {"env", {{"A", "b"}}},
        {"timeout_ms", 1},
        {"terminal", {{"rows", 1}, {"columns", 1}}}}},
      {"exec.signal", {{"call", "c"}, {"signal", 15}}},
      {"exec.resize", {{"call", "c"}, {"rows", 1}, {"columns", 1}}},
      {"call.cancel", {{"call", "c"}}},
      {"session.end", {{"session", "s"}}},
      {"skill.add", {{"path", home}}},
      {"skill.show", {{"name", "n"}}},
      {"skill.remove", {{"name", "n"}}},
      {"skill.approve", {{"name", "n"}, {"content_digest", "d"}, {"only", {"x"}}}},
      {"skill.revoke", {{"name", "n"}}},
      {"approval.deny", {{"request", "r"}}},
      {"audit.query",
       {{"blocked", true},
        {"skill", "s"},
        {"tool", "t"},
        {"session", "s"},
        {"since_ms", 1},
        {"tail", 1},
        {"after", 1},
        {"limit", 1}}}};
  const std::vector<Json> values = {nullptr,
                                    true,
                                    0,
                                    -1,
                                    18446744073709551615ull,
                                    -9223372036854775807ll,
                                    1e308,
                                    0.5,
                                    "",
                                    "x",
                                    "/",
                                    "..",
                                    std::string("a\0b", 3),
                                    std::string(100'000, 'x'),
                                    "\u202e",
                                    Json::array(),
                                    Json::object(),
                                    Json::array({nullptr}),
                                    Json::array({Json::array()}),
                                    Json::array({Json::object()}),
                                    Json::array({1, "x", true}),
                                    Json{{"b64", "!!"}},
                                    Json{{"b64", "AAAA"}},
                                    Json{{"a", 1}, {"b", {{"c", {}}}}}};
  Raw raw(instance_);
  raw.say_hello();
  for (const auto& [method, good] : methods) {
    for (const auto& [member, ignored] : good.items()) {
      for (const Json& value : values) {
        Json params = good;
        params[member] = value;
        const Json answer = raw.ask(rpc::request(1, method, params));
        if (!answer.contains("error")) continue;
        EXPECT_NE(answer.at("error").at("code"), rpc::kInternalError)
            << method << " with " << member << " = " << value.dump().substr(0, 100) << ": "
            << answer;
        EXPECT_FALSE(answer.at("error").at("message").get<std::string>().empty());
      }
    }
  }
  expect_alive();
}

class Descriptors : public Frames {
 protected:
  // exec.run of `true` with these descriptors.
  Json run_with(Raw& raw, std::span<const int> fds, const Json& more = Json::object()) const {
    Json params = {{"argv", {"/bin/true"}},
                   {"workspace", {{"path", instance_.workspace()}}},
                   {"workdir", instance_.workspace()},
                   {"env", Json::object()}};
    params.update(more);
    const std::string line = rpc::request(2, "exec.run", params).dump() + "\n";
    if (fds.empty()) {
      raw.send(line);
    } else {
      raw.send_with(line, fds);
    }
    for (;;) {
      auto answer = raw.answer();
      if (!answer) return nullptr;
      if (answer->contains("id")) return *answer;
    }
  }
};

TEST_F(Descriptors, WrongNumbersAreRefusedAndNothingRuns) {
  for (const std::size_t count : {0u, 1u, 2u, 4u}) {
    Raw raw(instance_);
    raw.say_hello();
    Streams streams;
    std::vector<int> fds(count, streams.command_in.get());
    const Json answer = run_with(raw, fds);
    EXPECT_EQ(answer.at("error").at("code"), rpc::kInvalidParams) << count << ": " << answer;
    EXPECT_TRUE(raw.ask(kStatus).contains("result"));
  }
  Raw raw(instance_);
  raw.say_hello();
  Streams streams;
  const std::vector<int> many(64, streams.command_in.get());
  EXPECT_EQ(run_with(raw, many).at("error").at("code"), rpc::kInvalidRequest);
  EXPECT_TRUE(raw.is_closed());
  EXPECT_EQ(instance_.status().at("calls").size(), 0u);
}

TEST_F(Descriptors, OnlyPipesAndUnixStreamsArePassed) {
  const std::string file = instance_.workspace() + "/file";
  write_text(file, "text");
  std::vector<std::pair<std::string, UniqueFd>> wrong;
  wrong.emplace_back("a regular file", ::open(file.c_str(), O_RDWR | O_CLOEXEC));
  wrong.emplace_back("a directory", ::open(instance_.workspace().c_str(), O_RDONLY | O_CLOEXEC));
  wrong.emplace_back("a device", ::open("/dev/null", O_RDWR | O_CLOEXEC));
  wrong.emplace_back("a path", ::open("/", O_PATH | O_CLOEXEC));
  wrong.emplace_back("a TCP socket", ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  wrong.emplace_back("a datagram socket", ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  wrong.emplace_back("a listening socket", ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr autobind{AF_UNIX, {}};  // unix(7): an abstract name of the kernel's choice
  ASSERT_EQ(::bind(wrong.back().second.get(), &autobind, sizeof(sa_family_t)), 0);
  ASSERT_EQ(::listen(wrong.back().second.get(), 1), 0);
  wrong.emplace_back("the supervisor's own memory", ::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  Raw raw(instance_);
  raw.say_hello();
  for (const auto& [name, fd] : wrong) {
    ASSERT_TRUE(fd) << name;
    for (std::size_t place = 0; place < 3; ++place) {
      Streams streams;
      auto fds = streams.to_pass();
      fds[place] = fd.get();
      const Json answer = run_with(raw, fds);
      ASSERT_TRUE(answer.contains("error")) << name << " as descriptor " << place << " was taken";
      EXPECT_THAT(answer.at("error").at("message"), HasSubstr("neither a pipe nor")) << name;
    }
  }
  EXPECT_EQ(instance_.status().at("calls").size(), 0u);
  EXPECT_TRUE(instance_.blocked_has("neither a pipe nor"));
}

TEST_F(Descriptors, NoneBelongToATerminal) {
  Raw raw(instance_);
  raw.say_hello();
  Streams streams;
  const Json answer =
      run_with(raw, streams.to_pass(), {{"terminal", {{"rows", 24}, {"columns", 80}}}});
  EXPECT_EQ(answer.at("error").at("code"), rpc::kInvalidParams) << answer;
}

TEST_F(Descriptors, AreNotKeptForALaterRequest) {
  Raw raw(instance_);
  Streams streams;
  const auto fds = streams.to_pass();
  raw.send_with(rpc::request(1, "hello", {{"client", "raw"}, {"versions", {1}}}).dump() + "\n",
                fds);
  EXPECT_EQ(raw.error_code(), rpc::kInvalidRequest);
  raw.say_hello();
  raw.send_with(kStatus.dump() + "\n", fds);
  EXPECT_EQ(raw.error_code(), rpc::kInvalidRequest);
  EXPECT_EQ(run_with(raw, {}).at("error").at("code"), rpc::kInvalidParams);
}

TEST_F(Descriptors, OfRefusedRequestsAreClosed) {
  Raw raw(instance_);
  raw.say_hello();
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) {
    Streams streams;
    const auto fds = streams.to_pass();
    raw.send_with(rpc::request(1, "no.such", Json::object()).dump() + "\n", fds);
    EXPECT_NE(raw.error_code(), 0);
    raw.send_with("this is not JSON\n", fds);
    EXPECT_EQ(raw.error_code(), rpc::kParseError);
    run_with(raw, fds, {{"workdir", "relative"}});
    run_with(raw, fds, {{"skill", "no-such-skill"}});
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(Frames, ThousandsOfSilentConnectionsStopNobody) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const std::size_t wanted = std::min<std::size_t>(5000, limit.rlim_max - 100);
  const std::uint64_t before = resident_bytes();
  std::vector<Raw> silent;
  for (std::size_t i = 0; i < wanted; ++i) {
    silent.emplace_back(instance_);
    if (i % 2 == 0) silent.back().send("{\"jsonrpc\"");
  }
  expect_alive();
  EXPECT_EQ(instance_.run({"/bin/echo", "served"}).out, "served\n");
  EXPECT_LT(resident_bytes() - before, wanted * 16 * 1024) << "memory for each silent connection";
}

TEST_F(Frames, AClientThatNeverReadsStopsNobody) {
  Raw deaf(instance_);
  deaf.say_hello();
  // Far more answers than the sockets hold, until the supervisor cuts the connection or takes no
  // more.
  const std::string request = rpc::request(1, std::string(4000, 'x'), Json::object()).dump() + "\n";
  std::size_t sent = 0;
  while (sent < (64u << 20)) {
    const ssize_t got =
        ::send(deaf.fd(), request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      expect_alive();  // it answers others meanwhile
      pollfd writable{deaf.fd(), POLLOUT, 0};
      if (::poll(&writable, 1, 0) == 0) break;
      continue;
    }
    if (got != static_cast<ssize_t>(request.size())) break;
    sent += static_cast<std::size_t>(got);
  }
  expect_alive();
  EXPECT_EQ(instance_.run({"/bin/echo", "served"}).out, "served\n");
  EXPECT_LT(resident_bytes(), 512u << 20);
}

}  // namespace
}  // namespace sharkcage::testing
