#include "supervisor/server.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cstring>
#include <filesystem>
#include <utility>

#include "common/errors.h"
#include "common/text.h"

namespace sharkcage {
namespace {

using asio::local::stream_protocol;

constexpr std::size_t kMaxQueued = 32u << 20;  // bytes of answers that a client has not read
constexpr int kBacklog = 512;
constexpr std::chrono::milliseconds kAcceptPause{100};

bool may(const Roles& roles, Role needed) {
  switch (needed) {
    case Role::kAny:
      return true;
    case Role::kHost:
      return roles.host;
    case Role::kOperator:
      return roles.operator_;
    case Role::kEither:
      return roles.host || roles.operator_;
  }
  return false;
}

const char* name_of(Role role) {
  switch (role) {
    case Role::kHost:
      return "host";
    case Role::kOperator:
      return "operator";
    default:
      return "host or operator";
  }
}

// A Unix socket bound to a path of any length (through the directory's descriptor, unix(7)).
UniqueFd bind_unix(const std::string& path, mode_t mode) {
  const std::filesystem::path whole(path);
  const UniqueFd folder(::open(whole.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) throw_errno("open", whole.parent_path().string());
  const std::string name = whole.filename().string();
  if (::unlinkat(folder.get(), name.c_str(), 0) != 0 && errno != ENOENT)
    throw_errno("unlink", path);

  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string reachable = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + name;
  if (reachable.size() >= sizeof address.sun_path) throw_errno(ENAMETOOLONG, "bind", path);
  std::memcpy(address.sun_path, reachable.c_str(), reachable.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw_errno("socket");
  // The mode of the socket file comes from the umask; there is no moment in which it is wider.
  const mode_t before = ::umask(static_cast<mode_t>(~mode & 0777u));
  const int bound =
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::umask(before);
  if (bound != 0) throw_errno(error, "bind", path);
  if (::listen(socket.get(), kBacklog) != 0) throw_errno("listen", path);
  return socket;
}

// The other half is for calls, the log and the registry.
std::size_t connection_limit() {
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) != 0) throw_errno("getrlimit", "RLIMIT_NOFILE");
  return std::min<std::size_t>(Server::kMaxConnections, descriptors.rlim_cur / 2);
}

rpc::Error error_of(const UserError& error, int code) {
  rpc::Error out{code, error.what(), {}};
  if (!error.remedy().empty()) out.data = {{"remedy", error.remedy()}};
  return out;
}

}  // namespace

MethodError::MethodError(int code, const std::string& message, const std::string& remedy)
    : MethodError(rpc::Error{code, message, remedy.empty() ? Json() : Json{{"remedy", remedy}}}) {}

MethodError::MethodError(rpc::Error error)
    : std::runtime_error(error.message), error_(std::move(error)) {}

Connection::Connection(std::uint64_t number, Peer who, Roles allowed,
                       stream_protocol::socket socket)
    : id(number), peer(who), roles(allowed), socket_(std::move(socket)) {}

void Connection::send(const Json& message, std::vector<UniqueFd> fds) {
  if (!socket_.is_open()) return;
  Outgoing out{dump_json(message) + "\n", std::move(fds)};
  queued_bytes_ += out.line.size();
  if (queued_bytes_ > kMaxQueued) return close();
  // Lines that go out together wake the client once.
  if (!writing_ && !queue_.empty() && queue_.back().fds.empty() && out.fds.empty()) {
    queue_.back().line += out.line;
  } else {
    queue_.push_back(std::move(out));
  }
  if (writing_ || std::exchange(scheduled_, true)) return;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->scheduled_ = false;
    self->flush();
  });
}

void Connection::flush() {
  if (writing_ || write_some()) return;
  writing_ = true;
  asio::co_spawn(
      socket_.get_executor(), [self = shared_from_this()] { return self->write_queue(); },
      asio::detached);
}

void Connection::close() {
  std::error_code ignored;
  socket_.shutdown(stream_protocol::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

asio::awaitable<void> Connection::write_queue() {
  std::error_code error;
  do {
    co_await socket_.async_wait(stream_protocol::socket::wait_write,
                                asio::redirect_error(asio::use_awaitable, error));
  } while (!error && !write_some());
  writing_ = false;
}

// False when the client must read before more can be written.
bool Connection::write_some() {
  while (!queue_.empty() && socket_.is_open()) {
    Outgoing& out = queue_.front();
    std::vector<int> numbers;
    for (const auto& fd : out.fds) numbers.push_back(fd.get());
    const ssize_t sent = send_with_fds(socket_.native_handle(), out.line, numbers, MSG_DONTWAIT);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (sent < 0) {
      close();
      break;
    }
    out.fds.clear();
    queued_bytes_ -= static_cast<std::size_t>(sent);
    out.line.erase(0, static_cast<std::size_t>(sent));
    if (out.line.empty()) queue_.pop_front();
  }
  return true;
}

Server::Server(asio::io_context& context, std::map<std::string, Method> methods, Hooks hooks)
    : context_(context),
      methods_(std::move(methods)),
      hooks_(std::move(hooks)),
      acceptor_(context),
      max_connections_(connection_limit()) {}

void Server::listen(const std::string& path, bool everyone) {
  acceptor_.assign(stream_protocol(), bind_unix(path, everyone ? 0666 : 0600).release());
  path_ = path;
  asio::co_spawn(context_, accept_loop(), asio::detached);
}

void Server::stop() {
  std::error_code ignored;
  acceptor_.close(ignored);
  if (!path_.empty()) ::unlink(path_.c_str());
  for (auto& [id, connection] : connections_) {
    const auto alive = connection.lock();
    if (!alive) continue;
    alive->flush();
    alive->close();
  }
}

asio::awaitable<void> Server::accept_loop() {
  while (acceptor_.is_open()) {
    std::error_code error;
    auto socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) co_return;
    if (error) {
      // Out of descriptors: the waiting peer stays in the backlog; do not spin on it.
      spdlog::warn("accept: {}", error.message());
      asio::steady_timer pause(context_, kAcceptPause);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    admit(std::move(socket));
  }
}

// Whether one more connection can be taken: where all places are taken, the oldest connection that
// has not said hello gives up its own, so that whoever only connects keeps nobody out.
bool Server::make_room() {
  if (connections_.size() < max_connections_) return true;
  for (auto place = connections_.begin(); place != connections_.end(); ++place) {
    const auto connection = place->second.lock();
    if (connection && connection->greeted_) continue;
    if (connection) connection->close();
    connections_.erase(place);
    return true;
  }
  return false;
}

void Server::admit(stream_protocol::socket socket) {
  try {
    socket.non_blocking(true);
    const Peer peer = peer_of(socket.native_handle());
    const Roles roles = hooks_.roles(peer);
    auto connection =
        std::make_shared<Connection>(++last_connection_, peer, roles, std::move(socket));
    rpc::Error refusal{0, "", {}};
    if (roles.none()) {
      refusal.code = rpc::kForbidden;
      refusal.message = peer.same_namespaces
                            ? "User id " + std::to_string(peer.uid) + " has no role here"
                            : "The peer lives in another user or pid namespace";
      hooks_.refused(peer, refusal.message);
      if (peer.same_namespaces) {
        refusal.message += ". The configuration names who has, under \"hosts\" and \"operators\"";
      }
    } else if (!make_room()) {
      refusal.code = rpc::kUnavailable;
      refusal.message = "Too many connections";
    }
    if (refusal.code != 0) {
      const std::string line = dump_json(rpc::error_response(nullptr, refusal)) + "\n";
      send_with_fds(connection->socket_.native_handle(), line, {}, MSG_DONTWAIT);
      connection->close();
      return;
    }
    connections_[connection->id] = connection;
    asio::co_spawn(context_, serve(std::move(connection)), asio::detached);
  } catch (const std::exception& error) {
    spdlog::warn("a peer was turned away: {}", error.what());
  }
}

asio::awaitable<void> Server::serve(std::shared_ptr<Connection> connection) {
  rpc::LineReader lines;
  std::error_code error;
  while (connection->open()) {
    co_await connection->socket_.async_wait(stream_protocol::socket::wait_read,
                                            asio::redirect_error(asio::use_awaitable, error));
    if (error || !take_block(connection, lines)) break;
  }
  // Answers that are on their way still go out; then the socket is closed.
  connection->flush();
  while (connection->open() && connection->writing_ && !error) {
    co_await connection->socket_.async_wait(stream_protocol::socket::wait_write,
                                            asio::redirect_error(asio::use_awaitable, error));
    if (connection->queue_.empty()) break;
  }
  connection->close();
  connections_.erase(connection->id);
  hooks_.closed(connection->id);
}

bool Server::take_block(const std::shared_ptr<Connection>& connection, rpc::LineReader& lines) {
  std::vector<UniqueFd> fds;
  const ssize_t got = recv_with_fds(connection->socket_.native_handle(), block_.data(),
                                    block_.size(), fds, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
  const bool cut = got < 0 && errno == EMSGSIZE;
  if (got <= 0 && !cut) return false;
  for (auto& fd : fds) connection->fds_.push_back(std::move(fd));
  if (cut || connection->fds_.size() > kMaxPassedFds ||
      !lines.append({block_.data(), static_cast<std::size_t>(got)})) {
    connection->send(rpc::error_response(
        nullptr, {rpc::kInvalidRequest,
                  "A line is longer than 8 MiB, or carries too many descriptors",
                  {}}));
    return false;
  }
  for (auto line = lines.next(); line;) {
    auto following = lines.next();
    // The kernel ends a read behind the message that brought descriptors (unix(7)), so what nobody
    // has claimed came with the last line.
    const bool last = !following && !lines.partial();
    on_line(connection, *line, last);
    if (last) connection->fds_.clear();
    line = std::move(following);
  }
  return true;
}

void Server::on_line(const std::shared_ptr<Connection>& connection, const std::string& line,
                     bool last) {
  if (!connection->open()) return;
  const auto reject = [&](const Json& id, int code, const std::string& why) {
    connection->send(rpc::error_response(id, {code, why, {}}));
  };
  Json message;
  try {
    message = parse_json(line, "request", {rpc::kMaxLine, rpc::kMaxDepth});
  } catch (const UserError& error) {
    return reject(nullptr, rpc::kParseError, error.what());
  }
  if (!message.is_object() || message.value("jsonrpc", Json()) != "2.0" ||
      !message.value("method", Json()).is_string()) {
    return reject(nullptr, rpc::kInvalidRequest, "Not a JSON-RPC 2.0 request");
  }
  const Json id = message.value("id", Json());
  if (!id.is_number_integer() && !id.is_string()) {
    return reject(nullptr, rpc::kInvalidRequest, "The request has no integer or string id");
  }
  const auto name = message["method"].get<std::string>();
  Json params = message.value("params", Json::object());
  const auto found = methods_.find(name);
  if (found == methods_.end()) {
    return reject(id, rpc::kMethodNotFound, "There is no method \"" + printable(name) + "\"");
  }
  const Method& method = found->second;
  if (!may(connection->roles, method.role)) {
    const std::string refusal = name + " needs the role " + name_of(method.role);
    hooks_.refused(connection->peer, refusal);
    return reject(id, rpc::kForbidden, refusal);
  }
  if (!params.is_object()) return reject(id, rpc::kInvalidParams, "params: expected an object");
  for (const auto& item : params.items()) {
    if (std::find(method.params.begin(), method.params.end(), item.key()) == method.params.end()) {
      return reject(id, rpc::kInvalidParams,
                    name + ": unknown member \"" + printable(item.key()) + "\"");
    }
  }
  if (!method.takes_fds && last && !connection->fds_.empty()) {
    return reject(id, rpc::kInvalidRequest, name + " takes no descriptors");
  }
  if (connection->in_flight_ >= kMaxInFlight) {
    return reject(id, rpc::kUnavailable, "Too many requests of this connection are unanswered");
  }
  MethodCall request{connection, std::move(params), {}};
  if (method.takes_fds) {
    while (!connection->fds_.empty()) {
      request.fds.push_back(std::move(connection->fds_.front()));
      connection->fds_.pop_front();
    }
  }
  ++connection->in_flight_;
  asio::co_spawn(context_, answer(connection, id, &method, std::move(request)), asio::detached);
}

asio::awaitable<void> Server::answer(std::shared_ptr<Connection> connection, Json id,
                                     const Method* method, MethodCall request) {
  Json reply;
  try {
    // Not before: a client need not wait for the answer to its hello.
    if (!connection->greeted_ && method != &methods_.at("hello")) {
      throw MethodError(rpc::kVersion, "The first request must be hello");
    }
    reply = rpc::response(id, co_await method->run(std::move(request)));
    connection->greeted_ = true;
  } catch (const MethodError& error) {
    reply = rpc::error_response(id, error.error());
  } catch (const UserError& error) {
    reply = rpc::error_response(id, error_of(error, rpc::kInvalidParams));
  } catch (const std::exception& error) {
    spdlog::error("a request failed: {}", error.what());
    reply = rpc::error_response(id, {rpc::kInternalError, error.what(), {}});
  }
  --connection->in_flight_;
  connection->send(reply);
}

}  // namespace sharkcage
