#include "supervisor/sandbox/exec_scope.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "supervisor/sandbox/steps.h"

namespace sharkcage::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProgramDirectories[] = {"/usr/bin",        "/usr/sbin",  "/usr/local/bin",
                                               "/usr/local/sbin", "/usr/games", "/usr/local/games"};
constexpr const char* kMultiarch[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
                                      "/usr/lib64"};
constexpr const char* kLoaders[] = {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"};
constexpr const char* kShells[] = {"/bin/sh", "/bin/bash"};
// Data, never executed: mounted noexec.
constexpr const char* kData[] = {"/usr/share", "/usr/lib/locale", "/usr/lib/terminfo",
                                 "/usr/lib/ssl", "/usr/lib/file"};

// Parts that a program keeps outside of the library directories. They belong to it: what is
// executable in them may be executed.
struct Parts {
  const char* program;  // the beginning of its name, as far as a digit, '.' or '-'
  std::vector<const char*> paths;
};

const std::vector<Parts>& known_parts() {
  static const std::vector<const char*> compiler = {
      "/usr/lib/gcc", "/usr/libexec/gcc", "/usr/include",        "/usr/local/include",
      "/usr/bin/as",  "/usr/bin/ld",      "/usr/lib/bfd-plugins"};
  static const std::vector<Parts> parts = {
      {"git", {"/usr/lib/git-core", "/usr/libexec/git-core"}},
      {"python", {"/usr/lib/python3", "/usr/lib/python3.*", "/usr/local/lib/python3.*"}},
      {"perl", {"/usr/local/lib/site_perl"}},
      {"ruby", {"/usr/lib/ruby"}},
      {"node", {"/usr/lib/node_modules", "/usr/local/lib/node_modules"}},
      {"npm", {"/usr/lib/node_modules", "/usr/local/lib/node_modules"}},
      {"npx", {"/usr/lib/node_modules", "/usr/local/lib/node_modules"}},
      {"java", {"/usr/lib/jvm"}},
      {"javac", {"/usr/lib/jvm"}},
      {"gcc", compiler},
      {"g++", compiler},
      {"cc", compiler},
      {"c++", compiler},
  };
  return parts;
}

std::string real_path(const std::string& path) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  return error ? std::string() : real.string();
}

bool inside(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory + "/");
}

bool inside_any(const std::string& path, const std::vector<std::string>& directories) {
  return std::any_of(directories.begin(), directories.end(),
                     [&](const std::string& directory) { return inside(path, directory); });
}

void add_directory(std::vector<std::string>& directories, const std::string& path) {
  const std::string real = real_path(path);
  std::error_code error;
  if (real.empty() || !real.starts_with("/usr/") || !fs::is_directory(real, error)) return;
  // A directory of programs or /usr/lib itself would show too much.
  if (real == "/usr/lib" || inside_any(real, directories)) return;
  directories.push_back(real);
}

// The files of ld.so.conf(5), as far as distributions use them: names and includes of *.conf.
std::vector<std::string> configured_directories() {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/etc/ld.so.conf.d", error)) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      line.erase(std::min(line.find_first_of("# \t"), line.size()));
      if (line.starts_with('/')) found.push_back(line);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// "gcc-12" and "gcc" are gcc, "python3.11" is python; "x86_64-linux-gnu-gcc-12" is gcc, too.
std::string base_name_of(const std::string& program) {
  std::string name = fs::path(program).filename().string();
  if (const auto triplet = name.find("-linux-gnu-"); triplet != std::string::npos) {
    name.erase(0, triplet + 11);
  }
  name.erase(std::min(name.find_first_of("0123456789.-"), name.size()));
  return name;
}

// Expands a '*' at the end of a path.
std::vector<std::string> expand(const std::string& pattern) {
  if (!pattern.ends_with('*')) return {pattern};
  const std::string beginning = pattern.substr(0, pattern.size() - 1);
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(pattern).parent_path(), error)) {
    if (entry.path().string().starts_with(beginning)) found.push_back(entry.path().string());
  }
  return found;
}

std::string stamp_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return "-";
  return std::to_string(status.st_mtim.tv_sec) + "." + std::to_string(status.st_mtim.tv_nsec);
}

}  // namespace

void ExecLayout::refresh() {
  std::string stamp = stamp_of("/etc/ld.so.cache") + stamp_of("/etc/alternatives");
  for (const char* path : kProgramDirectories) stamp += " " + stamp_of(path);
  for (const std::string& path : library_directories_) stamp += " " + stamp_of(path);
  if (!stamp_.empty() && stamp == stamp_) return;
  find_links();
  find_libraries();
  find_strays();
  stamp_ = stamp_of("/etc/ld.so.cache") + stamp_of("/etc/alternatives");
  for (const char* path : kProgramDirectories) stamp_ += " " + stamp_of(path);
  for (const std::string& path : library_directories_) stamp_ += " " + stamp_of(path);
}

void ExecLayout::find_links() {
  links_.clear();
  for (const char* directory : kProgramDirectories) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
      if (!entry.is_symlink(error)) continue;
      const std::string real = real_path(entry.path().string());
      if (!real.empty()) links_[real].push_back(entry.path().string());
    }
  }
  for (auto& [real, paths] : links_) std::sort(paths.begin(), paths.end());
}

void ExecLayout::find_libraries() {
  library_directories_.clear();
  loaders_.clear();
  shells_.clear();
  for (const char* path : kMultiarch) add_directory(library_directories_, path);
  for (const std::string& path : configured_directories()) {
    add_directory(library_directories_, path);
  }
  for (const char* path : kLoaders) {
    if (std::string real = real_path(path); !real.empty()) loaders_.push_back(real);
  }
  for (const char* path : kShells) {
    if (std::string real = real_path(path); !real.empty()) shells_.push_back(real);
  }
}

// Libraries are known by their names: the directories belong to root, nobody deceives here.
void ExecLayout::find_strays() {
  stray_programs_.clear();
  for (const std::string& directory : library_directories_) {
    std::error_code error;
    for (auto entry = fs::recursive_directory_iterator(
             directory, fs::directory_options::skip_permission_denied, error);
         entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      if (error) break;
      struct stat status {};
      const std::string path = entry->path().string();
      if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
      const bool library = entry->path().filename().string().find(".so") != std::string::npos;
      if ((status.st_mode & 0111) != 0 && !library) stray_programs_.push_back(path);
    }
  }
  std::sort(stray_programs_.begin(), stray_programs_.end());
}

namespace {

// Everything that may be executed, real paths, with what belongs to it.
std::set<std::string> granted_programs(const ExecRule& rule, const ExecLayout& layout) {
  std::set<std::string> granted(layout.shells().begin(), layout.shells().end());
  for (const std::string& program : rule.programs) {
    granted.insert(program);
    const std::string name = base_name_of(program);
    for (const Parts& parts : known_parts()) {
      if (name != parts.program) continue;
      for (const char* pattern : parts.paths) {
        for (const std::string& path : expand(pattern)) {
          if (std::string real = real_path(path); !real.empty()) granted.insert(real);
        }
      }
    }
  }
  return granted;
}

void plan_data(std::vector<Step>& steps) {
  for (const char* path : kData) {
    struct stat status {};
    if (::lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
      steps.push_back(bind_step(path, path, kReadOnlyMount | MOUNT_ATTR_NOEXEC, true));
    }
  }
}

void plan_libraries(const ExecLayout& layout, const std::set<std::string>& granted,
                    std::vector<Step>& steps) {
  for (const std::string& path : layout.library_directories()) {
    steps.push_back(bind_step(path, path, kReadOnlyMount, true));
  }
  const std::vector<std::string> shown(granted.begin(), granted.end());
  for (const std::string& path : layout.stray_programs()) {
    if (!inside_any(path, shown)) steps.push_back(mask_step(path));
  }
}

void plan_programs(const ExecLayout& layout, const std::set<std::string>& granted,
                   std::vector<Step>& steps) {
  for (const std::string& path : granted) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) continue;
    // Already there with its library directory.
    if (!inside_any(path, layout.library_directories())) {
      steps.push_back(bind_step(path, path, kReadOnlyMount, S_ISDIR(status.st_mode)));
    }
    const auto links = layout.links().find(path);
    if (links == layout.links().end()) continue;
    for (const std::string& link : links->second) steps.push_back(link_step(link, path));
  }
}

}  // namespace

void plan_exec_scope(const ExecRule& rule, const ExecLayout& layout, std::vector<Step>& steps,
                     std::vector<std::string>& executable) {
  const std::set<std::string> granted = granted_programs(rule, layout);
  for (const char* path : kProgramDirectories) steps.push_back(directory_step(path));
  plan_data(steps);
  plan_libraries(layout, granted, steps);
  plan_programs(layout, granted, steps);
  executable.assign(granted.begin(), granted.end());
  executable.insert(executable.end(), layout.loaders().begin(), layout.loaders().end());
}

}  // namespace sharkcage::sandbox
