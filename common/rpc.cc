#include "common/rpc.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "common/errors.h"
#include "common/peer.h"

namespace sharkcage::rpc {

Json request(std::int64_t id, std::string_view method, Json params) {
  return {{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", std::move(params)}};
}

Json notification(std::string_view method, Json params) {
  return {{"jsonrpc", "2.0"}, {"method", method}, {"params", std::move(params)}};
}

Json response(const Json& id, Json result) {
  return {{"jsonrpc", "2.0"}, {"id", id}, {"result", std::move(result)}};
}

namespace {

// An error may quote what it is about, which may be as long as a line. People read less.
constexpr std::size_t kMaxMessage = 4096;

std::string shortened(const std::string& text) {
  if (text.size() <= kMaxMessage) return text;
  std::size_t end = kMaxMessage;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;  // UTF-8
  return text.substr(0, end) + " …";
}

}  // namespace

Json error_response(const Json& id, const Error& error) {
  Json body = {{"code", error.code}, {"message", shortened(error.message)}};
  if (!error.data.is_null()) body["data"] = error.data;
  return {{"jsonrpc", "2.0"}, {"id", id}, {"error", std::move(body)}};
}

bool LineReader::append(std::string_view bytes) {
  if (start_ > 0) {
    buffer_.erase(0, start_);
    scanned_ -= start_;
    start_ = 0;
  }
  buffer_.append(bytes);
  const std::size_t end = buffer_.find('\n', scanned_);
  return (end == std::string::npos ? buffer_.size() : end) <= kMaxLine;
}

std::optional<std::string> LineReader::next() {
  const std::size_t end = buffer_.find('\n', std::max(scanned_, start_));
  if (end == std::string::npos) {
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  std::string line = buffer_.substr(start_, end - start_);
  start_ = end + 1;
  scanned_ = start_;
  return line;
}

UniqueFd connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  UniqueFd folder;
  std::string name = path;
  if (name.size() >= sizeof address.sun_path) {
    const std::filesystem::path whole(path);
    folder.reset(::open(whole.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) throw_errno("open", whole.parent_path().string());
    name = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + whole.filename().string();
    if (name.size() >= sizeof address.sun_path) throw_errno(ENAMETOOLONG, "connect", path);
  }
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw_errno("connect", path);
  }
  return socket;
}

namespace {

[[noreturn]] void throw_remote(const Json& message) {
  const Json& body = message.at("error");
  throw RemoteError({body.value("code", static_cast<int>(kInternalError)),
                     body.value("message", std::string("unknown error")),
                     body.value("data", Json())});
}

// The kernel compares their number with the sender's limit of open files (unix(7)).
bool raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return false;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

}  // namespace

Client Client::connect(const Places& places, std::string_view name) {
  UniqueFd socket;
  try {
    socket = connect_unix(places.socket());
  } catch (const std::system_error& error) {
    throw UserError("The supervisor does not answer at " + places.socket() + " (" +
                        error.code().message() + ")",
                    "Start it with: sc start");
  }
  const Peer server = peer_of(socket.get());
  if (server.uid != 0 && server.uid != ::geteuid()) {
    throw UserError("The socket " + places.socket() + " is served by user id " +
                        std::to_string(server.uid) + ", neither root nor you",
                    "Somebody else put it there: remove it and start your own with: sc start");
  }
  Client client(std::move(socket));
  client.greeting_ = dump_json(request(client.greeting_id_ = ++client.last_id_, "hello",
                                       {{"client", name}, {"versions", {kProtocolVersion}}})) +
                     "\n";
  return client;
}

void Client::send(const Json& message, std::span<const int> fds) {
  std::string line = std::exchange(greeting_, {});
  line += dump_json(message);
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    ssize_t sent = send_with_fds(socket_.get(), rest, fds);
    // Too many descriptors of this user are on their way, of whatever program.
    if (sent < 0 && errno == ETOOMANYREFS && raise_descriptor_limit()) {
      sent = send_with_fds(socket_.get(), rest, fds);
    }
    if (sent < 0) {
      const int error = errno;
      // A server that turned us away has said why, behind what it had answered before. Of any other
      // error it knows nothing, and would be waited for in vain.
      while (error == EPIPE || error == ECONNRESET) {
        const auto last = read_message();
        if (!last) break;
        if (last->contains("error")) throw_remote(*last);
      }
      throw UserError(std::string("Nothing could be sent to the supervisor (") +
                      std::strerror(error) + ")");
    }
    fds = {};
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
}

bool Client::receive(int flags) {
  char block[65536];
  std::vector<UniqueFd> fds;
  ssize_t got = recv_with_fds(socket_.get(), block, sizeof block, fds, flags);
  // A server that closed with a request of ours unread resets the connection. The error is told
  // once, before what it had sent.
  if (got < 0 && errno == ECONNRESET) {
    got = recv_with_fds(socket_.get(), block, sizeof block, fds, flags);
  }
  for (auto& fd : fds) fds_.push_back(std::move(fd));
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
  if (got <= 0) return false;
  take({block, static_cast<std::size_t>(got)});
  return true;
}

void Client::take(std::string_view bytes) {
  if (!lines_.append(bytes)) {
    throw UserError("The supervisor sent a line longer than the protocol allows");
  }
  while (auto line = lines_.next()) {
    messages_.push_back(parse_json(*line, "the supervisor's answer", {kMaxLine, kMaxDepth}));
  }
}

Client Client::resume(UniqueFd socket, std::string_view received) {
  Client client(std::move(socket));
  client.greeting_id_ = 1;
  client.last_id_ = 2;
  client.take(received);
  return client;
}

std::optional<Json> Client::read_message() {
  while (messages_.empty()) {
    if (!receive(0)) return std::nullopt;
  }
  Json message = std::move(messages_.front());
  messages_.pop_front();
  return message;
}

Json Client::call(std::string_view method, Json params, std::span<const int> fds) {
  send(request(++last_id_, method, std::move(params)), fds);
  return answer();
}

Json Client::answer() {
  const std::int64_t id = last_id_;
  std::deque<Json> notifications;
  for (;;) {
    auto message = read_message();
    if (!message) throw UserError("The supervisor closed the connection before it answered");
    if (message->contains("method")) {
      notifications.push_back(std::move(*message));
      continue;
    }
    if (message->value("id", Json()) == Json(greeting_id_) && message->contains("error")) {
      throw_remote(*message);
    }
    // An error without an id answers a line that could not be read: ours, as nothing else was sent.
    if (message->value("id", Json()) != Json(id) && !message->value("id", Json()).is_null())
      continue;
    messages_.insert(messages_.begin(), std::make_move_iterator(notifications.begin()),
                     std::make_move_iterator(notifications.end()));
    if (message->contains("error")) throw_remote(*message);
    return message->value("result", Json());
  }
}

std::optional<Json> Client::next_notification() {
  return read_message();
}

std::optional<Json> Client::take_notification() {
  if (messages_.empty()) return std::nullopt;
  return read_message();
}

bool Client::pump() {
  return receive(MSG_DONTWAIT);
}

void Client::notify(std::string_view method, Json params) {
  send(notification(method, std::move(params)), {});
}

void Client::post(std::string_view method, Json params) {
  send(request(++last_id_, method, std::move(params)), {});
}

}  // namespace sharkcage::rpc
