// The name server on real sockets, asked by the C library's resolver and byte by byte.

#include "supervisor/egress/name_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <atomic>
#include <future>
#include <thread>

#include "common/errors.h"
#include "dns_message.h"
#include "support.h"

namespace sharkcage::egress::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kAddressBytes("\xC6\x12\x00\x01", 4);  // 198.18.0.1

// Names are resolved by nobody here.
class NoResolver : public Resolver {
 public:
  void resolve(const std::string&, std::function<void(Resolution)>) override {
    ADD_FAILURE() << "a name was asked elsewhere";
  }
};

UniqueFd copy_of(const UniqueFd& fd) {
  return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

// A UDP and a TCP socket on one port, as a supervisor has and keeps them.
struct Sockets {
  UniqueFd udp;
  UniqueFd tcp;
  std::uint16_t port = 0;
};

sockaddr_storage where(const std::string& address, std::uint16_t port) {
  sockaddr_storage storage{};
  if (address.find(':') == std::string::npos) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    ::inet_pton(AF_INET, address.c_str(), &v4.sin_addr);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    ::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr);
  }
  return storage;
}

socklen_t size_of(const sockaddr_storage& storage) {
  return storage.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
}

Sockets make_sockets(const std::string& address) {
  // A port that is free for TCP is mostly so for UDP.
  for (int attempt = 0; attempt < 20; ++attempt) {
    Sockets sockets;
    Listening listening = listen_on(address);
    sockets.tcp = std::move(listening.socket);
    sockets.port = listening.port;
    const sockaddr_storage to = where(address, sockets.port);
    sockets.udp.reset(::socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (::bind(sockets.udp.get(), reinterpret_cast<const sockaddr*>(&to), size_of(to)) == 0) {
      return sockets;
    }
  }
  throw_errno("bind");
}

// Answers "held.example" when told to, everything below example at once, and refuses the rest.
class Serving {
 public:
  explicit Serving(EgressLimits limits = {}, const std::string& address = "127.0.0.1")
      : Serving(make_sockets(address), limits) {}
  explicit Serving(Sockets sockets, EgressLimits limits = {})
      : sockets_(std::move(sockets)),
        control_(make_socketpair(SOCK_SEQPACKET)),
        channel_(loop_, std::move(control_.second)),
        services_(loop_, channel_, resolver_, refused_, limits),
        release_(loop_, asio::steady_timer::time_point::max()),
        server_(std::make_shared<NameServer>(services_, copy_of(sockets_.udp),
                                             copy_of(sockets_.tcp), answers())) {
    asio::co_spawn(
        loop_, [this] { return server_->run(); },
        [this](const std::exception_ptr& thrown) {
          rethrow(thrown);
          ended_.set_value();
        });
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Serving() {
    close();
    release();
    EXPECT_TRUE(has_ended());
    work_.reset();
    thread_.join();
  }

  std::uint16_t port() const { return sockets_.port; }
  int asked() const { return asked_; }
  Sockets take_sockets() { return std::move(sockets_); }

  // From now on, nothing is held any more.
  void release() {
    on_loop([this] {
      held_ = false;
      release_.cancel();
    });
  }
  void close() {
    on_loop([this] { server_->close(); });
  }
  bool has_ended() { return ended_future_.wait_for(kPatience) == std::future_status::ready; }
  bool is_running() {
    on_loop([] {});
    return ended_future_.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
  }
  // The loop has done what it could do by itself.
  void settle() {
    for (int turn = 0; turn < 10; ++turn) on_loop([] {});
  }

 private:
  void on_loop(const std::function<void()>& work) {
    std::promise<void> done;
    asio::post(loop_, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

  AnswerName answers() {
    return [this](dns::Question question, NameClient) { return answer(std::move(question)); };
  }

  asio::awaitable<NameAnswer> answer(dns::Question question) {
    ++asked_;
    while (held_ && question.host == "held.example") {
      asio::error_code ignored;
      co_await release_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    NameAnswer answer;
    answer.rcode =
        question.host.ends_with(".example") ? dns::Rcode::kNoError : dns::Rcode::kRefused;
    if (question.type == dns::kTypeA) answer.address = Address::parse("198.18.0.1");
    if (question.type == dns::kTypeAaaa) answer.address = Address::parse("fd00::1");
    if (answer.rcode == dns::Rcode::kRefused) answer.prohibited = "not approved";
    co_return answer;
  }

  Sockets sockets_;
  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{loop_.get_executor()};
  NoResolver resolver_;
  std::pair<UniqueFd, UniqueFd> control_;
  Channel channel_;
  RefusedCounts refused_;
  Services services_;
  asio::steady_timer release_;
  bool held_ = true;
  std::atomic<int> asked_{0};
  std::promise<void> ended_;
  std::future<void> ended_future_ = ended_.get_future();
  std::shared_ptr<NameServer> server_;
  std::thread thread_;
};

// The C library's stub, which judges what comes back before it passes it on.
class Stub {
 public:
  explicit Stub(std::uint16_t port, unsigned long options = 0) : state_{} {
    ::res_ninit(&state_);
    state_.nscount = 1;
    state_.nsaddr_list[0].sin_family = AF_INET;
    state_.nsaddr_list[0].sin_port = htons(port);
    ::inet_pton(AF_INET, "127.0.0.1", &state_.nsaddr_list[0].sin_addr);
    state_.options |= options | RES_NORELOAD;
    state_.retrans = static_cast<int>(kPatience.count());
    state_.retry = 1;
  }
  ~Stub() { ::res_nclose(&state_); }

  Response ask(const char* name, int type) {
    unsigned char answer[1024];
    unsigned char packet[512];
    const int size = ::res_nmkquery(&state_, ns_o_query, name, ns_c_in, type, nullptr, 0, nullptr,
                                    packet, sizeof packet);
    const int got = ::res_nsend(&state_, packet, size, answer, sizeof answer);
    if (got < 0) return Response();
    return read_response({reinterpret_cast<const char*>(answer), static_cast<std::size_t>(got)});
  }
  // As gethostbyname and its kind do: the code is `h_errno`'s.
  int query(const char* name, int type) {
    unsigned char answer[1024];
    const int got = ::res_nquery(&state_, name, ns_c_in, type, answer, sizeof answer);
    return got < 0 ? -state_.res_h_errno : got;
  }

 private:
  struct __res_state state_;
};

UniqueFd udp_to(const std::string& address, std::uint16_t port) {
  const sockaddr_storage to = where(address, port);
  UniqueFd socket(::socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), size_of(to)) != 0) {
    throw_errno("connect", address);
  }
  return socket;
}

// One datagram, or "" when none came.
std::string receive(int fd) {
  pollfd wait{fd, POLLIN, 0};
  if (::poll(&wait, 1, 10'000) <= 0) return "";
  std::string packet(65536, '\0');
  const ssize_t got = ::recv(fd, packet.data(), packet.size(), 0);
  packet.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return packet;
}

std::string framed(const std::string& packet) {
  return word(static_cast<unsigned>(packet.size())) + packet;
}

// A response on a stream; unreadable at its end.
Response next_response(int fd) {
  const std::string length = read_exactly(fd, 2);
  if (length.size() < 2) return Response();
  const auto high = static_cast<unsigned char>(length[0]);
  const auto low = static_cast<unsigned char>(length[1]);
  return read_response(read_exactly(fd, static_cast<std::size_t>(high << 8 | low)));
}

Asked asked_for(const std::string& name, unsigned id = 1) {
  Asked asked;
  asked.id = id;
  asked.name = wire_name(name);
  return asked;
}

TEST(NameServer, TheCLibraryIsAnswered) {
  Serving serving;
  for (const unsigned long options :
       {0ul, (unsigned long)RES_USE_EDNS0, (unsigned long)RES_USEVC}) {
    Stub stub(serving.port(), options);
    EXPECT_THAT(stub.ask("www.example", ns_t_a).addresses, ElementsAre(kAddressBytes)) << options;
    EXPECT_THAT(stub.ask("www.example", ns_t_aaaa).addresses,
                ElementsAre("\xFD" + std::string(14, '\0') + "\x01"));
    const Response none = stub.ask("www.example", ns_t_mx);
    EXPECT_TRUE(none.readable);
    EXPECT_THAT(none.addresses, IsEmpty());
  }
  EXPECT_EQ(serving.asked(), 9);
}

// "Refused" would be a failure that may pass to glibc, and nothing at all to musl.
TEST(NameServer, ARefusalIsFinalForTheCLibraryAndExplainedToWhoSendsAnOpt) {
  Serving serving;
  Stub stub(serving.port());
  EXPECT_EQ(stub.query("evil.test", ns_t_a), -HOST_NOT_FOUND);
  const UniqueFd client = udp_to("127.0.0.1", serving.port());
  write_text(client.get(), asked_for("evil.test").packet());
  EXPECT_EQ(read_response(receive(client.get())).code, 3u);
  write_text(client.get(), asked_for("evil.test").with_opt().packet());
  const Response response = read_response(receive(client.get()));
  EXPECT_EQ(response.code, 5u);
  EXPECT_THAT(response.options, ::testing::EndsWith("not approved"));
}

TEST(NameServer, AskedOverIpv6) {
  Serving serving({}, "::1");
  const UniqueFd client = udp_to("::1", serving.port());
  write_text(client.get(), asked_for("www.example").packet());
  EXPECT_THAT(read_response(receive(client.get())).addresses, ElementsAre(kAddressBytes));
}

TEST(NameServer, WhatIsNoQuestionIsNeitherAskedNorAnsweredAmiss) {
  Serving serving;
  const UniqueFd client = udp_to("127.0.0.1", serving.port());
  Asked response = asked_for("www.example", 7);
  response.flags = 0x8180;
  Asked malformed = asked_for("www.example", 8);
  malformed.questions = 2;
  write_text(client.get(), response.packet());
  write_text(client.get(), "short");
  ::send(client.get(), "", 0, 0);
  write_text(client.get(), malformed.packet());
  write_text(client.get(), std::string(60'000, '\0'));
  // The first two datagrams and the empty one are passed over, the others are malformed.
  const Response first = read_response(receive(client.get()));
  EXPECT_EQ(first.id, 8u);
  EXPECT_EQ(first.code, 1u);
  const Response second = read_response(receive(client.get()));
  EXPECT_EQ(second.id, 0u);
  EXPECT_EQ(second.code, 1u);
  EXPECT_EQ(serving.asked(), 0);
}

TEST(NameServer, AConnectionCarriesManyQuestionsHoweverTheyAreCut) {
  Serving serving;
  const UniqueFd client = connect_to("127.0.0.1", serving.port());
  std::string questions;
  for (unsigned id = 1; id <= 20; ++id) questions += framed(asked_for("a.example", id).packet());
  write_text(client.get(), questions);
  for (unsigned id = 1; id <= 20; ++id) EXPECT_EQ(next_response(client.get()).id, id);
  for (const char byte : framed(asked_for("b.example", 99).packet())) {
    write_text(client.get(), std::string(1, byte));
  }
  EXPECT_EQ(next_response(client.get()).id, 99u);
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_TRUE(has_ended(client.get()));
}

TEST(NameServer, AMalformedQuestionEndsItsConnection) {
  Serving serving;
  Asked malformed = asked_for("a.example", 5);
  malformed.answers = 1;
  for (const std::string& text :
       {framed(malformed.packet()),
        word(0xFFFF) + asked_for("a.example", 5).packet() + std::string(dns::kMaxQuestion, 'x')}) {
    const UniqueFd client = connect_to("127.0.0.1", serving.port());
    write_text(client.get(), text);
    const Response response = next_response(client.get());
    EXPECT_EQ(response.id, 5u);
    EXPECT_EQ(response.code, 1u);
    EXPECT_TRUE(has_ended(client.get()));
  }
  Asked response = asked_for("a.example");
  response.flags = 0x8180;
  for (const std::string& text : {framed(response.packet()), framed("short"), framed("")}) {
    const UniqueFd client = connect_to("127.0.0.1", serving.port());
    write_text(client.get(), text);
    EXPECT_EQ(read_all(client.get()), "");
  }
  EXPECT_EQ(serving.asked(), 0);
}

TEST(NameServer, SoManyQuestionsAtOnceAndTheOthersWait) {
  EgressLimits limits;
  limits.questions = 3;
  Serving serving(limits);
  const UniqueFd client = udp_to("127.0.0.1", serving.port());
  const UniqueFd stream = connect_to("127.0.0.1", serving.port());
  for (unsigned id = 1; id <= 6; ++id) {
    write_text(client.get(), asked_for("held.example", id).packet());
  }
  write_text(stream.get(), framed(asked_for("held.example", 7).packet()));
  while (serving.asked() < 3) serving.settle();
  serving.settle();
  EXPECT_EQ(serving.asked(), 3);
  serving.release();
  std::set<unsigned> answered;
  for (int i = 0; i < 6; ++i) answered.insert(read_response(receive(client.get())).id);
  EXPECT_THAT(answered, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(next_response(stream.get()).id, 7u);
}

TEST(NameServer, SoManyConnectionsAtOnceAndTheOthersWait) {
  EgressLimits limits;
  limits.question_connections = 2;
  Serving serving(limits);
  UniqueFd first = connect_to("127.0.0.1", serving.port());
  const UniqueFd second = connect_to("127.0.0.1", serving.port());
  const UniqueFd third = connect_to("127.0.0.1", serving.port());
  for (const int fd : {first.get(), second.get()}) {
    write_text(fd, framed(asked_for("a.example").packet()));
    EXPECT_TRUE(next_response(fd).readable);
  }
  write_text(third.get(), framed(asked_for("a.example").packet()));
  serving.settle();
  EXPECT_EQ(serving.asked(), 2);
  first.reset();
  EXPECT_TRUE(next_response(third.get()).readable);
}

TEST(NameServer, AConnectionThatKeepsQuietOrDripsEnds) {
  EgressLimits limits;
  limits.question = std::chrono::milliseconds(50);
  Serving serving(limits);
  const UniqueFd silent = connect_to("127.0.0.1", serving.port());
  EXPECT_TRUE(has_ended(silent.get()));
  const UniqueFd partial = connect_to("127.0.0.1", serving.port());
  write_text(partial.get(), framed(asked_for("a.example").packet()).substr(0, 20));
  EXPECT_TRUE(has_ended(partial.get()));
  // An answer that takes longer is no reason.
  const UniqueFd waiting = connect_to("127.0.0.1", serving.port());
  write_text(waiting.get(), framed(asked_for("held.example").packet()));
  while (serving.asked() < 1) serving.settle();
  const UniqueFd other = connect_to("127.0.0.1", serving.port());
  EXPECT_TRUE(has_ended(other.get()));
  serving.release();
  EXPECT_TRUE(next_response(waiting.get()).readable);
}

TEST(NameServer, CloseCutsConnectionsAndWaitsForTheAnswersUnderWay) {
  Serving serving;
  const UniqueFd idle = connect_to("127.0.0.1", serving.port());
  write_text(idle.get(), framed(asked_for("a.example").packet()));
  EXPECT_TRUE(next_response(idle.get()).readable);
  const UniqueFd waiting = connect_to("127.0.0.1", serving.port());
  write_text(waiting.get(), framed(asked_for("held.example").packet()));
  const UniqueFd client = udp_to("127.0.0.1", serving.port());
  write_text(client.get(), asked_for("held.example").packet());
  while (serving.asked() < 3) serving.settle();
  serving.close();
  EXPECT_TRUE(has_ended(idle.get()));
  EXPECT_TRUE(serving.is_running());
  serving.release();
  EXPECT_TRUE(serving.has_ended());
  EXPECT_TRUE(has_ended(waiting.get()));
}

TEST(NameServer, AnotherOneGoesOnWithTheSockets) {
  std::optional<Serving> before(std::in_place);
  const std::uint16_t port = before->port();
  before->close();
  EXPECT_TRUE(before->has_ended());
  const UniqueFd client = udp_to("127.0.0.1", port);
  write_text(client.get(), asked_for("www.example", 3).packet());
  const UniqueFd stream = connect_to("127.0.0.1", port);
  write_text(stream.get(), framed(asked_for("www.example", 4).packet()));
  EXPECT_EQ(before->asked(), 0);
  Sockets sockets = before->take_sockets();
  before.reset();
  Serving after(std::move(sockets));
  EXPECT_EQ(read_response(receive(client.get())).id, 3u);
  EXPECT_EQ(next_response(stream.get()).id, 4u);
}

TEST(NameServer, ServesWithoutTcp) {
  Sockets sockets = make_sockets("127.0.0.1");
  sockets.tcp.reset();
  Serving serving(std::move(sockets));
  Stub stub(serving.port());
  EXPECT_THAT(stub.ask("www.example", ns_t_a).addresses, ElementsAre(kAddressBytes));
}

TEST(NameServer, OtherSocketsAreRefused) {
  asio::io_context loop(1);
  auto [ours, theirs] = make_socketpair(SOCK_SEQPACKET);
  Channel channel(loop, std::move(theirs));
  NoResolver resolver;
  RefusedCounts refused;
  Services services(loop, channel, resolver, refused, {});
  const Sockets sockets = make_sockets("127.0.0.1");
  const auto made = [&](UniqueFd udp, UniqueFd tcp) {
    NameServer server(services, std::move(udp), std::move(tcp), nullptr);
  };
  EXPECT_THROW(made(UniqueFd(), UniqueFd()), UserError);
  EXPECT_THROW(made(copy_of(sockets.tcp), UniqueFd()), UserError);
  EXPECT_THROW(made(copy_of(sockets.udp), copy_of(sockets.udp)), UserError);
  UniqueFd unbound(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_THROW(made(std::move(unbound), UniqueFd()), UserError);
  UniqueFd deaf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_THROW(made(copy_of(sockets.udp), std::move(deaf)), UserError);
  EXPECT_NO_THROW(made(copy_of(sockets.udp), copy_of(sockets.tcp)));
}

}  // namespace
}  // namespace sharkcage::egress::testing
