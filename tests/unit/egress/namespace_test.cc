// What only a network of its own can show: public addresses, the host's own addresses, the system's
// resolver. The egress runs in one namespace, the world is another at the end of a veth pair
// (veth(4)).

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "supervisor/egress/routes.h"
#include "support.h"

namespace sharkcage::egress::testing {
namespace {

using ::testing::HasSubstr;

constexpr const char* kOwn = "93.184.216.33";
constexpr const char* kWorld = "93.184.216.34";

// A netlink message under construction.
class Message {
 public:
  Message(std::uint16_t type, std::uint16_t flags) : bytes_(sizeof(nlmsghdr), '\0') {
    header_.nlmsg_type = type;
    header_.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  }
  template <class T>
  void append(const T& value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()), '\0');
  }
  void attribute(std::uint16_t type, const std::string& value) {
    append(rtattr{static_cast<std::uint16_t>(RTA_LENGTH(value.size())), type});
    bytes_ += value;
    bytes_.resize(NLMSG_ALIGN(bytes_.size()), '\0');
  }
  std::size_t open(std::uint16_t type) {
    const std::size_t at = bytes_.size();
    append(rtattr{0, type});
    return at;
  }
  void close(std::size_t at) {
    const auto size = static_cast<std::uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &size, sizeof size);
  }
  int exchange() {
    header_.nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &header_, sizeof header_);
    const UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    ::send(socket.get(), bytes_.data(), bytes_.size(), 0);
    char answer[4096];
    if (::recv(socket.get(), answer, sizeof answer, 0) < 0) return errno;
    nlmsgerr error;
    std::memcpy(&error, answer + sizeof(nlmsghdr), sizeof error);
    return -error.error;
  }

 private:
  nlmsghdr header_{};
  std::string bytes_;
};

// "sc0" here, "sc1" in the namespace of `peer`.
int make_veth(pid_t peer) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.append(ifinfomsg{});
  message.attribute(IFLA_IFNAME, std::string("sc0", 4));
  const std::size_t info = message.open(IFLA_LINKINFO);
  message.attribute(IFLA_INFO_KIND, "veth");
  const std::size_t data = message.open(IFLA_INFO_DATA);
  const std::size_t other = message.open(VETH_INFO_PEER);
  message.append(ifinfomsg{});
  message.attribute(IFLA_IFNAME, std::string("sc1", 4));
  message.attribute(IFLA_NET_NS_PID,
                    std::string(reinterpret_cast<const char*>(&peer), sizeof peer));
  message.close(other);
  message.close(data);
  message.close(info);
  return message.exchange();
}

// netdevice(7).
bool bring_up(const char* name, const char* address) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, name);
  auto* where = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
  where->sin_family = AF_INET;
  ::inet_pton(AF_INET, address, &where->sin_addr);
  if (::ioctl(socket.get(), SIOCSIFADDR, &request) != 0) return false;
  ::inet_pton(AF_INET, "255.255.255.0", &where->sin_addr);
  if (::ioctl(socket.get(), SIOCSIFNETMASK, &request) != 0) return false;
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

// An /etc/hosts of this test's own, in a mount namespace of its own.
bool replace_hosts(const std::string& text) {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", "/tmp", "tmpfs", 0, nullptr) != 0) {
    return false;
  }
  write_file_atomically("/tmp/hosts", text, 0644);
  return ::mount("/tmp/hosts", "/etc/hosts", nullptr, MS_BIND, nullptr) == 0;
}

// Runs in the namespace of the egress; a server of the world echoes at `kWorld`.
void with_a_world(const std::function<void(Supervised&, std::uint16_t world_port,
                                           std::uint16_t own_port)>& body) {
  auto world = Namespace::make();
  ASSERT_TRUE(world);
  ASSERT_EQ(make_veth(world->pid()), 0);
  ASSERT_TRUE(bring_up("sc0", kOwn));
  ASSERT_EQ(world->run([] { return bring_up("sc1", kWorld) ? 0 : 1; }), 0);
  ASSERT_TRUE(replace_hosts(std::string("127.0.0.1 rebound.example\n") + kWorld +
                            " public.example\n" + kOwn + " own.example\n"));
  Listening there = world->listen_inside_at(kWorld);
  Listening here = listen_on(kOwn);
  const std::uint16_t world_port = there.port;
  const std::uint16_t own_port = here.port;
  TestServer world_server(echo, std::move(there));
  TestServer own_server(echo, std::move(here));
  Supervised supervised;
  body(supervised, world_port, own_port);
  EXPECT_EQ(own_server.connections(), 0);
}

// gtest's expectations inside a child are told by its status.
void expect_inside(const std::function<void()>& body) {
  const auto egress_namespace = Namespace::make();
  if (!egress_namespace) GTEST_SKIP() << "this user may not make a network namespace";
  EXPECT_EQ(egress_namespace->run([&] {
    body();
    std::fflush(nullptr);
    return ::testing::Test::HasFailure() ? 1 : 0;
  }),
            0);
}

TEST(EgressNamespace, ReachesAPublicAddressByItsApprovedName) {
  expect_inside([] {
    with_a_world([](Supervised& supervised, std::uint16_t port, std::uint16_t) {
      Listening listening = listen_on();
      const std::uint16_t proxy = listening.port;
      supervised.listen(std::move(listening.socket), {{"public.example", port, false}});
      const UniqueFd client = connect_to("127.0.0.1", proxy);
      ASSERT_EQ(ask(client.get(), request("public.example", port)), 0);
      write_text(client.get(), "hello");
      EXPECT_EQ(read_exactly(client.get(), 5), "hello");
      EXPECT_EQ(supervised.connection(0).address, kWorld);
      // Approved by name: the same place by its address is another matter.
      const UniqueFd literal = connect_to("127.0.0.1", proxy);
      EXPECT_EQ(ask(literal.get(), request_v4(kWorld, port)), 2);
    });
  });
}

TEST(EgressNamespace, RefusesAPublicNameThatLeadsToThisHost) {
  expect_inside([] {
    with_a_world([](Supervised& supervised, std::uint16_t, std::uint16_t port) {
      Listening listening = listen_on();
      const std::uint16_t proxy = listening.port;
      supervised.listen(
          std::move(listening.socket),
          {{"rebound.example", port, false}, {"own.example", port, false}, {kOwn, port, false}});
      for (const std::string& bytes : {request("rebound.example", port),
                                       request("own.example", port), request_v4(kOwn, port)}) {
        const UniqueFd client = connect_to("127.0.0.1", proxy);
        EXPECT_EQ(ask(client.get(), bytes), 2);
      }
      EXPECT_THAT(supervised.connection(0).reason, HasSubstr("loopback"));
      EXPECT_THAT(supervised.connection(1).reason, HasSubstr("own address"));
      EXPECT_THAT(supervised.connection(2).reason, HasSubstr("own address"));
    });
  });
}

TEST(EgressNamespace, KnowsWhichAddressesAreItsOwn) {
  expect_inside([] {
    auto world = Namespace::make();
    ASSERT_TRUE(world);
    ASSERT_EQ(make_veth(world->pid()), 0);
    ASSERT_TRUE(bring_up("sc0", kOwn));
    Routes routes;
    for (int round = 0; round < 3; ++round) {
      EXPECT_TRUE(routes.own(*Address::parse(kOwn)));
      EXPECT_TRUE(routes.own(*Address::parse("127.0.0.1")));
      EXPECT_TRUE(routes.own(*Address::parse("127.1.2.3")));
      EXPECT_TRUE(routes.own(*Address::parse("::1")));
      EXPECT_TRUE(routes.own(*Address::parse("93.184.216.255"))) << "broadcast";
      EXPECT_FALSE(routes.own(*Address::parse(kWorld)));
      EXPECT_FALSE(routes.own(*Address::parse("8.8.8.8"))) << "no route";
      EXPECT_FALSE(routes.own(*Address::parse("2606:4700::1111"))) << "no route";
    }
  });
}

}  // namespace
}  // namespace sharkcage::egress::testing
