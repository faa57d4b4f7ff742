// A server outside of every sandbox, for tests of the network.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "common/errors.h"
#include "common/fd.h"

namespace sharkcage::testing {

// An HTTP server on 127.0.0.1 that answers every connection with the same head and one line.
class HttpServer {
 public:
  // Whether it ends the connection then, or waits for the client's end: `head` tells the length.
  enum class After { kEnd, kHold };
  explicit HttpServer(std::string head = "HTTP/1.0 200 OK", After after = After::kEnd)
      : head_(std::move(head)),
        after_(after),
        listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_.get(), generic, size) != 0 || ::listen(listener_.get(), 16) != 0 ||
        ::getsockname(listener_.get(), generic, &size) != 0) {
      throw_errno("bind");
    }
    port_ = ntohs(address.sin_port);
    std::tie(stop_read_, stop_write_) = make_pipe();
    thread_ = std::thread([this] { serve(); });
  }
  ~HttpServer() {
    stop_write_.reset();
    thread_.join();
  }
  std::string port() const { return std::to_string(port_); }
  int connections() const { return connections_; }

 private:
  void serve() {
    for (;;) {
      pollfd wanted[] = {{listener_.get(), POLLIN, 0}, {stop_read_.get(), POLLIN, 0}};
      ::poll(wanted, 2, -1);
      if (wanted[1].revents != 0) return;
      const UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) continue;
      ++connections_;
      char request[4096];
      if (::recv(client.get(), request, sizeof request, 0) <= 0) continue;
      const std::string length = after_ == After::kEnd ? "\r\nContent-Length: 6" : "";
      const std::string answer = head_ + length + "\r\nConnection: close\r\n\r\nhello\n";
      ::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
      if (after_ == After::kHold) hold(client.get());
    }
  }

  // Until the client has ended, or the server is to.
  void hold(int client) const {
    pollfd wanted[] = {{client, POLLIN, 0}, {stop_read_.get(), POLLIN, 0}};
    ::poll(wanted, 2, -1);
  }

  const std::string head_;
  const After after_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  UniqueFd stop_read_;
  UniqueFd stop_write_;
  std::thread thread_;
};

}  // namespace sharkcage::testing
