#include "tests/unit/sandbox/silent_mount.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "common/errors.h"

namespace sharkcage::testing {
namespace {

void answer(int device, std::uint64_t request, int error, const void* body, std::size_t size) {
  std::vector<char> message(sizeof(fuse_out_header) + size);
  fuse_out_header header{};
  header.len = static_cast<std::uint32_t>(message.size());
  header.error = -error;
  header.unique = request;
  std::memcpy(message.data(), &header, sizeof header);
  if (size > 0) std::memcpy(message.data() + sizeof header, body, size);
  if (::write(device, message.data(), message.size()) < 0 && errno != ENOENT) {
    throw_errno("write", "/dev/fuse");
  }
}

fuse_attr directory(std::uint64_t inode) {
  fuse_attr attributes{};
  attributes.ino = inode;
  attributes.mode = S_IFDIR | 0777;
  attributes.nlink = 2;
  return attributes;
}

constexpr std::uint64_t kDirectory = FUSE_ROOT_ID + 1;

}  // namespace

bool SilentMount::possible() {
  return ::geteuid() == 0 && ::access("/dev/fuse", R_OK | W_OK) == 0;
}

SilentMount::SilentMount(const std::string& path, Answers answers)
    : path_(path), answers_(answers) {
  std::filesystem::create_directories(path);
  device_.reset(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device_) throw_errno("open", "/dev/fuse");
  const std::string options =
      "fd=" + std::to_string(device_.get()) + ",rootmode=40777,user_id=0,group_id=0,allow_other";
  if (::mount("silent", path.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    throw_errno("mount", path);
  }
  std::tie(end_read_, end_write_) = make_pipe();
  server_ = std::thread([this] { serve(); });
}

SilentMount::~SilentMount() {
  end_write_.reset();
  server_.join();
  device_.reset();
  ::umount2(path_.c_str(), MNT_DETACH);
}

void SilentMount::serve() {
  std::vector<char> request(1u << 18);
  for (;;) {
    pollfd events[2] = {{device_.get(), POLLIN, 0}, {end_read_.get(), POLLIN, 0}};
    ::poll(events, 2, -1);
    if (events[1].revents != 0) return;
    if (::read(device_.get(), request.data(), request.size()) < 0) continue;
    fuse_in_header header{};
    std::memcpy(&header, request.data(), sizeof header);
    const bool looks = answers_ != Answers::kNothing;
    if (header.opcode == FUSE_INIT) {
      fuse_init_out out{};
      out.major = FUSE_KERNEL_VERSION;
      out.minor = FUSE_KERNEL_MINOR_VERSION;
      out.max_write = 4096;
      answer(device_.get(), header.unique, 0, &out, sizeof out);
    } else if (header.opcode == FUSE_GETATTR && looks) {
      fuse_attr_out out{};
      out.attr_valid = 3600;
      out.attr = directory(header.nodeid);
      answer(device_.get(), header.unique, 0, &out, sizeof out);
    } else if (header.opcode == FUSE_LOOKUP && looks && knows_names_) {
      look_up(header.unique, request.data() + sizeof header);
    } else if ((header.opcode == FUSE_STATFS || header.opcode == FUSE_ACCESS ||
                header.opcode == FUSE_GETXATTR || header.opcode == FUSE_OPENDIR) &&
               looks) {
      answer(device_.get(), header.unique, ENOSYS, nullptr, 0);
    } else if ((header.opcode == FUSE_READDIR || header.opcode == FUSE_READDIRPLUS) && looks) {
      answer(device_.get(), header.unique, 0, nullptr, 0);
    } else {
      ++asked_;
    }
  }
}

// Nothing is kept by the kernel, so that it asks each time.
void SilentMount::look_up(std::uint64_t request, const std::string& name) {
  if (answers_ != Answers::kADirectory || name != "d") {
    return answer(device_.get(), request, ENOENT, nullptr, 0);
  }
  ++looked_up_;
  fuse_entry_out out{};
  out.nodeid = kDirectory;
  out.attr_valid = 3600;
  out.attr = directory(kDirectory);
  answer(device_.get(), request, 0, &out, sizeof out);
}

}  // namespace sharkcage::testing
