#include "supervisor/sandbox/facade_protocol.h"

#include <sys/stat.h>

namespace sharkcage::sandbox {
namespace {

// Nobody inside has this id, so it shows as "nobody", like the system's own files.
constexpr std::uint32_t kSystemId = 0;

void set_time(std::int64_t time, std::uint64_t& seconds, std::uint32_t& nanoseconds) {
  seconds = static_cast<std::uint64_t>(time / 1'000'000'000);
  nanoseconds = static_cast<std::uint32_t>(time % 1'000'000'000);
}

}  // namespace

fuse_attr attributes_of(const Node& node, std::uint64_t blocks, Owner user) {
  fuse_attr out{};
  out.ino = node.id;
  out.size = node.size;
  out.blocks = blocks;
  set_time(node.accessed, out.atime, out.atimensec);
  set_time(node.modified, out.mtime, out.mtimensec);
  set_time(node.changed, out.ctime, out.ctimensec);
  out.mode = node.mode;
  out.nlink = node.links;
  // A mask belongs to the user, too: where an owner is nobody, the kernel refuses to write without
  // asking. It is on a read-only mount, so that nobody gives himself rights.
  out.uid = node.home || node.mask ? user.uid : kSystemId;
  out.gid = node.home || node.mask ? user.gid : kSystemId;
  out.blksize = kBlockSize;
  return out;
}

void EntryList::add(std::string_view name, const Node& node, std::uint64_t order,
                    const fuse_entry_out& entry) {
  fuse_direntplus out{};
  out.entry_out = entry;
  out.dirent.ino = node.id;
  out.dirent.off = order;
  out.dirent.namelen = static_cast<std::uint32_t>(name.size());
  out.dirent.type = (node.mode & S_IFMT) >> 12;
  const auto* begin =
      plus_ ? reinterpret_cast<const char*>(&out) : reinterpret_cast<const char*>(&out.dirent);
  text_.append(begin, head());
  text_.append(name);
  text_.append(size_of(name) - head() - name.size(), '\0');
}

}  // namespace sharkcage::sandbox
