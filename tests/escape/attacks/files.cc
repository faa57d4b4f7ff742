// Attacks on what a sandbox shows of the file system.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include "tests/escape/attacks/attack.h"

namespace escape {
namespace {

constexpr unsigned kDetached = 1;  // OPEN_TREE_CLONE

// Looks at every descriptor that is open, and into those of directories.
const Attack kDescriptors("descriptors", [](Arguments) {
  bool any = false;
  for (int fd = 3; fd < 4096; ++fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) continue;
    any = true;
    std::printf("descriptor %d is open, mode %o\n", fd, status.st_mode);
    const int file = ::openat(fd, "secret", O_RDONLY);
    char text[64] = {};
    if (file >= 0 && ::read(file, text, sizeof text - 1) > 0) std::printf("%s\n", text);
  }
  if (!any) stopped("nothing but standard input and output is open", 0);
});

const Attack kReopen("reopen-stdin", [](Arguments) {
  const int file = ::open("/proc/self/fd/0", O_WRONLY);
  if (file < 0) stopped("/proc/self/fd/0");
  if (::pwrite(file, "overwritten", 11, 0) != 11) stopped("pwrite");
  std::puts("written");
});

const Attack kDevice("device-node", [](Arguments arguments) {
  const std::string path = text_at(arguments, 0);
  // /dev/kmsg, by a name of one's own
  if (::mknod(path.c_str(), S_IFCHR | 0666, makedev(1, 11)) != 0) stopped("mknod");
  const int device = ::open(path.c_str(), O_WRONLY | O_NONBLOCK);
  if (device < 0) stopped("open");
  through("opened a device node of one's own");
});

// Devices that are more than a sink or a source of bytes.
const Attack kDevices("devices", [](Arguments) {
  const char* const harmless[] = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"};
  std::string opened;
  for (const char* directory : {"/dev", "/dev/net", "/dev/input", "/dev/mapper", "/dev/dri"}) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
      struct stat status {};
      const std::string path = entry.path().string();
      if (::stat(path.c_str(), &status) != 0) continue;
      if (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode)) continue;
      bool known = false;
      for (const char* name : harmless) known = known || path == std::string("/dev/") + name;
      if (known) continue;
      const int file = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
      if (file >= 0) opened += " " + path;
      ::close(file);
    }
  }
  if (opened.empty()) stopped("no other device can be opened", 0);
  through("opened" + opened);
});

const Attack kBind("bind-mount", [](Arguments arguments) {
  const std::string source = text_at(arguments, 0);
  const std::string target = text_at(arguments, 1);
  gain_namespaces(CLONE_NEWNS);
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0) {
    stopped("mount");
  }
  if (!show_file(target + "/secret")) through("a mount");
});

const Attack kNewMount("new-mount", [](Arguments arguments) {
  const std::string type = text_at(arguments, 0);
  const std::string target = text_at(arguments, 1);
  gain_namespaces(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWNET | CLONE_NEWIPC);
  std::string options;
  if (type == "fuse") {
    const int device = ::open("/dev/fuse", O_RDWR);
    if (device < 0 && errno == ENODEV) absent("fuse");
    if (device < 0 && errno == EACCES) absent("a /dev/fuse that this user may open");
    if (device < 0) stopped("/dev/fuse");
    options = "fd=" + std::to_string(device) +
              ",rootmode=40000,user_id=" + std::to_string(::getuid()) +
              ",group_id=" + std::to_string(::getgid());
  }
  if (type == "overlay") options = "lowerdir=" + text_at(arguments, 2) + ":/usr";
  if (::mount("none", target.c_str(), type.c_str(), 0, options.c_str()) != 0) {
    if (errno == ENODEV) absent("the file system " + type);
    stopped("mount");
  }
  if (type == "overlay" && !show_file(target + "/private/secret")) stopped("not beneath the mask");
  if (type != "overlay") through("a file system of type " + type);
});

const Attack kNewApi("new-mount-api", [](Arguments) {
  gain_namespaces(CLONE_NEWNS);
  const long context = ::syscall(SYS_fsopen, "tmpfs", 0);
  if (context < 0) stopped("fsopen");
  if (::syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    stopped("fsconfig");
  }
  const long tree = ::syscall(SYS_fsmount, context, 0, 0);
  if (tree < 0) stopped("fsmount");
  through("a file system by fsopen");
});

// Makes the grant read-only where it is not (outside), and writable again.
const Attack kRemount("remount", [](Arguments arguments) {
  const std::string place = text_at(arguments, 0);
  gain_namespaces(CLONE_NEWNS);
  if (::mount(place.c_str(), place.c_str(), nullptr, MS_BIND, nullptr) == 0) {
    ::mount(nullptr, place.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr);
  }
  const unsigned long flags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV;
  if (::mount(nullptr, place.c_str(), nullptr, flags, nullptr) != 0) stopped("remount");
  if (!write_file(place + "/file", "changed")) stopped("write");
  std::puts("written");
});

// The same with mount_setattr(2).
const Attack kSetattr("remount-by-attributes", [](Arguments arguments) {
  const std::string place = text_at(arguments, 0);
  gain_namespaces(CLONE_NEWNS);
  ::mount(place.c_str(), place.c_str(), nullptr, MS_BIND, nullptr);
  mount_attr attributes{};
  attributes.attr_clr = MOUNT_ATTR_RDONLY;
  if (::syscall(SYS_mount_setattr, AT_FDCWD, place.c_str(), 0, &attributes, sizeof attributes) !=
      0) {
    stopped("mount_setattr");
  }
  if (!write_file(place + "/file", "changed")) stopped("write");
  std::puts("written");
});

// Covers the directory where nobody did (outside), and takes the cover off.
const Attack kUncover("uncover", [](Arguments arguments) {
  const std::string place = text_at(arguments, 0);
  gain_namespaces(CLONE_NEWNS);
  ::mount("none", place.c_str(), "tmpfs", 0, nullptr);
  if (::umount2(place.c_str(), MNT_DETACH) != 0) stopped("umount2");
  if (!show_file(place + "/secret")) stopped("read");
});

// A copy of the tree without the mounts in it.
const Attack kBeneath("beneath", [](Arguments arguments) {
  const std::string workspace = text_at(arguments, 0);
  gain_namespaces(CLONE_NEWNS);
  ::mount("none", (workspace + "/private").c_str(), "tmpfs", 0, nullptr);
  const long tree = ::syscall(SYS_open_tree, AT_FDCWD, workspace.c_str(), kDetached);
  if (tree < 0) stopped("open_tree");
  if (!show_file("/proc/self/fd/" + std::to_string(tree) + "/private/secret")) stopped("read");
});

// By a handle, past every directory on the way (the "shocker").
const Attack kHandle("open-by-handle", [](Arguments arguments) {
  alignas(file_handle) char space[sizeof(file_handle) + MAX_HANDLE_SZ] = {};
  auto* handle = reinterpret_cast<file_handle*>(space);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  const std::string path = text_at(arguments, 0);
  if (::name_to_handle_at(AT_FDCWD, path.c_str(), handle, &mount, 0) != 0) {
    if (errno == EOPNOTSUPP) absent("handles of this file system");
    stopped("name_to_handle_at");
  }
  const int place = ::open(text_at(arguments, 1).c_str(), O_RDONLY);
  const int file = ::open_by_handle_at(place, handle, O_RDONLY);
  if (file < 0) stopped("open_by_handle_at");
  char text[64] = {};
  if (::read(file, text, sizeof text - 1) <= 0) stopped("read");
  std::printf("%s\n", text);
});

// Set-user-ID bits on a file of the workspace, by each call that could set them.
const Attack kSetIdBits("set-id-bits", [](Arguments arguments) {
  const std::string how = text_at(arguments, 0);
  const char* path = "set-id";
  long done = -1;
  if (how == "open") done = ::open(path, O_WRONLY | O_CREAT | O_EXCL, 06755);
  if (how == "creat") done = ::creat(path, 06755);
  if (how == "mknod") done = ::mknod(path, S_IFREG | 06755, 0);
  if (how == "tmpfile") {
    const int file = ::open(".", O_TMPFILE | O_WRONLY, 06755);
    if (file >= 0) {
      done = ::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(file)).c_str(), AT_FDCWD, path,
                      AT_SYMLINK_FOLLOW);
    }
  }
  if (how == "openat2") {
    open_how request{};
    request.flags = O_WRONLY | O_CREAT;
    request.mode = 06755;
    done = ::syscall(SYS_openat2, AT_FDCWD, path, &request, sizeof request);
  }
  if (how == "chmod" || how == "fchmod" || how == "fchmodat" || how == "fchmodat2") {
    const int file = ::open(path, O_WRONLY | O_CREAT, 0755);
    if (how == "chmod") done = ::chmod(path, 06755);
    if (how == "fchmod") done = ::fchmod(file, 06755);
    if (how == "fchmodat") done = ::syscall(SYS_fchmodat, AT_FDCWD, path, 06755);
    // Linux 6.6
    if (how == "fchmodat2") done = ::syscall(452, AT_FDCWD, path, 06755, 0);
    if (done < 0 && errno == ENOSYS && how == "fchmodat2") absent("fchmodat2");
  }
  if (done < 0) stopped(how);
  ::umask(0);
  std::puts("set");
});

// Capabilities of a file, for root of the init namespace (2) or of the attack's own (3).
const Attack kFileCapability("file-capability", [](Arguments) {
  const int made = ::open("capable", O_WRONLY | O_CREAT, 0755);
  if (made < 0) stopped("open");
  if (::geteuid() != 0) gain_namespaces(0);
  // vfs_cap_data of capabilities(7): magic, then permitted and inheritable, twice. All of them.
  const unsigned data[] = {0x02000001, ~0u, 0, ~0u, 0};
  if (::fsetxattr(made, "security.capability", data, sizeof data, 0) != 0) stopped("setxattr");
  through("a file with capabilities");
});

const Attack kWriteAll("write-through", [](Arguments arguments) {
  const std::string file = text_at(arguments, 0) + "/file";
  const std::string fresh = text_at(arguments, 0) + "/fresh";
  int done = 0;
  done += write_file(file, "changed");
  done += ::truncate(file.c_str(), 1) == 0;
  done += ::chmod(file.c_str(), 0600) == 0;
  done += ::utimes(file.c_str(), nullptr) == 0;
  done += ::setxattr(file.c_str(), "user.x", "x", 1, 0) == 0;
  done += ::mkdir(fresh.c_str(), 0755) == 0;
  done += ::symlink("x", (fresh + "-link").c_str()) == 0;
  done += ::rename(file.c_str(), (file + "-renamed").c_str()) == 0;
  done += ::unlink(file.c_str()) == 0;
  if (done == 0) stopped("write");
  through(std::to_string(done) + " of 9 changes");
});

// Maps the file, shared, and writes through the mapping.
const Attack kWriteMapped("write-mapped", [](Arguments arguments) {
  const std::string path = text_at(arguments, 0) + "/file";
  const int file = ::open(path.c_str(), O_RDWR);
  if (file < 0) {
    // With a descriptor for reading only: by way of /proc.
    const int reading = ::open(path.c_str(), O_RDONLY);
    if (reading < 0) stopped(path);
    const std::string again = "/proc/self/fd/" + std::to_string(reading);
    if (!write_file(again, "changed")) stopped(again);
    through("a descriptor opened again for writing");
  }
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) stopped("mmap");
  std::memcpy(memory, "changed", 7);
  ::msync(memory, 4096, MS_SYNC);
  std::puts("written");
});

const Attack kFifo("write-fifo", [](Arguments arguments) {
  const int fifo = ::open(text_at(arguments, 0).c_str(), O_WRONLY | O_NONBLOCK);
  if (fifo < 0) stopped("open");
  if (::write(fifo, "injected\n", 9) != 9) stopped("write");
  std::puts("written");
});

// Exchanges a link and a directory while another process asks for a file below them, many times.
const Attack kLinkRace("link-race", [](Arguments arguments) {
  const std::string outside = text_at(arguments, 0);
  ::mkdir("plain", 0755);
  ::close(::open("plain/secret", O_WRONLY | O_CREAT, 0644));
  if (::symlink(outside.c_str(), "link") != 0) stopped("symlink");
  const pid_t parent = ::getpid();
  if (::fork() == 0) {
    while (::getppid() == parent) {
      ::syscall(SYS_renameat2, AT_FDCWD, "plain", AT_FDCWD, "link", 2 /* RENAME_EXCHANGE */);
    }
    ::_exit(0);
  }
  Attempts attempts;
  while (attempts.more()) {
    if (!read_file("plain/secret").empty() && show_file("plain/secret")) return;
  }
  stopped(attempts.in_vain(), 0);
});

// One of the calls that change or ask, with names out of a few, so that they meet each other.
void storm_once(unsigned& seed) {
  const auto random = [&seed](unsigned below) {
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % below;
  };
  const auto name = [&] {
    std::string text;
    for (unsigned depth = random(4); depth > 0; --depth)
      text += "d" + std::to_string(random(4)) + "/";
    return text + (random(50) == 0 ? std::string(255, 'n') : "f" + std::to_string(random(6)));
  };
  const std::string one = name();
  const std::string other = random(8) == 0 ? one.substr(0, one.find('/')) : name();
  const int file = ::open(one.c_str(), O_RDWR | (random(2) == 0 ? O_CREAT : 0), 0644);
  char block[4096] = {};
  [[maybe_unused]] long done = 0;
  switch (random(20)) {
    case 0:
      done = ::mkdir(one.c_str(), 0755);
      break;
    case 1:
      done = ::rmdir(one.c_str());
      break;
    case 2:
      done = ::unlink(one.c_str());
      break;
    case 3:
      done = ::rename(one.c_str(), other.c_str());
      break;
    case 4:
      done = ::syscall(SYS_renameat2, AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), 2);
      break;
    case 5:
      done = ::link(one.c_str(), other.c_str());
      break;
    case 6:
      done = ::symlink(other.c_str(), one.c_str());
      break;
    case 7:
      done = ::pwrite(file, block, random(4096), random(1u << 20));
      break;
    case 8:
      done = ::pwrite(file, block, 1, (1ll << 62) - random(9));
      break;
    case 9:
      done = ::pread(file, block, random(4096), random(1u << 20));
      break;
    case 10:
      done = ::ftruncate(file, random(1u << 20));
      break;
    case 11:
      done = ::ftruncate(file, (1ll << 62) - random(9));
      break;
    case 12:
      done = ::chmod(one.c_str(), random(0777));
      break;
    case 13:
      done = ::setxattr(one.c_str(), "user.x", block, random(4096), 0);
      break;
    case 14:
      done = ::mknod(one.c_str(), S_IFIFO | 0644, 0);
      break;
    case 15:
      done = ::fallocate(file, static_cast<int>(random(4)), random(1u << 20), random(1u << 20) + 1);
      break;
    case 16:
      done = ::utimes(one.c_str(), nullptr);
      break;
    case 17:
      done = ::syscall(SYS_getdents64, ::open(other.c_str(), O_RDONLY | O_DIRECTORY), block, 128);
      break;
    case 18:
      done = ::lseek(file, random(1u << 20), SEEK_DATA);
      break;
    case 19:
      done = ::open(".", O_TMPFILE | O_RDWR, 0644);
      break;
  }
  ::close_range(3, ~0u, 0);
}

const Attack kStorm("storm", [](Arguments arguments) {
  constexpr int kProcesses = 4;
  ::signal(SIGXFSZ, SIG_IGN);
  const std::string place = text_at(arguments, 0) + "/storm";
  const int count = number_at(arguments, 1);
  if (::mkdir(place.c_str(), 0755) != 0 || ::chdir(place.c_str()) != 0) stopped(place);
  for (int process = 0; process < kProcesses; ++process) {
    if (::fork() != 0) continue;
    unsigned seed = static_cast<unsigned>(process) + 1;
    for (int i = 0; i < count; ++i) storm_once(seed);
    ::_exit(0);
  }
  int status = 0;
  while (::wait(&status) > 0) {
    if (status != 0) stopped("a process of the storm ended with " + std::to_string(status), 0);
  }
  ::close(::open("after", O_WRONLY | O_CREAT, 0644));
  struct stat after {};
  std::printf("%s\n", ::stat("after", &after) == 0 ? "weathered" : "nothing works any more");
});

// For the suite: exchanges two names until somebody ends it.
const Attack kSwap("swap-forever", [](Arguments arguments) {
  for (;;) ::syscall(SYS_renameat2, AT_FDCWD, arguments[0], AT_FDCWD, arguments[1], 2);
});

// Moves the directory above what is hidden, from where it would not be hidden any more.
const Attack kMoveParent("move-parent", [](Arguments) {
  if (::rename("above", "moved") != 0 &&
      ::syscall(SYS_renameat2, AT_FDCWD, "above", AT_FDCWD, "attack", 2) != 0) {
    stopped("rename");
  }
  if (!show_file("moved/private/secret")) through("a directory above a protected path was moved");
});

}  // namespace
}  // namespace escape
