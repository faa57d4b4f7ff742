// The socket: connections, framing, roles, and the way from a line to a method and back.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/fd.h"
#include "common/json.h"
#include "common/peer.h"
#include "common/rpc.h"
#include "supervisor/roles.h"

namespace sharkcage {

// Thrown by methods: becomes the request's error.
class MethodError : public std::runtime_error {
 public:
  MethodError(int code, const std::string& message, const std::string& remedy = {});
  explicit MethodError(rpc::Error error);
  const rpc::Error& error() const { return error_; }

 private:
  rpc::Error error_;
};

// One client. Lives as long as a request of it runs, though its socket may be closed before.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::uint64_t number, Peer who, Roles may,
             asio::local::stream_protocol::socket socket);

  const std::uint64_t id;
  const Peer peer;
  const Roles roles;

  // Queues one line, with descriptors attached to its first byte. A client that does not read its
  // answers is cut off at kMaxQueued. Does nothing on a closed connection.
  void send(const Json& message, std::vector<UniqueFd> fds = {});
  // What is queued goes out now, not when what runs has returned.
  void flush();
  void close();
  bool open() const { return socket_.is_open(); }

 private:
  friend class Server;
  struct Outgoing {
    std::string line;
    std::vector<UniqueFd> fds;
  };
  asio::awaitable<void> write_queue();
  bool write_some();

  asio::local::stream_protocol::socket socket_;
  std::deque<Outgoing> queue_;
  std::size_t queued_bytes_ = 0;
  bool scheduled_ = false;  // to be written when what runs has returned
  bool writing_ = false;    // the client has to read first
  bool greeted_ = false;
  std::size_t in_flight_ = 0;
  std::deque<UniqueFd> fds_;  // received and not yet claimed by a request
};

enum class Role { kAny, kHost, kOperator, kEither };

struct MethodCall {
  std::shared_ptr<Connection> connection;
  Json params;
  std::vector<UniqueFd> fds;
};

struct Method {
  Role role;
  std::vector<std::string> params;  // every member that `params` may have
  bool takes_fds = false;
  std::function<asio::awaitable<Json>(MethodCall)> run;
};

class Server {
 public:
  static constexpr std::size_t kMaxConnections = 4096;  // or half of this process's descriptors
  static constexpr std::size_t kMaxInFlight = 256;      // requests of one connection

  struct Hooks {
    std::function<Roles(const Peer&)> roles;
    std::function<void(std::uint64_t connection)> closed;
    // A peer without a role, or without the one that a method needs.
    std::function<void(const Peer&, const std::string& reason)> refused;
  };

  Server(asio::io_context& context, std::map<std::string, Method> methods, Hooks hooks);

  // Binds `path`, replacing a stale socket: the caller holds the instance's lock, so none that is
  // alive can be there. Throws system_error.
  void listen(const std::string& path, bool everyone);
  // No new connections; the present ones are closed.
  void stop();
  std::size_t connections() const { return connections_.size(); }

 private:
  asio::awaitable<void> accept_loop();
  asio::awaitable<void> serve(std::shared_ptr<Connection> connection);
  // Reads once and handles the lines that are whole. False at the connection's end, and when it
  // cannot go on.
  bool take_block(const std::shared_ptr<Connection>& connection, rpc::LineReader& lines);
  // `last`: nothing has been read behind this line.
  void on_line(const std::shared_ptr<Connection>& connection, const std::string& line, bool last);
  asio::awaitable<void> answer(std::shared_ptr<Connection> connection, Json id,
                               const Method* method, MethodCall request);
  bool make_room();
  void admit(asio::local::stream_protocol::socket socket);

  asio::io_context& context_;
  std::map<std::string, Method> methods_;
  Hooks hooks_;
  asio::local::stream_protocol::acceptor acceptor_;
  std::map<std::uint64_t, std::weak_ptr<Connection>> connections_;
  std::uint64_t last_connection_ = 0;
  std::size_t max_connections_;
  // For all connections: what is read is handled before anything else runs.
  std::vector<char> block_ = std::vector<char>(64u << 10);
  std::string path_;
};

}  // namespace sharkcage
