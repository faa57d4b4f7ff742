// Requests and answers of the kernel's FUSE protocol (linux/fuse.h, fuse(4)).
#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/errors.h"
#include "supervisor/sandbox/facade_tree.h"

namespace sharkcage::sandbox {

inline constexpr std::uint32_t kBlockSize = 4096;

struct Request {
  const fuse_in_header* header;
  std::string_view rest;

  // The next fixed part. A shorter request is no request of the kernel.
  template <typename Part>
  const Part& take() {
    if (rest.size() < sizeof(Part)) throw UserError("a request of the kernel is cut short");
    const auto* part = reinterpret_cast<const Part*>(rest.data());
    rest.remove_prefix(sizeof(Part));
    return *part;
  }

  std::string_view take_name() {
    const std::size_t end = rest.find('\0');
    if (end == std::string_view::npos) throw UserError("a name in a request has no end");
    const std::string_view name = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return name;
  }
};

// Of the sandbox's user, inside.
struct Owner {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

// `blocks`: in units of 512 bytes.
fuse_attr attributes_of(const Node& node, std::uint64_t blocks, Owner user);

// The answer to FUSE_READDIR and, with what a look-up of each would answer, FUSE_READDIRPLUS.
class EntryList {
 public:
  EntryList(std::size_t room, bool plus) : room_(room), plus_(plus) {}

  bool fits(std::string_view name) const { return text_.size() + size_of(name) <= room_; }
  // `order`: where a reader continues after it. `entry` counts with `plus` only.
  void add(std::string_view name, const Node& node, std::uint64_t order,
           const fuse_entry_out& entry);
  const std::string& text() const { return text_; }

 private:
  std::size_t head() const { return plus_ ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET; }
  std::size_t size_of(std::string_view name) const {
    return FUSE_DIRENT_ALIGN(head() + name.size());
  }

  const std::size_t room_;
  const bool plus_;
  std::string text_;
};

}  // namespace sharkcage::sandbox
