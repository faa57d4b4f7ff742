#include "audit/seal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "audit/log.h"
#include "common/bytes.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage::audit {
namespace {

// What is signed begins with its purpose, so that no other signature of this key can pass for it.
constexpr std::string_view kPurpose = "sharkcage audit seal 1\n";
// One sector: a write of it is done as a whole or not at all.
constexpr std::size_t kSealText = 512;
// A read that falls into a write sees halves of two seals; the next one does not.
constexpr int kReadTries = 20;

// {"hash":…,"seq":…,"time":…} NEWLINE base64 signature NEWLINE, filled up with zeros.
std::string encode(const Head& head, const Key& key) {
  const std::string body = canonical_json({{"hash", head.hash},
                                           {"seq", head.seq},
                                           {"time", rfc3339(std::chrono::system_clock::now())}});
  std::string text = body + "\n" + base64_encode(key.sign(std::string(kPurpose) + body)) + "\n";
  if (text.size() > kSealText) throw LogError("a seal that is too large");
  text.resize(kSealText, '\0');
  return text;
}

bool is_blank(std::string_view slot) {
  return slot.find_first_not_of('\0') == std::string_view::npos;
}

std::optional<Seal> decode(std::string_view slot, const Key& key) {
  const std::size_t first = slot.find('\n');
  const std::size_t second = first == std::string_view::npos ? first : slot.find('\n', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const std::string body(slot.substr(0, first));
  try {
    const std::string signature = bytes_from_json(
        Json{{"b64", std::string(slot.substr(first + 1, second - first - 1))}}, "signature");
    if (!key.verifies(std::string(kPurpose) + body, signature)) return std::nullopt;
    const Json value = parse_json(body, "seal");
    return Seal{{value.at("seq").get<std::uint64_t>(), value.at("hash").get<std::string>()},
                value.at("time").get<std::string>()};
  } catch (const UserError&) {
    return std::nullopt;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

SealState read_once(int fd, const Key& key) {
  SealState state;
  std::string file(kSealSlots * kSealBlock, '\0');
  const ssize_t got = ::pread(fd, file.data(), file.size(), 0);
  if (got < 0) throw_errno("read", "the seal");
  state.present = static_cast<std::size_t>(got) == file.size();
  for (std::size_t i = 0; state.present && i < kSealSlots; ++i) {
    const std::string_view slot = std::string_view(file).substr(i * kSealBlock, kSealText);
    if (is_blank(slot)) continue;
    const std::optional<Seal> seal = decode(slot, key);
    if (!seal) {
      state.forged = true;
    } else if (!state.seal || seal->head.seq >= state.seal->head.seq) {
      state.seal = seal;
    }
  }
  return state;
}

}  // namespace

SealState read_seal(const std::string& path, const Key& key) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) {
    if (errno == ENOENT) return {};
    throw_errno("open", path);
  }
  SealState state = read_once(fd.get(), key);
  for (int i = 1; i < kReadTries && state.forged; ++i) state = read_once(fd.get(), key);
  return state;
}

void SealFile::create(const std::string& path, const Key& key, const Head& head) {
  std::string file = encode(head, key);
  file.resize(kSealSlots * kSealBlock, '\0');
  write_file_atomically(path, file, 0600);
}

SealFile::SealFile(std::string path, Key key)
    : path_(std::move(path)),
      key_(std::move(key)),
      fd_(::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)) {
  if (!fd_) throw_errno("open", path_);
  // Whichever slot holds the newest seal is the one to keep.
  std::uint64_t newest = 0;
  for (std::size_t i = 0; i < kSealSlots; ++i) {
    std::string slot(kSealText, '\0');
    if (::pread(fd_.get(), slot.data(), slot.size(), static_cast<off_t>(i * kSealBlock)) < 0) {
      throw_errno("read", path_);
    }
    const std::optional<Seal> seal = decode(slot, key_);
    if (seal && seal->head.seq >= newest) {
      newest = seal->head.seq;
      durable_ = i;
    }
  }
  current_ = (durable_ + 1) % kSealSlots;
  // It may be in the page cache only: a process that was killed does not flush.
  if (::fdatasync(fd_.get()) != 0) throw_errno("fdatasync", path_);
}

std::string SealFile::sign(const Head& head) const {
  return encode(head, key_);
}

void SealFile::write(const std::string& seal) {
  struct stat by_name {};
  struct stat by_fd {};
  if (::fstat(fd_.get(), &by_fd) != 0) throw_errno("fstat", path_);
  if (::lstat(path_.c_str(), &by_name) != 0) throw_errno("lstat", path_);
  if (by_name.st_ino != by_fd.st_ino || by_name.st_dev != by_fd.st_dev) {
    throw LogError("the seal " + path_ + " was replaced by another file while the log was open");
  }
  const std::lock_guard lock(mutex_);
  const auto offset = static_cast<off_t>(current_ * kSealBlock);
  const ssize_t wrote = ::pwrite(fd_.get(), seal.data(), seal.size(), offset);
  if (wrote < 0) throw_errno("write", path_);
  if (static_cast<std::size_t>(wrote) != seal.size()) throw LogError(path_ + ": short write");
  dirty_ = true;
}

void SealFile::flush() {
  std::size_t slot = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!dirty_ || flushing_) return;
    slot = current_;
    flushing_ = slot;
    dirty_ = false;
    current_ = kSealSlots - durable_ - slot;  // of 0, 1, 2 the one that is neither
  }
  const int result = ::fdatasync(fd_.get());
  const int error = errno;
  const std::lock_guard lock(mutex_);
  flushing_.reset();
  // After a failed flush the kernel forgets which pages were dirty (fsync(2)): trying again proves
  // nothing, the log must stop.
  if (result != 0) throw_errno(error, "fdatasync", path_);
  durable_ = slot;
}

}  // namespace sharkcage::audit
