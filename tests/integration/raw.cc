#include "tests/integration/raw.h"

#include <sys/socket.h>

#include <array>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "common/errors.h"

namespace sharkcage::testing {

void Raw::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send_with_fds(fd(), bytes, {});
    if (sent < 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void Raw::send_with(std::string_view bytes, std::span<const int> fds) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  std::vector<char> control(CMSG_SPACE(fds.size_bytes()));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  if (::sendmsg(fd(), &message, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
    throw_errno("sendmsg");
  }
}

std::optional<Json> Raw::answer() {
  std::array<char, 65536> block;
  for (;;) {
    if (const auto line = lines_.next()) return Json::parse(*line);
    wait_readable(fd(), "an answer of the supervisor");
    std::vector<UniqueFd> fds;
    const ssize_t got = recv_with_fds(fd(), block.data(), block.size(), fds);
    // ECONNRESET: it closed while bytes of ours were unread.
    if (got <= 0) return std::nullopt;
    lines_.append({block.data(), static_cast<std::size_t>(got)});
  }
}

int Raw::error_code() {
  const auto found = answer();
  return found && found->contains("error") ? found->at("error").at("code").get<int>() : 0;
}

Json Raw::ask(const Json& request) {
  send(request.dump() + "\n");
  const auto found = answer();
  if (!found) throw std::runtime_error("the connection was closed instead of an answer");
  return *found;
}

void Raw::say_hello() {
  const Json found = ask(rpc::request(1, "hello", {{"client", "raw"}, {"versions", {1}}}));
  if (!found.contains("result")) throw std::runtime_error("hello: " + found.dump());
}

}  // namespace sharkcage::testing
