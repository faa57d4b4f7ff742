#include "supervisor/egress/channel.h"

#include <sys/socket.h>

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "capabilities/caught.h"
#include "common/errors.h"

namespace sharkcage::egress {
namespace {

Channel::Received received(std::string_view packet, std::vector<UniqueFd> fds) {
  Order order = order_from_text(packet);
  std::size_t expected = 0;
  if (const auto* listen = std::get_if<Listen>(&order)) {
    expected = descriptors_of(listen->sockets);
  }
  if (fds.size() != expected) throw UserError("egress protocol: an order with wrong descriptors");
  return {std::move(order), std::move(fds)};
}

}  // namespace

Channel::Channel(asio::io_context& loop, UniqueFd socket) : descriptor_(loop) {
  descriptor_.assign(socket.get());
  socket.release();
}

asio::awaitable<std::optional<Channel::Received>> Channel::receive() {
  for (;;) {
    std::string packet(kMaxMessage, '\0');
    std::vector<UniqueFd> fds;
    const ssize_t size =
        recv_with_fds(descriptor_.native_handle(), packet.data(), packet.size(), fds, MSG_DONTWAIT);
    if (size == 0) co_return std::nullopt;
    if (size > 0) {
      packet.resize(static_cast<std::size_t>(size));
      co_return received(packet, std::move(fds));
    }
    if (errno == ECONNRESET) co_return std::nullopt;
    if (errno != EAGAIN) throw_errno("recvmsg", "the control socket");
    packet = {};
    co_await descriptor_.async_wait(asio::posix::descriptor_base::wait_read, asio::use_awaitable);
  }
}

asio::awaitable<void> Channel::send(Event event) {
  const std::string packet = event_to_text(event);
  while (send_with_fds(descriptor_.native_handle(), packet, {}, MSG_DONTWAIT) < 0) {
    // The supervisor is gone: `receive` sees it too and ends the process.
    if (errno != EAGAIN) co_return;
    asio::error_code error;
    co_await descriptor_.async_wait(asio::posix::descriptor_base::wait_write,
                                    asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
  }
}

}  // namespace sharkcage::egress
