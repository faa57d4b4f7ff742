#include "supervisor/egress/routes.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/errors.h"

namespace sharkcage::egress {
namespace {

struct RouteRequest {
  nlmsghdr header;
  rtmsg route;
  rtattr attribute;
  std::uint8_t address[16];
};

}  // namespace

Routes::Routes() : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {
  if (!socket_) throw_errno("socket NETLINK_ROUTE");
}

bool Routes::own(const Address& address) {
  const auto bytes = address.bytes();
  RouteRequest request{};
  request.header.nlmsg_len =
      static_cast<std::uint32_t>(offsetof(RouteRequest, address) + bytes.size());
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.header.nlmsg_seq = ++sequence_;
  request.route.rtm_family = address.is_v6() ? AF_INET6 : AF_INET;
  request.route.rtm_dst_len = static_cast<std::uint8_t>(bytes.size() * 8);
  request.attribute.rta_type = RTA_DST;
  request.attribute.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(bytes.size()));
  std::copy(bytes.begin(), bytes.end(), request.address);
  if (::send(socket_.get(), &request, request.header.nlmsg_len, MSG_NOSIGNAL) < 0) return true;

  // The kernel has answered by the time send returns; older answers are skipped by their number.
  for (;;) {
    alignas(nlmsghdr) char answer[4096];
    const ssize_t size = ::recv(socket_.get(), answer, sizeof answer, MSG_DONTWAIT);
    if (size < static_cast<ssize_t>(sizeof(nlmsghdr))) return true;
    const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
    if (header->nlmsg_seq != sequence_) continue;
    // No route: the dial fails by itself, for the same reason.
    if (header->nlmsg_type == NLMSG_ERROR) return false;
    if (header->nlmsg_type != RTM_NEWROUTE ||
        static_cast<std::size_t>(size) < NLMSG_LENGTH(sizeof(rtmsg))) {
      return true;
    }
    const auto* route = reinterpret_cast<const rtmsg*>(NLMSG_DATA(header));
    return route->rtm_type == RTN_LOCAL || route->rtm_type == RTN_BROADCAST ||
           route->rtm_type == RTN_ANYCAST;
  }
}

}  // namespace sharkcage::egress
