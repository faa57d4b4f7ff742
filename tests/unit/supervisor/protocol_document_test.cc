// docs/protocol.md names exactly the methods, and of each exactly the parameters, that the code has.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "common/fd.h"
#include "supervisor/supervisor.h"

namespace sharkcage {
namespace {

// The names at the top level of "`{a, b?: […{…}…], c | d: x}` → …".
std::set<std::string> members(const std::string& signature) {
  std::set<std::string> names;
  std::string name;
  int depth = 0;
  bool in_name = false;
  const auto finish = [&] {
    if (!name.empty()) names.insert(std::exchange(name, {}));
    in_name = true;
  };
  for (const char c : signature) {
    if (c == '{' || c == '[') {
      if (++depth == 1) in_name = true;
    } else if (c == '}' || c == ']') {
      if (--depth == 0) break;
    } else if (depth == 1 && (c == ',' || (c == '|' && in_name))) {
      finish();
    } else if (c == ':' || c == '?') {
      if (depth == 1) in_name = false;
    } else if (depth == 1 && in_name && c != ' ') {
      name += c;
    }
  }
  finish();
  return names;
}

TEST(ProtocolDocument, AgreesWithTheCode) {
  std::istringstream document(read_file(std::string(PROJECT_ROOT) + "/docs/protocol.md", 1u << 20));
  std::map<std::string, std::set<std::string>> documented;
  std::string method_name;
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with("### ")) {
      method_name = line.substr(4);
    } else if (!method_name.empty() && line.starts_with("`{")) {
      documented[std::exchange(method_name, {})] = members(line);
    }
  }
  std::set<std::string> in_code;
  for (const auto& method : Supervisor::protocol()) {
    in_code.insert(method.name);
    ASSERT_TRUE(documented.contains(method.name)) << method.name << " is not in docs/protocol.md";
    EXPECT_EQ(documented[method.name],
              std::set<std::string>(method.params.begin(), method.params.end()))
        << method.name;
  }
  for (const auto& [name, ignored] : documented) {
    EXPECT_TRUE(in_code.contains(name)) << name << " is documented and does not exist";
  }
}

}  // namespace
}  // namespace sharkcage
