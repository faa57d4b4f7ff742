#include "supervisor/sandbox/facade_tree.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <stdexcept>

namespace sharkcage::sandbox {
namespace {

constexpr std::size_t kMaxName = 255;  // NAME_MAX
constexpr std::size_t kMaxLink = 4095;
constexpr std::uint32_t kMaxLinks = 65000;

bool strictly_inside(std::string_view path, std::string_view directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

void touch(Node& node) {
  node.modified = node.changed = nanoseconds_since_1970();
}

}  // namespace

std::int64_t nanoseconds_since_1970() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

Tree::Tree(const Plan& plan, std::uint64_t max_nodes)
    : max_nodes_(max_nodes), made_at_(nanoseconds_since_1970()) {
  top_ = &add(S_IFDIR | 0755, false);
  root_ = &add(S_IFDIR | 0755, false);
  enter(*top_, "root", *root_);
  home_ = &add(S_IFDIR | 0700, true);
  enter(*top_, "home", *home_);
  // Where a part begins for whoever is inside.
  root_->parent = home_->parent = nullptr;
  home_->fixed = true;
  home_->text = "/" + plan.home;
  for (const Step& step : plan.steps) {
    if (step.in_facade) add_step(step);
  }
  add_masks(plan);
}

Node& Tree::add(mode_t mode, bool home) {
  const std::uint64_t id = next_id_++;
  Node& node = nodes_[id];
  node.id = id;
  node.mode = mode;
  node.home = home;
  node.accessed = node.modified = node.changed = made_at_;
  if (S_ISDIR(mode)) {
    node.directory = std::make_unique<Directory>();
    node.links = 1;  // its own "."
  }
  if (home) ++nodes_in_home_;
  return node;
}

void Tree::enter(Node& directory, std::string_view name, Node& node) {
  const auto [entry, fresh] = directory.directory->entries.emplace(name, Directory::Entry{});
  if (!fresh) throw std::logic_error("a name is entered twice");
  entry->second = {&node, directory.directory->next_order++};
  directory.directory->in_order.emplace(entry->second.order, &entry->first);
  ++node.links;
  if (node.directory) {
    node.parent = &directory;
    node.name = &entry->first;
    ++directory.links;
  }
}

void Tree::leave(Node& directory, std::string_view name) {
  const auto entry = directory.directory->entries.find(name);
  Node& node = *entry->second.node;
  directory.directory->in_order.erase(entry->second.order);
  directory.directory->entries.erase(entry);
  --node.links;
  if (node.directory) --directory.links;
}

// The directory that holds the last part of `path`, which is relative to the root; made if missing.
// `fixed`: it leads to a mount point.
Node& Tree::way_to(std::string_view path, bool fixed) {
  const std::string_view home = std::string_view(home_->text).substr(1);
  const bool in_home = !home.empty() && strictly_inside(path, home);
  if (in_home) path.remove_prefix(home.size() + 1);
  Node* at = in_home ? home_ : root_;
  for (std::size_t slash; (slash = path.find('/')) != std::string_view::npos;) {
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(slash + 1);
    Node* next = child(*at, name);
    if (next == nullptr) {
      next = &add(S_IFDIR | 0755, in_home);
      enter(*at, name, *next);
    }
    // A plan with a file on the way to another one is wrong, and nothing is made of it.
    if (!next->directory) throw std::logic_error("a file of the skeleton is no directory");
    if (in_home && fixed) next->fixed = true;
    at = next;
  }
  return *at;
}

void Tree::add_step(const Step& step) {
  // Plain files and directories of the home are the commands' own; in the root nothing changes.
  const bool own = step.kind == Step::Kind::kFile || step.kind == Step::Kind::kDirectory;
  Node& directory = way_to(step.target, !own);
  const std::string_view path = step.target;
  const std::string_view name = path.substr(path.rfind('/') + 1);
  Node* const known = child(directory, name);
  if (known != nullptr) {
    if (!own) known->fixed = true;
    return;
  }
  mode_t mode = S_IFDIR | (step.kind == Step::Kind::kDirectory ? step.mode : 0755);
  if (step.kind == Step::Kind::kFile) mode = S_IFREG | step.mode;
  if (step.kind == Step::Kind::kLink) mode = S_IFLNK | 0777;
  if (step.kind == Step::Kind::kBind && !step.directory) mode = S_IFREG | 0644;
  Node& node = add(mode, directory.home);
  node.fixed = !own || !directory.home;
  if (step.kind == Step::Kind::kFile) node.content = step.content;
  if (step.kind == Step::Kind::kLink) node.text = step.source;
  node.size = step.kind == Step::Kind::kLink ? node.text.size() : node.content.size();
  enter(directory, name, node);
  if (directory.home && !node.content.empty()) filled_.push_back(&node);
}

// Two for each, since only PID 1 sees what is to be covered.
void Tree::add_masks(const Plan& plan) {
  for (const Step& step : plan.steps) {
    if (step.kind != Step::Kind::kMask) continue;
    for (const bool directory : {false, true}) {
      Node& mask = add(directory ? S_IFDIR : S_IFREG, false);
      mask.mask = true;
      enter(*top_, (directory ? "mask-directory-" : "mask-file-") + std::to_string(step.mask),
            mask);
      mask.parent = nullptr;
      mask.text = "/" + step.target;
    }
  }
}

Node* Tree::find(std::uint64_t id) {
  const auto found = nodes_.find(id);
  return found == nodes_.end() ? nullptr : &found->second;
}

Node* Tree::child(const Node& directory, std::string_view name) {
  if (!directory.directory) return nullptr;
  const auto found = directory.directory->entries.find(name);
  return found == directory.directory->entries.end() ? nullptr : found->second.node;
}

const Node* Tree::at(std::string_view path) const {
  const Node* node = root_;
  const std::string_view home = home_->text;
  if (home.size() > 1 && (path == home || strictly_inside(path, home))) {
    node = home_;
    path.remove_prefix(home.size());
  }
  while (node != nullptr && !path.empty()) {
    path.remove_prefix(path.starts_with('/') ? 1 : 0);
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0) node = child(*node, path.substr(0, end));
    path.remove_prefix(end);
  }
  return node;
}

std::string Tree::path_of(const Node& node) {
  if (node.parent == nullptr) return node.text;
  return path_of(*node.parent) + "/" + *node.name;
}

int Tree::make(Node& directory, std::string_view name, mode_t mode, std::string_view text,
               Node*& made) {
  if (!directory.home) return -EROFS;
  if (name.size() > kMaxName || text.size() > kMaxLink) return -ENAMETOOLONG;
  if (directory.links == 0) return -ENOENT;
  if (child(directory, name) != nullptr) return -EEXIST;
  if (S_ISDIR(mode) && directory.links >= kMaxLinks) return -EMLINK;
  if (const int error = make_unnamed(mode, made); error != 0) return error;
  made->text = text;
  if (S_ISLNK(mode)) made->size = text.size();
  enter(directory, name, *made);
  touch(directory);
  return 0;
}

int Tree::make_unnamed(mode_t mode, Node*& made) {
  if (nodes_in_home_ >= max_nodes_) return -ENOSPC;
  made = &add(mode, true);
  made->accessed = made->modified = made->changed = nanoseconds_since_1970();
  return 0;
}

int Tree::link(Node& node, Node& directory, std::string_view name) {
  if (!node.home || !directory.home) return -EROFS;
  if (node.directory) return -EPERM;
  if (name.size() > kMaxName) return -ENAMETOOLONG;
  if (directory.links == 0) return -ENOENT;
  if (child(directory, name) != nullptr) return -EEXIST;
  if (node.links >= kMaxLinks) return -EMLINK;
  enter(directory, name, node);
  node.changed = nanoseconds_since_1970();
  touch(directory);
  return 0;
}

int Tree::check_removable(const Node& node, bool is_directory) const {
  if (!node.home) return -EROFS;
  if (node.fixed) return -EBUSY;
  if (is_directory && !node.directory) return -ENOTDIR;
  if (!is_directory && node.directory) return -EISDIR;
  if (is_directory && !node.directory->entries.empty()) return -ENOTEMPTY;
  return 0;
}

int Tree::remove(Node& directory, std::string_view name, bool is_directory) {
  Node* const node = child(directory, name);
  if (node == nullptr) return -ENOENT;
  if (!directory.home) return -EROFS;
  if (const int error = check_removable(*node, is_directory); error != 0) return error;
  leave(directory, name);
  if (is_directory) node->links = 0;
  node->changed = nanoseconds_since_1970();
  touch(directory);
  return 0;
}

// Takes away what `moved` is about to replace.
int Tree::replace(Node& to, std::string_view name, const Node& moved) {
  Node* const old = child(to, name);
  if (old == nullptr) return 0;
  if (old->directory && !moved.directory) return -EISDIR;
  if (!old->directory && moved.directory) return -ENOTDIR;
  return remove(to, name, static_cast<bool>(old->directory));
}

int Tree::rename(Node& from, std::string_view name, Node& to, std::string_view new_name,
                 unsigned flags) {
  if (!from.home || !to.home) return -EROFS;
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return -EINVAL;
  if (new_name.size() > kMaxName) return -ENAMETOOLONG;
  Node* const moved = child(from, name);
  Node* const other = child(to, new_name);
  if (moved == nullptr) return -ENOENT;
  if (moved->fixed || (other != nullptr && other->fixed)) return -EBUSY;
  if (moved == other) return 0;
  for (const Node* above = &to; above != nullptr; above = above->parent) {
    if (above == moved) return -EINVAL;
  }
  const std::string old_key(name);
  const std::string new_key(new_name);
  if ((flags & RENAME_EXCHANGE) != 0) {
    if (other == nullptr) return -ENOENT;
    leave(from, old_key);
    leave(to, new_key);
    enter(from, old_key, *other);
    other->changed = nanoseconds_since_1970();
  } else {
    if (other != nullptr && (flags & RENAME_NOREPLACE) != 0) return -EEXIST;
    if (const int error = replace(to, new_key, *moved); error != 0) return error;
    leave(from, old_key);
  }
  enter(to, new_key, *moved);
  moved->changed = nanoseconds_since_1970();
  touch(from);
  touch(to);
  return 0;
}

bool Tree::forget(std::uint64_t id, std::uint64_t count) {
  Node* const node = find(id);
  if (node == nullptr) return false;
  node->lookups -= std::min(count, node->lookups);
  if (!dead(*node)) return false;
  drop(*node);
  return true;
}

void Tree::drop(Node& node) {
  if (node.home) --nodes_in_home_;
  nodes_.erase(node.id);
}

}  // namespace sharkcage::sandbox
