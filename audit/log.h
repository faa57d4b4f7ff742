// The audit log of one instance: append-only, hash-chained, its head sealed (docs/audit.md).
//
// One process at a time may hold it open. Records are written by one thread in groups: whatever
// waits when a group starts shares its transaction, its seal and its wait for the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "audit/record.h"
#include "common/places.h"

namespace sharkcage::audit {

// The log cannot take a record. `what()` says why and what to do. Whoever gets it must not go on
// with what it wanted to record.
class LogError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Where a record came to stand.
struct Committed {
  std::uint64_t seq = 0;
  std::string hash;
  std::string time;
};

struct LogOptions {
  // Records that may wait for the writer. One more is refused with LogError (back pressure).
  std::size_t max_queued = 65536;
  // Bytes of records that may wait, as an estimate.
  std::size_t max_queued_bytes = 256u << 20;
  // Records of one group at most.
  std::size_t max_group = 4096;
  // Applied to the reason and to every string of the payload, keys included. See audit/redact.h.
  // Called on the appending thread; must be safe to call from several at once.
  std::function<std::string(std::string_view)> redact;  // empty: redact_secrets
};

// What was found when the log was opened.
struct Opening {
  Head head;    // the last record before this opening
  Head sealed;  // what the seal said
  std::uint64_t unsealed =
      0;                 // records beyond the seal; the log then has a record of kind "recovery"
  bool created = false;  // there was no log before
};

class Log {
 public:
  using Done = std::function<void(std::exception_ptr, const Committed&)>;

  // Opens the log at `places`, whose directories must exist (create_places), or creates it:
  // database, key pair and seal, all of mode 0600. Records beyond the newest seal, which an unclean
  // stop or a forger can leave, get a record of kind "recovery" that names them before anything
  // else is appended. Throws UserError when another process holds the log, when the log does not
  // match its seal (it is not opened then: somebody has to look at it), or when a file is missing;
  // system_error, LogError when it cannot be read or written.
  explicit Log(const Places& places, LogOptions options = {});

  // Closes. See `close`.
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Queues one record; safe from any thread, does not wait for the disk. `done` is called once, on
  // the writer thread: with no exception once the record is durable and sealed, or with a LogError,
  // and then the record does not count as written. It must be quick and must not throw, and it must
  // not call append_and_wait or close. Records of one thread keep their order. Throws LogError,
  // without calling `done`: the log has failed or is closed, or the queue is full.
  //
  // Strings that are not UTF-8 become {"b64": "…"}, integers beyond 2^53 and numbers that are not
  // finite become strings, what is too large is cut, secrets are masked: no value makes this throw.
  //
  // `kSoon` is for records that nobody waits for: the writer takes them with the next that is
  // `kNow`, or after 2 ms, so that most of them share a wait for the disk.
  enum class Haste { kNow, kSoon };
  void append(Record record, Done done, Haste haste = Haste::kNow);
  // What is queued is wanted now.
  void hurry();

  // The same, and waits. Not from `done`. Throws LogError.
  Committed append_and_wait(Record record);

  // The newest record that is durable and sealed. Any thread.
  Head head() const;

  // Why the log refuses appends, or empty. It failed once and stays so until it is opened anew:
  // what the disk holds after a failed write is not known before it is read again. Any thread.
  std::string failure() const;

  const Opening& opening() const;

  // Writes what is queued, calls every `done`, ends the thread, closes the files. Idempotent. Later
  // appends are refused. Any thread but the writer's.
  void close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sharkcage::audit
