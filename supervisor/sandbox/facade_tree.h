// The directories and files that the facade shows: the skeleton of a sandbox's root, which never
// changes, its private home, which the commands may fill, and what lies over protected paths.
//
// All of it is in memory but the content of the home's files. One thread.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "supervisor/sandbox/plan.h"

namespace sharkcage::sandbox {

struct Node;

struct Directory {
  struct Entry {
    Node* node = nullptr;
    std::uint64_t order = 0;
  };
  // The order is what a reader continues from (readdir's offset): it outlives what is removed.
  std::map<std::string, Entry, std::less<>> entries;
  std::map<std::uint64_t, const std::string*> in_order;
  std::uint64_t next_order = 3;  // after "." and ".."
};

struct Node {
  std::uint64_t id = 0;
  mode_t mode = 0;                    // type and permissions
  bool home = false;                  // may be changed, belongs to the sandbox's user
  bool fixed = false;                 // a mount point, or on the way to one: stays where it is
  bool mask = false;                  // lies over a protected path: whoever looks is refused
  std::uint32_t links = 0;            // as st_nlink
  std::uint64_t lookups = 0;          // references of the kernel
  Node* parent = nullptr;             // of a directory; null at the top of a part
  const std::string* name = nullptr;  // of a directory, in its parent's entries
  std::int64_t accessed = 0, modified = 0, changed = 0;  // nanoseconds since 1970
  std::uint64_t size = 0;
  std::string text;          // of a link: where it leads; at the top of a part: its path inside
  std::string_view content;  // of a file of the plan's
  std::unique_ptr<Directory> directory;
};

class Tree {
 public:
  static constexpr std::uint64_t kTop = 1;  // FUSE_ROOT_ID

  // The nodes of `plan`'s steps `in_facade`. Below the top are "root", "home" and for each mask
  // "mask-file-N" and "mask-directory-N"; PID 1 mounts them where they belong. `max_nodes` bounds
  // the home. The plan's texts must outlive the tree.
  Tree(const Plan& plan, std::uint64_t max_nodes);

  Node* find(std::uint64_t id);
  static Node* child(const Node& directory, std::string_view name);
  // The node at a path inside, through no link and nothing that is mounted, or null.
  const Node* at(std::string_view path) const;
  // The path inside; of a file that is no mask: empty.
  static std::string path_of(const Node& node);
  const std::string& home_path() const { return home_->text; }
  // Files of the home that the plan has content for, which is to be stored before anybody reads.
  const std::vector<const Node*>& filled() const { return filled_; }

  // All return 0 or a negative errno. The kernel has checked permissions, and that no directory
  // becomes its own parent.
  int make(Node& directory, std::string_view name, mode_t mode, std::string_view text, Node*& made);
  int make_unnamed(mode_t mode, Node*& made);
  int link(Node& node, Node& directory, std::string_view name);
  int remove(Node& directory, std::string_view name, bool is_directory);
  int rename(Node& from, std::string_view name, Node& to, std::string_view new_name,
             unsigned flags);

  // The kernel has forgotten `count` references. Returns true when the node was dropped, and its
  // content must be, too.
  bool forget(std::uint64_t id, std::uint64_t count);
  // Nothing leads to it any more.
  static bool dead(const Node& node) { return node.links == 0 && node.lookups == 0; }
  void drop(Node& node);

  std::uint64_t max_nodes() const { return max_nodes_; }
  std::uint64_t nodes_in_home() const { return nodes_in_home_; }

 private:
  Node& add(mode_t mode, bool home);
  void enter(Node& directory, std::string_view name, Node& node);
  void leave(Node& directory, std::string_view name);
  Node& way_to(std::string_view path, bool fixed);
  void add_step(const Step& step);
  void add_masks(const Plan& plan);
  int check_removable(const Node& node, bool is_directory) const;
  int replace(Node& to, std::string_view name, const Node& moved);

  std::unordered_map<std::uint64_t, Node> nodes_;
  std::uint64_t next_id_ = kTop;
  const std::uint64_t max_nodes_;
  std::uint64_t nodes_in_home_ = 0;
  const std::int64_t made_at_;
  std::vector<const Node*> filled_;
  Node* top_ = nullptr;
  Node* root_ = nullptr;
  Node* home_ = nullptr;
};

std::int64_t nanoseconds_since_1970();

}  // namespace sharkcage::sandbox
