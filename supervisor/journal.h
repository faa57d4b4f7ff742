// The audit log, as the event loop sees it.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "audit/log.h"

namespace sharkcage {

// Thrown by `write` when the record is not durable: what it would have allowed must not happen.
class JournalError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Used from the loop's thread only.
class Journal {
 public:
  // `failed` is called once, on the loop, when the log stops taking records.
  Journal(asio::io_context& context, audit::Log& log, std::function<void(std::string)> failed);

  // Resumes when the record is durable. `meanwhile` is called once the log has the record; it must
  // not throw. Throws JournalError.
  asio::awaitable<audit::Committed> write(audit::Record record,
                                          std::function<void()> meanwhile = {});

  // Appends without waiting, and so that others can share its way to the disk; a failure reaches
  // `failed`.
  void note(audit::Record record);

  // Resumes when everything that was appended before is durable (or has failed).
  asio::awaitable<void> settled();

 private:
  void append(audit::Record record, std::function<void(std::string, audit::Committed)> done,
              audit::Log::Haste haste);
  void fail(const std::string& why);

  asio::io_context& context_;
  audit::Log& log_;
  std::function<void(std::string)> failed_;
  bool has_failed_ = false;
  std::uint64_t appended_ = 0;
  std::uint64_t committed_ = 0;
  std::vector<std::pair<std::uint64_t, std::function<void()>>> waiting_;
};

}  // namespace sharkcage
