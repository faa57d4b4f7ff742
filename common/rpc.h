// JSON-RPC 2.0, one object a line, over a Unix stream socket (docs/protocol.md).
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/fd.h"
#include "common/json.h"
#include "common/places.h"

namespace sharkcage::rpc {

inline constexpr int kProtocolVersion = 1;
inline constexpr std::size_t kMaxLine = 8u << 20;
inline constexpr std::size_t kMaxDepth = 64;

// JSON-RPC's own codes, and ours from -32000 downwards.
enum Code : int {
  kParseError = -32700,
  kInvalidRequest = -32600,
  kMethodNotFound = -32601,
  kInvalidParams = -32602,
  kInternalError = -32603,
  kBlocked = -32001,        // the verdict is block
  kForbidden = -32002,      // the peer's role does not allow this method
  kNotFound = -32003,       // no such skill, call, request …
  kUnavailable = -32004,    // a part of the supervisor is missing: nothing was done
  kSandboxFailed = -32005,  // the sandbox could not be made
  kVersion = -32006,        // no common protocol version, or no hello
};

// An error as it goes over the wire: `data` may hold {"remedy": "…"} and details.
struct Error {
  int code = kInternalError;
  std::string message;
  Json data;
};

Json request(std::int64_t id, std::string_view method, Json params);
Json notification(std::string_view method, Json params);
Json response(const Json& id, Json result);
Json error_response(const Json& id, const Error& error);

// Cuts a byte stream into lines. `append` returns false once a line exceeds `kMaxLine`; the stream
// is then lost. Not thread-safe.
class LineReader {
 public:
  bool append(std::string_view bytes);
  // The next whole line without its newline.
  std::optional<std::string> next();
  // Bytes of a line that has begun and not ended.
  bool partial() const { return start_ < buffer_.size(); }

 private:
  std::string buffer_;
  std::size_t start_ = 0;
  std::size_t scanned_ = 0;
};

// Connects to a socket path of any length (through /proc/self/fd where it exceeds sun_path).
// Throws system_error.
UniqueFd connect_unix(const std::string& path);

// A refusal by the supervisor, as an exception for clients.
class RemoteError : public std::runtime_error {
 public:
  explicit RemoteError(Error error) : std::runtime_error(error.message), error_(std::move(error)) {}
  const Error& error() const { return error_; }

 private:
  Error error_;
};

// A blocking client for the command line and for tests. One thread at a time.
class Client {
 public:
  // Connects and checks that the server is run by root or by this user. The hello goes out together
  // with the first request, whose call also throws what it is answered with. Throws UserError with
  // the remedy when no supervisor answers.
  static Client connect(const Places& places, std::string_view name);

  explicit Client(UniqueFd socket) : socket_(std::move(socket)) {}

  // Goes on for a program that sent its hello and one request, with the ids 1 and 2, and received
  // these bytes. `answer` waits for the response to that request, like `call`.
  static Client resume(UniqueFd socket, std::string_view received);
  Json answer();

  // Sends a request and waits for its response; notifications that arrive before it are kept for
  // `next_notification`. Throws RemoteError, and UserError when the connection ends.
  Json call(std::string_view method, Json params, std::span<const int> fds = {});

  // The next notification: {"method": …, "params": …}; nothing at end of file.
  std::optional<Json> next_notification();

  // Sends without waiting.
  void notify(std::string_view method, Json params);

  // Sends a request whose answer nobody waits for; `take_notification` returns it with the rest.
  void post(std::string_view method, Json params);

  // Descriptors that came with the messages so far, oldest first.
  std::deque<UniqueFd>& received_fds() { return fds_; }

  int fd() const { return socket_.get(); }
  // Reads what has arrived without blocking; false at end of file.
  bool pump();
  // A notification that is already here.
  std::optional<Json> take_notification();

 private:
  std::optional<Json> read_message();
  void send(const Json& message, std::span<const int> fds);
  bool receive(int flags);
  void take(std::string_view bytes);

  UniqueFd socket_;
  LineReader lines_;
  std::deque<Json> messages_;
  std::deque<UniqueFd> fds_;
  std::int64_t last_id_ = 0;
  std::string greeting_;  // the line that has not been sent yet
  std::int64_t greeting_id_ = 0;
};

}  // namespace sharkcage::rpc
