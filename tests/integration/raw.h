// A connection to the supervisor that may say anything.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/json.h"
#include "common/rpc.h"
#include "tests/integration/instance.h"

namespace sharkcage::testing {

class Raw {
 public:
  explicit Raw(const Instance& instance) : socket_(rpc::connect_unix(instance.places().socket())) {}

  int fd() const { return socket_.get(); }
  // Sends as much as the supervisor takes; less than all when it closed the connection.
  void send(std::string_view bytes);
  // One message with any number of descriptors attached.
  void send_with(std::string_view bytes, std::span<const int> fds);
  // The next line; nothing at the end of the connection.
  std::optional<Json> answer();
  // The code of the next line's error; 0 when it is a result or the connection's end.
  int error_code();
  bool is_closed() { return !answer().has_value(); }
  // `request` as a line, and its answer.
  Json ask(const Json& request);
  void say_hello();

 private:
  UniqueFd socket_;
  rpc::LineReader lines_;
};

}  // namespace sharkcage::testing
