#include "supervisor/sandbox/command.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "common/errors.h"
#include "supervisor/sandbox/command_image.h"

namespace sharkcage::sandbox {
namespace {

constexpr std::string_view kDefaultPath = "/usr/local/bin:/usr/bin:/bin";
constexpr std::uint64_t kEnd = 0;

static_assert(sizeof(char*) == sizeof(std::uint64_t), "a slot holds an offset, then a pointer");

std::string_view search_path(const std::vector<std::string>& environment) {
  for (const std::string_view variable : environment) {
    if (variable.starts_with("PATH=")) return variable.substr(5);
  }
  return kDefaultPath;
}

class Layout {
 public:
  explicit Layout(std::size_t slots) : strings_(sizeof(CommandHeader) + slots * sizeof(kEnd)) {
    slots_.reserve(slots);
  }

  // The offset of a copy of `text`.
  std::uint64_t place(std::string_view text) {
    if (text.find('\0') != std::string_view::npos) {
      throw UserError("an argument, a variable or a path of the command holds a NUL byte");
    }
    const std::uint64_t offset = strings_ + texts_.size();
    texts_.append(text);
    texts_.push_back('\0');
    return offset;
  }
  // Returns the slot's number.
  std::uint64_t add(std::uint64_t offset) {
    slots_.push_back(offset);
    return slots_.size() - 1;
  }
  void add_list(const std::vector<std::string>& list) {
    for (const std::string& text : list) add(place(text));
    add(kEnd);
  }
  std::uint64_t next() const { return slots_.size(); }

  std::string image(CommandHeader header) const {
    header.slots = slots_.size();
    header.size = strings_ + texts_.size();
    std::string bytes;
    bytes.reserve(header.size);
    bytes.append(reinterpret_cast<const char*>(&header), sizeof header);
    bytes.append(reinterpret_cast<const char*>(slots_.data()), slots_.size() * sizeof(kEnd));
    return bytes.append(texts_);
  }

 private:
  const std::uint64_t strings_;
  std::vector<std::uint64_t> slots_;
  std::string texts_;
};

}  // namespace

// execvp(3): a name with a slash is a path, any other is looked for along PATH.
std::vector<std::string> Command::candidates() const {
  const std::string& name = argv.at(0);
  if (name.empty()) return {};
  if (name.find('/') != std::string::npos) return {name};
  std::vector<std::string> found;
  const std::string_view path = search_path(environment);
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find(':', start), path.size());
    const std::string_view directory = path.substr(start, end - start);
    found.push_back((directory.empty() ? "." : std::string(directory)) + "/" + name);
    start = end + 1;
  }
  return found;
}

std::string Command::encode() const {
  if (argv.empty()) throw UserError("a command without a program");
  const std::vector<std::string> programs = candidates();
  // A shell, and an end for each of the three lists.
  Layout layout(argv.size() + environment.size() + programs.size() + 4);
  CommandHeader header;
  header.script = layout.add(layout.place("/bin/sh"));
  layout.add_list(argv);
  header.environment = layout.next();
  layout.add_list(environment);
  header.candidates = layout.next();
  layout.add_list(programs);
  header.workdir = layout.place(workdir);
  header.terminal = terminal.enabled ? 1 : 0;
  header.rows = terminal.rows;
  header.columns = terminal.columns;
  header.background = terminal.background ? 1 : 0;
  return layout.image(header);
}

}  // namespace sharkcage::sandbox
