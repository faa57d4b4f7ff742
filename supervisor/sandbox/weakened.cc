// Part of sharkcage-launcher-weakened only.
#include "supervisor/sandbox/weakened.h"

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string_view>

namespace sharkcage::sandbox::weakened {
namespace {

// In the order of `Layer`.
constexpr std::string_view kNames[] = {
    "seccomp",    "landlock", "noexec", "readonly", "nosuid", "proc",  "view",    "hidden",
    "privileges", "network",  "pids",   "ipc",      "limits", "names", "sockets", "recording"};

unsigned bit_of(std::string_view name) {
  for (unsigned i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return 1u << i;
  }
  std::fprintf(stderr, "SHARKCAGE_WEAKENED: there is no layer \"%.*s\"\n",
               static_cast<int>(name.size()), name.data());
  std::exit(2);
}

// Before main: what asks later must not allocate.
unsigned named_in_environment() {
  const char* variable = std::getenv("SHARKCAGE_WEAKENED");
  std::string_view rest = variable == nullptr ? "" : variable;
  unsigned layers = 0;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    layers |= bit_of(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
  }
  return layers;
}

const unsigned left_out = named_in_environment();

}  // namespace

bool leaves_out(Layer layer) {
  return (left_out & (1u << static_cast<unsigned>(layer))) != 0;
}

}  // namespace sharkcage::sandbox::weakened
