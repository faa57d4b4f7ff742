#include "capabilities/protection_watch.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/fscrypt.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <thread>
#include <vector>

#include "capabilities/stamps.h"
#include "fixture.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class Watch : public Scratch {
 protected:
  Watch() {
    make_directory("home/.ssh");
    make_directory("home/.config/gh");
    make_directory("work");
    input_.home = at("home");
    input_.configured = {at("vault/secret"), at("single")};
    make_directory("vault");
  }

  // Asks until an answer comes from memory: what changed a moment ago is looked at every time.
  bool remembers() {
    for (const auto end = std::chrono::steady_clock::now() + 20s;
         std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(20ms)) {
      const auto before = watch_.made();
      ask();
      if (watch_.made() == before) return true;
    }
    return false;
  }

  // The answer, which must be the same as without memory.
  const std::vector<ProtectedPath>& ask() {
    const auto& list = watch_.paths(input_);
    const auto fresh = protected_paths(input_);
    EXPECT_EQ(list.size(), fresh.size());
    for (std::size_t i = 0; i < std::min(list.size(), fresh.size()); ++i) {
      EXPECT_EQ(list[i].path, fresh[i].path);
      EXPECT_EQ(list[i].real, fresh[i].real) << list[i].path;
      EXPECT_EQ(list[i].exists, fresh[i].exists) << list[i].path;
    }
    return list;
  }

  // Asks until an answer needs no look: the kernel is to tell of changes now.
  bool is_told() {
    for (const auto end = std::chrono::steady_clock::now() + 20s;
         std::chrono::steady_clock::now() < end; std::this_thread::sleep_for(5ms)) {
      const auto before = watch_.looked() + watch_.made();
      ask();
      if (watch_.looked() + watch_.made() == before) return true;
    }
    return false;
  }

  static fscrypt_key_specifier add_key(int file_system) {
    constexpr std::size_t kKey = 64;
    alignas(fscrypt_add_key_arg) char space[sizeof(fscrypt_add_key_arg) + kKey] = {};
    auto* key = new (space) fscrypt_add_key_arg{};
    key->key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
    key->raw_size = kKey;
    std::memset(space + sizeof *key, 'k', kKey);
    EXPECT_EQ(::ioctl(file_system, FS_IOC_ADD_ENCRYPTION_KEY, key), 0) << std::strerror(errno);
    return key->key_spec;
  }
  static void encrypt(const std::string& directory, const fscrypt_key_specifier& key) {
    fscrypt_policy_v2 policy{};
    policy.version = FSCRYPT_POLICY_V2;
    policy.contents_encryption_mode = FSCRYPT_MODE_AES_256_XTS;
    policy.filenames_encryption_mode = FSCRYPT_MODE_AES_256_CTS;
    policy.flags = FSCRYPT_POLICY_FLAGS_PAD_32;
    std::memcpy(policy.master_key_identifier, key.u.identifier, FSCRYPT_KEY_IDENTIFIER_SIZE);
    const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    EXPECT_EQ(::ioctl(fd.get(), FS_IOC_SET_ENCRYPTION_POLICY, &policy), 0) << std::strerror(errno);
  }

  ProtectionInput input_;
  ProtectionWatch watch_;
};

// Each change alone comes when nothing would be looked at but for what the kernel tells of it.
TEST_F(Watch, IsToldOfEveryChange) {
  const std::vector<std::pair<const char*, std::function<void()>>> changes = {
      {"made", [&] { make_directory("home/.aws"); }},
      {"made in a directory of its own", [&] { write("vault/secret", "s"); }},
      {"made where a directory was missing", [&] { make_directory("home/.m2"); }},
      {"made in that one", [&] { write("home/.m2/settings.xml", "<password>"); }},
      {"removed there", [&] { fs::remove_all(at("home/.m2")); }},
      {"a link", [&] { link(at("work"), "home/.kube"); }},
      {"where that link leads", [&] { fs::rename(at("work"), at("work2")); }},
      {"and back", [&] { fs::rename(at("work2"), at("work")); }},
      {"that link is another",
       [&] {
         link(at("vault"), "home/other");
         fs::rename(at("home/other"), at("home/.kube"));
       }},
      {"a link over a directory", [&] { link(at("work/../vault/further"), "single"); }},
      {"what it leads to", [&] { make_directory("vault/further"); }},
      {"a link to nothing in a protected directory",
       [&] { link(at("work/key"), "home/.ssh/id_rsa"); }},
      {"that there is something", [&] { write("work/key", "k"); }},
      {"two entries change places",
       [&] {
         ASSERT_EQ(::renameat2(AT_FDCWD, at("vault/secret").c_str(), AT_FDCWD,
                               at("vault/further").c_str(), RENAME_EXCHANGE),
                   0);
       }},
      {"a directory becomes a link",
       [&] {
         fs::rename(at("home/.config"), at("work/config"));
         link(at("work/config"), "home/.config");
       }},
      {"inside of that one", [&] { fs::remove(at("work/config/gh")); }},
      {"a directory above is replaced",
       [&] {
         fs::rename(at("home"), at("moved"));
         make_directory("home/.gnupg");
       }},
      {"all of it is gone", [&] { fs::remove_all(at("home")); }},
  };
  for (const auto& [what, change] : changes) {
    SCOPED_TRACE(what);
    ASSERT_TRUE(is_told());
    change();
    ask();
  }
}

// A link in a protected directory may lead over others, of which each may change, wherever it leads
// now.
TEST_F(Watch, FollowsLinksThatStayInside) {
  write("home/.ssh/keys/id", "k");
  link("keys/id", "home/.ssh/id");
  link("../../work/way", "home/.ssh/config");
  link(at("home/.ssh/keys/id"), "work/way");
  for (const bool told : {false, true}) {
    SCOPED_TRACE(told ? "told" : "looked up");
    ASSERT_TRUE(told ? is_told() : remembers());
    fs::rename(at("home/.ssh/keys/id"), at("work/id"));
    link(at("work/id"), "home/.ssh/keys/id");
    ask();
    ASSERT_TRUE(told ? is_told() : remembers());
    fs::remove(at("work/way"));
    link(at("work/id"), "work/way");
    ask();
    fs::rename(at("work/id"), at("home/.ssh/keys/id"));
    fs::remove(at("work/way"));
    link(at("home/.ssh/keys/id"), "work/way");
  }
}

// The kernel tells of mounts as well, which leave every directory as it was.
TEST_F(Watch, IsToldWhatIsMountedOver) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  std::thread([&] {  // of its own, whose mounts nobody else sees
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    write("other/secret", "s");
    ASSERT_TRUE(is_told());
    ASSERT_EQ(::mount(at("other").c_str(), at("vault").c_str(), nullptr, MS_BIND, nullptr), 0);
    ask();
    ASSERT_TRUE(is_told());
    ASSERT_EQ(::umount2(at("vault").c_str(), MNT_DETACH), 0);
    ask();
  })
      .join();
}

// Until its key is there, nobody finds anything in an encrypted home, and no directory changes when
// it comes (fscrypt).
TEST_F(Watch, SeesWhatTheKeyOfAnEncryptedHomeOpens) {
  if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  bool mounted = false;
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    const std::string image = at("image");
    const std::string disk = make_directory("disk");
    const std::string make = "truncate -s 32M " + image + " && mkfs.ext4 -q -O encrypt " + image +
                             " 2>/dev/null && mount -o loop " + image + " " + disk + " 2>/dev/null";
    mounted = std::system(make.c_str()) == 0;
    if (!mounted) return;
    const UniqueFd top(::open(disk.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto key = add_key(top.get());
    make_directory("disk/home");
    encrypt(at("disk/home"), key);
    make_directory("disk/home/.ssh");
    link(at("work/key"), "disk/home/.ssh/id");
    fscrypt_remove_key_arg removed{};
    removed.key_spec = key;
    ASSERT_EQ(::ioctl(top.get(), FS_IOC_REMOVE_ENCRYPTION_KEY, &removed), 0);
    ASSERT_EQ(removed.removal_status_flags, 0u);

    input_.home = at("disk/home");
    // As often as makes a list be kept, where one may be.
    for (int i = 0; i < 10; ++i, std::this_thread::sleep_for(20ms)) ask();
    add_key(top.get());
    const auto& list = ask();
    EXPECT_TRUE(std::any_of(list.begin(), list.end(), [&](const ProtectedPath& entry) {
      return entry.real == at("work/key");
    }));
  }).join();
  if (!mounted) GTEST_SKIP() << "no encrypted file system can be made and mounted here";
}

// What others do in directories above costs nothing.
TEST_F(Watch, IsNotDisturbedByWhatIsNotOnItsWays) {
  ASSERT_TRUE(is_told());
  const auto before = watch_.looked() + watch_.made();
  write("some-file", "x");
  make_directory("some-directory");
  write("work/inside", "x");
  ASSERT_EQ(::chmod(at("some-file").c_str(), 0600), 0);
  ask();
  EXPECT_EQ(watch_.looked() + watch_.made(), before);
}

TEST_F(Watch, SeesEveryChangeAtOnce) {
  ASSERT_TRUE(remembers());
  make_directory("home/.aws");  // one of many in its directory
  ask();
  write("home/.config/gcloud", "a file for once");
  ask();
  link(at("work"), "home/.kube");  // a link to somewhere else
  ask();
  link(at("work/key"), "home/.ssh/id_rsa");  // a link to nothing yet, in a protected directory
  ask();
  write("work/key", "k");
  ask();
  write("vault/secret", "alone in its directory");
  ask();
  link(at("work"), "single");
  ask();

  ASSERT_TRUE(remembers());
  const auto made = watch_.made();
  ask();
  EXPECT_EQ(watch_.made(), made);
  fs::remove(at("home/.kube"));
  link(at("vault"), "home/.kube");
  ask();
  fs::rename(at("home/.config"), at("work/config"));
  link(at("work/config"), "home/.config");  // the way itself becomes a link
  ask();
  fs::remove(at("single"));
  ask();
  fs::rename(at("home"), at("moved"));
  ask();
  link(at("moved"), "home");
  ask();
}

TEST_F(Watch, AnotherInputIsAnotherList) {
  ASSERT_TRUE(remembers());
  input_.configured.push_back(at("work/more"));
  ask();
  input_.home = at("nowhere");
  ask();
  input_.root = true;
  ask();
}

// What is missing is not looked at by itself where a directory above it tells.
TEST_F(Watch, SeesWhatAppearsBelowWhatWasMissing) {
  ASSERT_TRUE(remembers());
  make_directory("home/.m2");
  ask();
  ASSERT_TRUE(remembers());
  write("home/.m2/settings.xml", "<password>");
  ask();
  ASSERT_TRUE(remembers());
  make_directory("work/gradle");
  write("work/gradle/gradle.properties", "key");
  link(at("work/gradle"), "home/.gradle");
  ask();
  ASSERT_TRUE(remembers());
  fs::remove(at("work/gradle/gradle.properties"));
  ask();
  fs::remove(at("home/.m2/settings.xml"));
  fs::remove(at("home/.m2"));
  ask();
  make_directory("home/.m2/settings.xml");
  ask();
}

TEST_F(Watch, AFileThatBecomesADirectoryWithLinksIsSeen) {
  write("home/.cargo/credentials", "t");
  ASSERT_TRUE(remembers());
  fs::remove(at("home/.cargo/credentials"));
  link(at("work"), "home/.cargo/credentials/x");
  ask();
}

// Otherwise what changes once more within a tick of the kernel could keep its stamp.
TEST_F(Watch, NothingIsStampedBeforeTheMomentThatWasAskedFor) {
  for (int i = 0; i < 200; ++i) {
    const std::int64_t asked = stamp_now();
    const std::string name = "work/new" + std::to_string(i);
    make_directory(name);
    struct stat status {};
    ASSERT_EQ(::stat(at(name).c_str(), &status), 0);
    ASSERT_GE(nanoseconds(status.st_ctim), asked);
  }
}

}  // namespace
}  // namespace sharkcage
