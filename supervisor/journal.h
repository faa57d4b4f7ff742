// The audit log, as the event loop sees it.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "audit/log.h"
#include "common/fd.h"

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
  void wait_for_told();
  void take_told();
  void fail(const std::string& why);

  // What the log's thread has told and the loop has not heard yet. It may outlive the journal.
  struct Told {
    struct Record {
      std::function<void(std::string, audit::Committed)> done;
      std::string error;
      audit::Committed place;
    };
    void add(Record record);

    UniqueFd wake;  // an eventfd
    std::mutex mutex;
    std::vector<Record> records;
  };

  audit::Log& log_;
  std::function<void(std::string)> failed_;
  std::shared_ptr<Told> told_;
  asio::posix::stream_descriptor wake_;
  bool has_failed_ = false;
  std::uint64_t appended_ = 0;
  std::uint64_t committed_ = 0;
  std::vector<std::pair<std::uint64_t, std::function<void()>>> waiting_;
};

}  // namespace sharkcage
