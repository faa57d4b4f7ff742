#include "supervisor/own_program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "supervisor/refusals.h"

namespace sharkcage {
namespace {

using sandbox::Refusal;

// As much of a script as the kernel reads (execve(2), "Interpreter scripts").
constexpr std::size_t kMaxFirstLine = 256;

// `path`, if its way leads through `missing`, else empty. By its words: links on the way are not
// known here, and are followed up to `missing` by the sandbox alone.
std::string through(std::string_view path, std::string_view missing) {
  std::string at;
  for (std::size_t start = 0; start < path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, end - start);
    start = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      at.erase(std::min(at.rfind('/'), at.size()));
    } else {
      at.append("/").append(part);
    }
    if (at == missing) return start < path.size() ? at + '/' + std::string(path.substr(start)) : at;
  }
  return {};
}

// Empty for what is no script, or cannot be read by the person. Never waits for a writer.
std::string interpreter_of(const std::string& script, const LocalLook& look) {
  const LocalPlace place = look.find(script, true);
  struct stat status {};
  if (!place.file || ::fstat(place.file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  const std::string path = "/proc/self/fd/" + std::to_string(place.file.get());
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  char block[kMaxFirstLine];
  const ssize_t size = file ? ::pread(file.get(), block, sizeof block, 0) : -1;
  if (size <= 0) return {};
  std::string_view line(block, static_cast<std::size_t>(size));
  if (!line.starts_with("#!")) return {};
  line = line.substr(0, line.find('\n'));
  const std::size_t begin = line.find_first_not_of(" \t", 2);
  if (begin == std::string_view::npos) return {};
  return std::string(line.substr(begin, line.find_first_of(" \t", begin) - begin));
}

class Ways {
 public:
  Ways(const Start& start, const Policy& policy, const LocalLook& look)
      : start_(start), policy_(policy), look_(look) {}

  // Of each way that goes through what is missing, the whole; at most as many as were missed.
  void name(const Refusal& missed, std::vector<Refusal>& named) {
    std::uint64_t left = missed.count;
    for (const std::string& path : start_.paths) add(missed, path, left, named);
    leave_out_aliases(missed, left);
    if (left == 0 || start_.operation != "execute") return;
    for (const std::string& path : start_.paths) {
      const std::string interpreter = interpreter_of(path_outside(path, policy_), look_);
      if (!interpreter.empty()) add(missed, interpreter, left, named);
    }
    if (left == 0) return;
    named.push_back(missed);
    named.back().count = left;
  }

 private:
  // The same program along another directory of the search path, which a link leads to this one:
  // /bin and /usr/bin.
  void leave_out_aliases(const Refusal& missed, std::uint64_t& left) const {
    const auto is_it = [&](const std::string& path) {
      return through(path, missed.target) == missed.target;
    };
    if (std::none_of(start_.paths.begin(), start_.paths.end(), is_it)) return;
    const std::string name = missed.target.substr(missed.target.rfind('/'));
    for (const std::string& path : start_.paths) {
      if (left > 0 && path.ends_with(name) && !is_it(path)) --left;
    }
  }

  void add(const Refusal& missed, const std::string& path, std::uint64_t& left,
           std::vector<Refusal>& named) const {
    const std::string way = left == 0 ? std::string() : through(path, missed.target);
    if (way.empty()) return;
    --left;
    Refusal refusal = missed;
    refusal.operation = start_.operation;
    refusal.target = way;
    refusal.program = way.substr(way.rfind('/') + 1);
    refusal.count = 1;
    named.push_back(std::move(refusal));
  }

  const Start& start_;
  const Policy& policy_;
  const LocalLook& look_;
};

}  // namespace

std::vector<Refusal> with_start(std::vector<Refusal> refused, const Start& start,
                                const Policy& policy, const LocalLook& look) {
  std::vector<Refusal> named;
  Ways ways(start, policy, look);
  for (Refusal& refusal : refused) {
    if (refusal.start) {
      ways.name(refusal, named);
    } else {
      named.push_back(std::move(refusal));
    }
  }
  return named;
}

}  // namespace sharkcage
