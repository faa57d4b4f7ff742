// Caught connections: those of programs that know no proxy. What a sandbox's deputy and the egress
// tell each other about them.
//
// A name that the policy approves stands for a number in its sandbox, and that for an address of
// either family which belongs to nobody. When a program connects to one, or to an approved address,
// the deputy connects the program's own socket to the egress's second listener inside, and says on
// the link for what. So a socket of a command is never one of another namespace.
//
// The link is a pair of SOCK_SEQPACKET; each message is one of the structures, as it is in memory.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "capabilities/addresses.h"

namespace sharkcage {

// What a sandbox with a network hands out for the egress, in this order: sockets that were made in
// its namespace, and the egress's end of the link. One without hands out kNamesFd and kLinkFd, so
// that what it asks for is known.
enum NetworkFd : std::size_t {
  kProxyFd,        // listening, 127.0.0.1:18800
  kCaughtFd,       // listening, kCaughtPort
  kNamesFd,        // UDP, 127.0.0.1:53
  kNamesStreamFd,  // listening, 127.0.0.1:53
  kLinkFd,
  kNetworkFds
};

// Where the egress accepts them inside, on 127.0.0.1 and ::1. Nobody but the deputy connects there.
inline constexpr std::uint16_t kCaughtPort = 18801;
// Where it is asked for names, on 127.0.0.1, over UDP and TCP.
inline constexpr std::uint16_t kNamesPort = 53;

// As many as 198.18.0.0/15 has (RFC 2544: for benchmarks of network devices, routed nowhere).
inline constexpr std::uint32_t kNameNumbers = 1u << 17;

// The addresses that stand for a number below `kNameNumbers`. The IPv6 ones are unique local
// (RFC 4193), of a network that we drew.
Address synthetic_v4(std::uint32_t number);
Address synthetic_v6(std::uint32_t number);
// The number of such an address, or nothing.
std::optional<std::uint32_t> number_of(const Address& address);

// The address and port of a socket address of `size` bytes, IPv4-mapped ones as IPv4; nothing for
// another family.
std::optional<std::pair<Address, unsigned>> internet_address(const sockaddr* raw, socklen_t size);

// A host with its final zero: 253 characters (RFC 1035) at most.
using HostField = std::array<char, 256>;
// Throws std::length_error for what is too long.
HostField to_host_field(std::string_view host);
std::string from_host_field(const HostField& field);

// egress → deputy, before anybody inside is told: the number means this name.
struct NameMeaning {
  std::uint32_t number = 0;
  HostField name{};
};

// The name of a process (comm), which is its own choice, with its final zero.
using ProgramField = std::array<char, 16>;

// deputy → egress: who uses which of the sockets. Of a caught connection when it stands, of the
// others before the program can speak.
//
// What a command's socket sends has a mark (SO_MARK), which the deputy sets before it connects or
// lets a datagram go: an accepted socket takes it from the first packet, where the network
// namespace says so (tcp_fwmark_accept in the kernel's ip-sysctl), with a datagram it is told
// (SO_RCVMARK). No command can set one. A source would not do: another socket can have it next,
// while the connection before, which was reset, was never there to be accepted.
struct Announcement {
  std::uint8_t to = kCaughtFd;  // a NetworkFd
  std::uint32_t number = 0;     // the mark, which no other announcement of the sandbox has
  std::uint64_t command = 0;    // the supervisor's number, or 0 where it is not known
  // Of a caught one: what it is meant for, a name or an address in normal form.
  HostField host{};
  std::uint16_t port = 0;
  ProgramField program{};
};

}  // namespace sharkcage
