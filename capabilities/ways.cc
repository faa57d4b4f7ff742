#include "capabilities/ways.h"

#include <algorithm>

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxLinks = 40;  // path_resolution(7)

}  // namespace

std::optional<std::string> WayFinder::follow(const std::string& path, Ways& ways) {
  std::string rest = path;
  std::string at;
  int links = 0;
  while (true) {
    const std::size_t start = rest.find_first_not_of('/');
    if (start == std::string::npos) return at.empty() ? "/" : at;
    const std::size_t end = std::min(rest.find('/', start), rest.size());
    const std::string name = rest.substr(start, end - start);
    rest.erase(0, end);
    if (name == ".") continue;
    if (name == "..") {
      ways[at.empty() ? "/" : at];  // it has to be a directory that may be searched
      at = at.empty() ? "" : at.substr(0, at.rfind('/'));
      continue;
    }
    ways[at.empty() ? "/" : at].names.insert(name);
    const std::string next = at + "/" + name;
    const Entry& entry = look_at(next);
    if (entry.error == std::errc::no_such_file_or_directory ||
        entry.error == std::errc::not_a_directory) {
      return (fs::path(next + rest) / ".").lexically_normal().parent_path().string();
    }
    if (entry.error == std::errc::invalid_argument) {  // it is no link
      at = next;
      continue;
    }
    if (entry.error || ++links > kMaxLinks) return std::nullopt;
    if (entry.link.is_absolute()) at.clear();
    rest = entry.link.string() + rest;
  }
}

const WayFinder::Entry& WayFinder::look_at(const std::string& path) {
  const auto [known, unknown] = known_.try_emplace(path);
  if (unknown) known->second.link = fs::read_symlink(path, known->second.error);
  return known->second;
}

}  // namespace sharkcage
