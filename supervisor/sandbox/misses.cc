#include "supervisor/sandbox/misses.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace sharkcage::sandbox {
namespace {

constexpr int kMaxLinks = 40;

constexpr std::array<std::string_view, 9> kPrograms = {
    "/usr/bin",   "/usr/sbin",        "/bin",    "/sbin", "/usr/local/bin", "/usr/local/sbin",
    "/usr/games", "/usr/local/games", "/opt/bin"};

bool leads_through(std::string_view path, std::string_view missing) {
  return path.starts_with(missing) &&
         (path.size() == missing.size() || path[missing.size()] == '/');
}

// A path's parts, last first: the next one is at the back.
void push_parts(std::vector<std::string>& parts, std::string_view path) {
  const std::size_t from = parts.size();
  for (std::size_t start = 0; start < path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (end > start) parts.emplace_back(path.substr(start, end - start));
    start = end + 1;
  }
  std::reverse(parts.begin() + static_cast<std::ptrdiff_t>(from), parts.end());
}

// What `argument` means if its way leads through `missing`, else empty. Links are followed as far
// as they are the facade's own; what is mounted is taken by its name.
std::string through(const Tree& tree, const std::string& argument, const std::string& missing) {
  std::vector<std::string> parts;
  push_parts(parts, argument);
  std::string at;
  for (int links = 0; !parts.empty();) {
    const std::string part = std::move(parts.back());
    parts.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      at.erase(std::min(at.rfind('/'), at.size()));
      continue;
    }
    const std::string above = at;
    at += "/" + part;
    if (leads_through(at, missing)) {
      for (; !parts.empty(); parts.pop_back()) {
        if (parts.back() != ".") at += "/" + parts.back();
      }
      return at;
    }
    const Node* const node = tree.at(at);
    if (node == nullptr || !S_ISLNK(node->mode)) continue;
    if (++links > kMaxLinks) return {};
    at = node->text.starts_with('/') ? "" : above;
    push_parts(parts, node->text);
  }
  return {};
}

bool is_program(const std::string& path) {
  const std::string_view directory = std::string_view(path).substr(0, path.rfind('/'));
  return std::find(kPrograms.begin(), kPrograms.end(), directory) != kPrograms.end();
}

Refusal of(const Evidence& evidence) {
  Refusal refusal;
  refusal.operation = evidence.seen ? evidence.call.operation : "read";
  refusal.pid = evidence.pid;
  refusal.program = evidence.program;
  refusal.command = evidence.command;
  refusal.first_us = evidence.time_us;
  return refusal;
}

}  // namespace

std::optional<Refusal> missed(const Tree& tree, bool scoped, const Node& directory,
                              std::string_view name, const Evidence& evidence) {
  const std::string missing = Tree::path_of(directory) + "/" + std::string(name);
  const std::string path = through(tree, evidence.path, missing);
  const std::string to = through(tree, evidence.to, missing);
  Refusal refusal = of(evidence);
  refusal.hidden = true;
  refusal.target = !path.empty() ? path : !to.empty() ? evidence.path : missing;
  refusal.to = !to.empty() ? to : evidence.to;
  if (evidence.call.makes && (evidence.call.to < 0 ? path : to) == missing) {
    if (directory.home) return std::nullopt;
    refusal.hidden = false;  // nothing can be made here, whatever there is elsewhere
  }
  if (evidence.ours) {
    refusal.start = true;
    refusal.operation = "execute";
    refusal.program = refusal.target.substr(refusal.target.rfind('/') + 1);
  }
  if (scoped && (refusal.operation == "stat" || refusal.operation == "access") &&
      is_program(refusal.target)) {
    refusal.operation = "execute";
  }
  return refusal;
}

std::optional<Refusal> denied(const Tree& tree, const Node& mask, const Evidence& evidence) {
  const std::string path = through(tree, evidence.path, mask.text);
  Refusal refusal = of(evidence);
  refusal.target = path.empty() ? mask.text : path;
  // What lies there may be seen, not opened.
  if (refusal.operation == "stat" && refusal.target == mask.text) return std::nullopt;
  return refusal;
}

}  // namespace sharkcage::sandbox
