#include "audit/chain.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <map>
#include <mutex>
#include <thread>

#include "audit/store.h"

namespace sharkcage::audit {
namespace {

// Records that a thread takes at a time.
constexpr std::uint64_t kChunk = 16384;

// What is known of one chunk. Its link to the chunk before is checked when both are done.
struct Chunk {
  std::string first_prev;
  std::string last_hash;
  std::optional<std::uint64_t> bad;
  std::uint64_t good = 0;
  std::uint64_t blocked = 0;
  std::vector<RecoveredTail> recovered;
};

void note_recovery(const Row& row, std::vector<RecoveredTail>& recovered) {
  const Record record = to_record(row);
  const auto number = [&](const char* name) {
    const auto found = record.payload.find(name);
    return found != record.payload.end() && found->is_number_unsigned()
               ? found->get<std::uint64_t>()
               : std::uint64_t{0};
  };
  if (number("first") > 0) recovered.push_back({number("first"), number("last"), record.seq});
}

class Checker {
 public:
  Checker(std::string path, std::uint64_t last, const VerifyOptions& options)
      : path_(std::move(path)), last_(last), options_(options) {}

  ChainResult run() {
    const std::uint64_t chunks = (last_ + kChunk - 1) / kChunk;
    const unsigned wanted =
        options_.threads > 0 ? options_.threads : std::max(1u, std::thread::hardware_concurrency());
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < wanted && i < chunks; ++i) {
      threads.emplace_back([this] { work(false); });
    }
    work(true);
    for (std::thread& thread : threads) thread.join();
    if (error_) std::rethrow_exception(error_);
    return join();
  }

 private:
  void work(bool report) {
    try {
      const auto database = open_readable(path_);
      Cursor cursor(*database, std::string("SELECT ") + kColumns +
                                   " FROM records WHERE seq BETWEEN ? AND ? ORDER BY seq");
      Hasher hasher;
      while (const std::uint64_t first = take()) {
        const std::uint64_t last = std::min(last_, first + kChunk - 1);
        put(first, check(cursor, hasher, first, last));
        if (report && options_.progress) options_.progress(done(), last_);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      next_ = last_ + 1;
    }
  }

  // The first record of the next chunk, 0 when there is none.
  std::uint64_t take() {
    const std::lock_guard lock(mutex_);
    if (next_ > last_) return 0;
    const std::uint64_t first = next_;
    next_ = last_ - first < kChunk ? last_ + 1 : first + kChunk;
    return first;
  }

  void put(std::uint64_t first, Chunk chunk) {
    const std::lock_guard lock(mutex_);
    if (chunk.bad) next_ = last_ + 1;  // what comes later is of no interest
    done_ += chunk.good;
    chunks_.emplace(first, std::move(chunk));
  }

  std::uint64_t done() {
    const std::lock_guard lock(mutex_);
    return done_;
  }

  static Chunk check(Cursor& cursor, Hasher& hasher, std::uint64_t first, std::uint64_t last) {
    Chunk chunk;
    std::string text;
    std::uint64_t expected = first;
    cursor.reset();
    // Numbers below 1 belong to nobody: the first chunk meets them.
    cursor.bind(1, first == 1 ? std::numeric_limits<std::int64_t>::min()
                              : static_cast<std::int64_t>(first));
    cursor.bind(2, static_cast<std::int64_t>(last));
    while (cursor.step()) {
      const Row row = cursor.row();
      text.clear();
      append_canonical(text, row);
      if (row.seq != static_cast<std::int64_t>(expected) || hasher.hex(text) != row.hash ||
          (expected != first && row.prev_hash != chunk.last_hash)) {
        break;
      }
      if (expected == first) chunk.first_prev = row.prev_hash;
      chunk.last_hash = row.hash;
      if (row.decision == "block" || payload_refuses(row.payload)) ++chunk.blocked;
      if (row.kind == "recovery") note_recovery(row, chunk.recovered);
      ++expected;
    }
    chunk.good = expected - first;
    if (expected <= last) chunk.bad = expected;
    return chunk;
  }

  ChainResult join() const {
    ChainResult result;
    std::string link(kNoHash);
    for (const auto& [first, chunk] : chunks_) {
      if (chunk.good > 0 && chunk.first_prev != link) {
        result.bad = first;
        break;
      }
      result.good += chunk.good;
      result.blocked += chunk.blocked;
      result.recovered.insert(result.recovered.end(), chunk.recovered.begin(),
                              chunk.recovered.end());
      if (chunk.bad) {
        result.bad = chunk.bad;
        break;
      }
      link = chunk.last_hash;
    }
    return result;
  }

  const std::string path_;
  const std::uint64_t last_;
  const VerifyOptions& options_;
  std::mutex mutex_;
  std::uint64_t next_ = 1;
  std::uint64_t done_ = 0;
  std::map<std::uint64_t, Chunk> chunks_;
  std::exception_ptr error_;
};

}  // namespace

ChainResult check_chain(const std::string& path, std::uint64_t last, const VerifyOptions& options) {
  return Checker(path, last, options).run();
}

}  // namespace sharkcage::audit
