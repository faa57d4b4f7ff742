#include "supervisor/process_tree.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace sharkcage {

std::size_t count_process_tree(pid_t root) {
  std::size_t count = 0;
  std::vector<pid_t> left;
  if (root > 0) left.push_back(root);
  while (!left.empty()) {
    const std::string tasks = "/proc/" + std::to_string(left.back()) + "/task";
    left.pop_back();
    std::error_code error;
    std::filesystem::directory_iterator task(tasks, error);
    if (error) continue;
    ++count;
    for (; task != std::filesystem::directory_iterator(); task.increment(error)) {
      std::ifstream children(task->path() / "children");
      for (pid_t child = 0; children >> child;) left.push_back(child);
      if (error) break;
    }
  }
  return count;
}

}  // namespace sharkcage
