#include "supervisor/sandbox/system_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <climits>

#include "common/fd.h"

namespace sharkcage::sandbox {
namespace {

using namespace std::chrono_literals;

constexpr auto kLookAgain = 1s;
constexpr std::size_t kMaxCopy = 1u << 20;

// Nothing here names a user, holds a secret or configures a service of the host.
constexpr const char* kFiles[] = {
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/host.conf",
    "etc/protocols",
    "etc/services",
    "etc/mime.types",
    "etc/magic",
    "etc/magic.mime",
    "etc/networks",
    "etc/timezone",
    "etc/localtime",
    "etc/os-release",
    "etc/debian_version",
    "etc/lsb-release",
    "etc/redhat-release",
    "etc/fedora-release",
    "etc/shells",
    "etc/inputrc",
    "etc/bash.bashrc",
    "etc/gai.conf",
    "etc/locale.alias",
    "etc/locale.conf",
    "etc/default/locale",
    "etc/rpc",
    "etc/ethertypes",
    "etc/ssl/openssl.cnf",
    "etc/ca-certificates.conf",
    // What runtimes look at when they start: how many processors, which pages. /proc tells the
    // same.
    "sys/devices/system/cpu/online",
    "sys/devices/system/cpu/possible",
    "sys/devices/system/cpu/present",
    "sys/devices/system/node/online",
    "sys/devices/system/node/possible",
    "sys/kernel/mm/transparent_hugepage/enabled",
    "sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
};

constexpr const char* kDirectories[] = {
    "etc/alternatives",    "etc/ca-certificates",
    "etc/crypto-policies", "etc/fonts",
    "etc/ImageMagick-6",   "etc/java-11-openjdk",
    "etc/java-17-openjdk", "etc/java-21-openjdk",
    "etc/java-25-openjdk", "etc/perl",
    "etc/pki/ca-trust",    "etc/pki/tls/certs",
    "etc/ld.so.conf.d",    "etc/python3",
    "etc/python3.11",      "etc/python3.12",
    "etc/python3.13",      "etc/ssl/certs",
    "etc/terminfo",
};

constexpr const char* kTop[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};

std::string read_link(const std::string& path) {
  char text[PATH_MAX];
  const ssize_t length = ::readlink(path.c_str(), text, sizeof text);
  return length < 0 ? std::string() : std::string(text, static_cast<std::size_t>(length));
}

bool below_usr(const std::string& text) {
  return text.starts_with("/usr/") || text.starts_with("../usr/") || text.starts_with("usr/");
}

bool same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

}  // namespace

void SystemFiles::refresh() {
  const auto now = std::chrono::steady_clock::now();
  if (looked_.time_since_epoch().count() != 0 && now - looked_ < kLookAgain) return;
  looked_ = now;

  directories_.clear();
  links_.clear();
  top_directories_.clear();
  std::vector<Copy> copies;
  struct stat status {};
  for (const char* name : kTop) {
    const std::string path = std::string("/") + name;
    if (::lstat(path.c_str(), &status) != 0) continue;
    if (S_ISLNK(status.st_mode)) {
      if (std::string text = read_link(path); below_usr(text)) links_.emplace_back(name, text);
    } else if (S_ISDIR(status.st_mode)) {
      top_directories_.emplace_back(name);
    }
  }
  for (const char* name : kDirectories) {
    if (::lstat((std::string("/") + name).c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
      directories_.emplace_back(name);
    }
  }
  for (const char* name : kFiles) look_at_file(name, copies);
  copies_ = std::move(copies);
}

// A link into /usr stays one; any other is followed, and what it leads to is copied.
void SystemFiles::look_at_file(const std::string& path, std::vector<Copy>& copies) {
  struct stat status {};
  const std::string full = "/" + path;
  if (::lstat(full.c_str(), &status) != 0) return;
  if (S_ISLNK(status.st_mode)) {
    if (std::string text = read_link(full); below_usr(text)) {
      links_.emplace_back(path, std::move(text));
      return;
    }
    if (::stat(full.c_str(), &status) != 0) return;
  }
  // Only what everybody on the host may read, however privileged this process is.
  if (!S_ISREG(status.st_mode) || (status.st_mode & S_IROTH) == 0 ||
      static_cast<std::size_t>(status.st_size) > kMaxCopy) {
    return;
  }
  for (Copy& known : copies_) {
    if (known.path == path && same(known.status, status)) {
      copies.push_back(std::move(known));
      return;
    }
  }
  copies.push_back({path, read_file(full, kMaxCopy), status});
}

}  // namespace sharkcage::sandbox
