#include "supervisor/sandbox/facade.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/errors.h"
#include "supervisor/sandbox/facade_confine.h"
#include "supervisor/sandbox/facade_inquiry.h"
#include "supervisor/sandbox/facade_link.h"
#include "supervisor/sandbox/facade_protocol.h"
#include "supervisor/sandbox/facade_storage.h"
#include "supervisor/sandbox/facade_tree.h"
#include "supervisor/sandbox/misses.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::uint32_t kMaxWrite = 128u << 10;
constexpr std::size_t kBufferSize = kMaxWrite + 4096;
// Nothing changes here but through this file system, so what the kernel knows stays true. In
// seconds: the kernel takes what does not fit its clock as "never".
constexpr std::uint64_t kForever = 1u << 31;
// How many requests may go before one that finds no room.
constexpr int kMaxWaiting = 64;
constexpr mode_t kSetId = S_ISUID | S_ISGID;

class Session {
 public:
  Session(const Plan& plan, RefusalCounter& counter, UniqueFd link, int channel)
      : tree_(plan, plan.home_size / kBlockSize + 64),
        scoped_(!plan.exec_any),
        counter_(counter),
        link_(std::move(link)),
        channel_(channel),
        buffer_(new char[kBufferSize]),
        uid_(0),
        gid_(0) {}

  // Until the monitor ends.
  void serve() {
    for (;;) {
      pollfd events[4] = {{kernel_.get(), POLLIN, 0},
                          {inquiries_ ? inquiries_->fd() : -1, POLLIN, 0},
                          {channel_, POLLIN, 0},
                          {link_.get(), POLLIN, 0}};
      if (::poll(events, 4, -1) < 0) continue;
      if (events[0].revents != 0) serve_one();
      if (events[1].revents != 0) {
        for (const Finding& finding : inquiries_->take()) settle(finding);
      }
      // At once: the other thread may be at work.
      if (events[2].revents != 0 && !obey()) ::_exit(0);
      if (events[3].revents != 0) hear_init();
    }
  }

 private:
  // ---- PID 1 and the monitor

  void hear_init() {
    FacadeMessage message;
    std::vector<UniqueFd> fds;
    const ssize_t size =
        recv_with_fds(link_.get(), reinterpret_cast<char*>(&message), sizeof message, fds);
    if (size != sizeof message) {
      // PID 1 is gone before its root was complete; the monitor will see.
      link_.reset();
    } else if (message.kind == FacadeMessage::kConnect && fds.size() == 2) {
      kernel_ = std::move(fds[0]);
      storage_.emplace(std::move(fds[1]));
      uid_ = message.uid;
      gid_ = message.gid;
    } else if (message.kind == FacadeMessage::kSeal && fds.size() == 3) {
      // Nothing that can be written to, the supervisor's log least of all.
      for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) ::dup2(fds[0].get(), fd);
      inquiries_.emplace(std::move(fds[0]));
      confine_facade(std::move(fds[1]), std::move(fds[2]), uid_, gid_);
      // As the sandbox's user, to whom the memory belongs.
      for (const Node* file : tree_.filled()) storage_->put(file->id, file->content);
      if (send_with_fds(link_.get(), {reinterpret_cast<const char*>(&message), sizeof message},
                        {}) < 0) {
        throw_errno("sendmsg", "to PID 1");
      }
      link_.reset();
    } else if (message.kind == FacadeMessage::kUnavailable) {
      link_.reset();
    } else {
      throw UserError("PID 1 said what it never says");
    }
  }

  // False at the end of the monitor.
  bool obey() {
    char text[16];
    std::vector<UniqueFd> fds;
    const ssize_t size = recv_with_fds(channel_, text, sizeof text, fds);
    if (size <= 0) return false;
    if (std::string_view(text, static_cast<std::size_t>(size)) == kCollect) {
      answer_collect(channel_, refusals_);
    }
    return true;
  }

  static Refusal no_room() {
    Refusal refusal;
    refusal.operation = "limit";
    refusal.target = "tmp";
    refusal.first_us = microseconds_since_1970();
    return refusal;
  }

  void record(std::optional<Refusal> refusal) {
    if (!refusal) return;
    refusals_.add(std::move(*refusal));
    counter_.increment();
  }

  // ---- The kernel's requests

  void serve_one() {
    const ssize_t size = ::read(kernel_.get(), buffer_.get(), kBufferSize);
    if (size < 0) {
      // ENOENT: the request was taken back. ENODEV: the last mount is gone.
      if (errno == ENODEV) kernel_.reset();
      return;
    }
    if (static_cast<std::size_t>(size) < sizeof(fuse_in_header)) {
      throw UserError("a request of the kernel is cut short");
    }
    const std::string_view bytes{buffer_.get(), static_cast<std::size_t>(size)};
    full_ = false;
    dispatch(bytes);
    if (!full_) return;
    // What was removed a moment ago may still be counted: the kernel's word that nobody has it open
    // any more comes on its own, and other requests may overtake it.
    const std::string kept(bytes);
    last_try_ = true;
    serve_waiting();
    dispatch(kept);
    last_try_ = false;
  }

  void serve_waiting() {
    for (int i = 0; i < kMaxWaiting; ++i) {
      pollfd waiting{kernel_.get(), POLLIN, 0};
      if (::poll(&waiting, 1, 0) <= 0) return;
      serve_one();
    }
  }

  void dispatch(std::string_view bytes) {
    Request request{reinterpret_cast<const fuse_in_header*>(bytes.data()), bytes};
    request.rest.remove_prefix(sizeof(fuse_in_header));
    unique_ = request.header->unique;
    dispatch(request);
  }

  void reply(int error, std::string_view data = {}) {
    full_ = error == -ENOSPC && !last_try_;
    if (full_) return;
    if (error == -ENOSPC) record(no_room());
    fuse_out_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + data.size());
    header.error = error;
    header.unique = unique_;
    const iovec parts[2] = {{&header, sizeof header},
                            {const_cast<char*>(data.data()), data.size()}};
    // ENOENT: whoever asked was killed meanwhile.
    if (::writev(kernel_.get(), parts, data.empty() ? 1 : 2) < 0) return;
  }

  template <typename Part>
  void reply_with(const Part& part) {
    reply(0, {reinterpret_cast<const char*>(&part), sizeof part});
  }

  void dispatch(Request& request) {
    switch (request.header->opcode) {
      case FUSE_INIT:
        return initialize(request);
      case FUSE_FORGET:
        return forget(request.header->nodeid, request.take<fuse_forget_in>().nlookup);
      case FUSE_BATCH_FORGET:
        return forget_all(request);
      case FUSE_STATFS:
        return stat_fs();
      case FUSE_DESTROY:
        return reply(0);
      default:
        break;
    }
    Node* const node = tree_.find(request.header->nodeid);
    if (node == nullptr) return reply(-ESTALE);
    if (node->directory) return dispatch_directory(request, *node);
    dispatch_file(request, *node);
  }

  // The rest is ENOSYS for good: opening (the kernel then opens by itself), extended attributes,
  // locks (which the kernel keeps by itself), flushing (everything is written through).
  void dispatch_directory(Request& request, Node& directory) {
    switch (request.header->opcode) {
      case FUSE_LOOKUP:
        return look_up(request, directory);
      case FUSE_GETATTR:
        return get_attributes(request, directory);
      case FUSE_SETATTR:
        return set_attributes(request, directory);
      case FUSE_READDIR:
        return read_directory(request, directory, false);
      case FUSE_READDIRPLUS:
        return read_directory(request, directory, true);
      case FUSE_MKNOD: {
        const auto mode = request.take<fuse_mknod_in>().mode;
        return make(directory, request.take_name(), mode, {});
      }
      case FUSE_MKDIR: {
        const auto mode = request.take<fuse_mkdir_in>().mode;
        return make(directory, request.take_name(), S_IFDIR | (mode & 07777), {});
      }
      case FUSE_SYMLINK: {
        const std::string_view name = request.take_name();
        return make(directory, name, S_IFLNK | 0777, request.take_name());
      }
      case FUSE_LINK: {
        const std::uint64_t old = request.take<fuse_link_in>().oldnodeid;
        return link(old, directory, request.take_name());
      }
      case FUSE_TMPFILE:
        return make_unnamed(request, directory);
      case FUSE_UNLINK:
        return reply(tree_.remove(directory, request.take_name(), false));
      case FUSE_RMDIR:
        return reply(tree_.remove(directory, request.take_name(), true));
      case FUSE_RENAME: {
        const std::uint64_t to = request.take<fuse_rename_in>().newdir;
        return rename(request, directory, to, 0);
      }
      case FUSE_RENAME2: {
        const auto& order = request.take<fuse_rename2_in>();
        return rename(request, directory, order.newdir, order.flags);
      }
      default:
        return reply(-ENOSYS);
    }
  }

  void dispatch_file(Request& request, Node& file) {
    switch (request.header->opcode) {
      case FUSE_GETATTR:
        return get_attributes(request, file);
      case FUSE_SETATTR:
        return set_attributes(request, file);
      case FUSE_READLINK:
        return S_ISLNK(file.mode) ? reply(0, file.text) : reply(-EINVAL);
      case FUSE_READ:
        return read(request, file);
      case FUSE_WRITE:
        return write(request, file);
      case FUSE_FALLOCATE:
        return allocate(request, file);
      case FUSE_LSEEK:
        return seek(request, file);
      default:
        return reply(-ENOSYS);
    }
  }

  void initialize(Request& request) {
    const auto& in = request.take<fuse_init_in>();
    if (in.major != FUSE_KERNEL_VERSION) return reply(-EPROTO);
    fuse_init_out out{};
    out.major = FUSE_KERNEL_VERSION;
    out.minor = FUSE_KERNEL_MINOR_VERSION;
    out.max_readahead = in.max_readahead;
    out.flags = in.flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS |
                            FUSE_READDIRPLUS_AUTO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
                            FUSE_CACHE_SYMLINKS | FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT);
    out.max_background = 16;
    out.congestion_threshold = 12;
    out.max_write = kMaxWrite;
    out.max_pages = kMaxWrite / 4096;
    out.time_gran = 1;
    reply_with(out);
  }

  void forget(std::uint64_t id, std::uint64_t count) {
    if (tree_.forget(id, count) && storage_) storage_->remove(id);
  }

  void forget_all(Request& request) {
    const std::uint32_t count = request.take<fuse_batch_forget_in>().count;
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto& one = request.take<fuse_forget_one>();
      forget(one.nodeid, one.nlookup);
    }
  }

  void stat_fs() {
    const Storage::Room room = storage_ ? storage_->room() : Storage::Room{};
    fuse_statfs_out out{};
    out.st.bsize = out.st.frsize = static_cast<std::uint32_t>(room.block_size);
    out.st.blocks = room.blocks;
    out.st.bfree = out.st.bavail = room.free;
    out.st.files = tree_.max_nodes();
    out.st.ffree = tree_.max_nodes() - tree_.nodes_in_home();
    out.st.namelen = 255;
    reply_with(out);
  }

  // ---- Names

  void look_up(Request& request, Node& directory) {
    const std::string_view name = request.take_name();
    if (Node* const found = Tree::child(directory, name)) return reply_entry(*found);
    if (!inquire(request, directory, name)) reply(-ENOENT);
  }

  // Of what a process of the sandbox did: 0 is one outside, 1 is PID 1, which builds the root.
  // True: the answer comes with `settle`.
  bool inquire(const Request& request, const Node& node, std::string_view name) {
    const auto pid = static_cast<pid_t>(request.header->pid);
    if (pid <= 1 || !inquiries_) return false;
    inquiries_->ask({unique_, node.id, std::string(name), pid});
    return true;
  }

  void settle(const Finding& finding) {
    const auto& [inquiry, evidence] = finding;
    unique_ = inquiry.request;
    const Node* const node = tree_.find(inquiry.node);
    if (node == nullptr) return reply(-ESTALE);
    if (node->mask) {
      record(denied(tree_, *node, evidence));
      return reply_attributes(*node);
    }
    record(missed(tree_, scoped_, *node, inquiry.name, evidence));
    reply(-ENOENT);
  }

  fuse_entry_out entry_of(Node& node) {
    ++node.lookups;
    fuse_entry_out out{};
    out.nodeid = node.id;
    out.entry_valid = out.attr_valid = kForever;
    out.attr = attributes_of(node, blocks_of(node), {uid_, gid_});
    return out;
  }

  std::uint64_t blocks_of(const Node& node) {
    const bool stored = S_ISREG(node.mode) && node.home && node.size > 0;
    return stored && storage_ ? storage_->blocks(node.id) : 0;
  }

  void reply_entry(Node& node) { reply_with(entry_of(node)); }

  void make(Node& directory, std::string_view name, mode_t mode, std::string_view text) {
    Node* made = nullptr;
    // No device node: the mount would not open one, and it says nothing that is true.
    if (S_ISCHR(mode) || S_ISBLK(mode)) return reply(-EPERM);
    const int error = tree_.make(directory, name, mode & ~kSetId, text, made);
    if (error != 0) return reply(error);
    reply_entry(*made);
  }

  // The kernel opens it in the same call.
  void make_unnamed(Request& request, Node& directory) {
    struct {
      fuse_entry_out entry;
      fuse_open_out open;
    } out{};
    Node* made = nullptr;
    const mode_t mode = request.take<fuse_create_in>().mode;
    const int error = directory.home ? tree_.make_unnamed(mode & ~kSetId, made) : -EROFS;
    if (error != 0) return reply(error);
    out.entry = entry_of(*made);
    out.open.open_flags = FOPEN_KEEP_CACHE;
    reply_with(out);
  }

  void link(std::uint64_t old, Node& directory, std::string_view name) {
    Node* const node = tree_.find(old);
    const int error = node == nullptr ? -ESTALE : tree_.link(*node, directory, name);
    if (error != 0) return reply(error);
    reply_entry(*node);
  }

  void rename(Request& request, Node& from, std::uint64_t to_id, std::uint32_t flags) {
    const std::string_view name = request.take_name();
    const std::string_view new_name = request.take_name();
    Node* const to = tree_.find(to_id);
    if (to == nullptr || !to->directory) return reply(-ENOTDIR);
    reply(tree_.rename(from, name, *to, new_name, flags));
  }

  void read_directory(Request& request, Node& directory, bool plus) {
    const auto& in = request.take<fuse_read_in>();
    EntryList list(std::min<std::size_t>(in.size, kMaxWrite), plus);
    std::uint64_t after = in.offset;
    for (; after < 2; ++after) {
      const char* const name = after == 0 ? "." : "..";
      // The kernel takes no reference of these two.
      if (!list.fits(name)) return reply(0, list.text());
      list.add(name, directory, after + 1, {});
    }
    const auto& in_order = directory.directory->in_order;
    for (auto next = in_order.upper_bound(after); next != in_order.end(); ++next) {
      Node& node = *Tree::child(directory, *next->second);
      if (!list.fits(*next->second)) break;
      list.add(*next->second, node, next->first, plus ? entry_of(node) : fuse_entry_out{});
    }
    reply(0, list.text());
  }

  // ---- Attributes and content

  // The kernel asks for those of a mask only when it denies a permission (fs/fuse/dir.c,
  // fuse_permission): what it was told holds for ever.
  void get_attributes(Request& request, const Node& node) {
    if (!node.mask || !inquire(request, node, {})) reply_attributes(node);
  }

  void reply_attributes(const Node& node) {
    fuse_attr_out out{};
    out.attr_valid = kForever;
    out.attr = attributes_of(node, blocks_of(node), {uid_, gid_});
    reply_with(out);
  }

  void set_attributes(Request& request, Node& node) {
    const auto& in = request.take<fuse_setattr_in>();
    if (!node.home) return reply(-EROFS);
    // One user and one group are all there are.
    if ((in.valid & FATTR_UID) != 0 && in.uid != uid_) return reply(-EPERM);
    if ((in.valid & FATTR_GID) != 0 && in.gid != gid_) return reply(-EPERM);
    const std::int64_t now = nanoseconds_since_1970();
    if ((in.valid & FATTR_SIZE) != 0) {
      if (!S_ISREG(node.mode)) return reply(-EINVAL);
      const int error = storage_->truncate(node.id, static_cast<off_t>(in.size));
      if (error != 0) return reply(error);
      node.size = in.size;
      node.modified = now;
    }
    if ((in.valid & FATTR_MODE) != 0) {
      node.mode = (node.mode & S_IFMT) | (in.mode & 07777 & ~kSetId);
    }
    const auto time = [&](std::uint32_t set, std::uint32_t set_now, std::uint64_t seconds,
                          std::uint32_t nanoseconds, std::int64_t& field) {
      if ((in.valid & set_now) != 0) {
        field = now;
      } else if ((in.valid & set) != 0) {
        constexpr std::int64_t kMost = INT64_MAX / 1'000'000'000 - 1;
        const auto bounded = std::clamp<std::int64_t>(static_cast<std::int64_t>(seconds), 0, kMost);
        field = bounded * 1'000'000'000 + std::min(nanoseconds, 999'999'999u);
      }
    };
    time(FATTR_ATIME, FATTR_ATIME_NOW, in.atime, in.atimensec, node.accessed);
    time(FATTR_MTIME, FATTR_MTIME_NOW, in.mtime, in.mtimensec, node.modified);
    node.changed = now;
    reply_attributes(node);
  }

  void read(Request& request, Node& file) {
    const auto& in = request.take<fuse_read_in>();
    if (file.mask) return reply(-EACCES);
    const std::size_t wanted = std::min<std::size_t>(in.size, kMaxWrite);
    if (!file.home) {
      const std::size_t from = std::min<std::size_t>(in.offset, file.content.size());
      return reply(0, file.content.substr(from, wanted));
    }
    // The request has been read: its buffer is free.
    const auto offset = static_cast<off_t>(in.offset);
    const ssize_t got = storage_->read(file.id, buffer_.get(), wanted, offset);
    if (got < 0) return reply(static_cast<int>(got));
    reply(0, {buffer_.get(), static_cast<std::size_t>(got)});
  }

  void write(Request& request, Node& file) {
    const auto& in = request.take<fuse_write_in>();
    if (!file.home || !S_ISREG(file.mode)) return reply(-EROFS);
    if (request.rest.size() < in.size) throw UserError("a request of the kernel is cut short");
    const ssize_t written =
        storage_->write(file.id, request.rest.data(), in.size, static_cast<off_t>(in.offset));
    if (written < 0) return reply(static_cast<int>(written));
    file.size = std::max(file.size, in.offset + static_cast<std::uint64_t>(written));
    file.modified = file.changed = nanoseconds_since_1970();
    fuse_write_out out{};
    out.size = static_cast<std::uint32_t>(written);
    reply_with(out);
  }

  void allocate(Request& request, Node& file) {
    const auto& in = request.take<fuse_fallocate_in>();
    if (!file.home || !S_ISREG(file.mode)) return reply(-EROFS);
    // A file with a hole to punch, or to be filled, must have its whole length.
    int error = storage_->truncate(file.id, static_cast<off_t>(file.size));
    if (error == 0) {
      error = storage_->allocate(file.id, static_cast<int>(in.mode), static_cast<off_t>(in.offset),
                                 static_cast<off_t>(in.length));
    }
    if (error != 0) return reply(error);
    if ((in.mode & FALLOC_FL_KEEP_SIZE) == 0) {
      file.size = std::max(file.size, in.offset + in.length);
    }
    file.modified = file.changed = nanoseconds_since_1970();
    reply(0);
  }

  void seek(Request& request, Node& file) {
    const auto& in = request.take<fuse_lseek_in>();
    if (!file.home || (in.whence != SEEK_DATA && in.whence != SEEK_HOLE)) return reply(-ENOSYS);
    const off_t found =
        storage_->seek(file.id, static_cast<off_t>(in.offset), static_cast<int>(in.whence));
    if (found < 0) return reply(static_cast<int>(found));
    fuse_lseek_out out{};
    out.offset = static_cast<std::uint64_t>(found);
    reply_with(out);
  }

  Tree tree_;
  const bool scoped_;
  std::optional<Inquiries> inquiries_;  // from the seal on
  RefusalCounter& counter_;
  RefusalTable refusals_;
  UniqueFd kernel_;
  UniqueFd link_;
  const int channel_;
  std::optional<Storage> storage_;
  const std::unique_ptr<char[]> buffer_;  // as large as the kernel demands, touched as needed
  bool full_ = false;                     // there was no room for the request, and no answer yet
  bool last_try_ = false;
  std::uint64_t unique_ = 0;  // of the request that is being served
  uid_t uid_;                 // the sandbox's user, inside
  gid_t gid_;
};

}  // namespace

void run_facade(const Plan& plan, RefusalCounter& counter, UniqueFd link, int channel) {
  Session(plan, counter, std::move(link), channel).serve();
}

}  // namespace sharkcage::sandbox
