// Runs a fuzz target over a directory of inputs, for compilers without libFuzzer: each input whole,
// and every one of its prefixes.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "common/fd.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
    return 2;
  }
  int inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    const std::string text = sharkcage::read_file(entry.path().string(), 1u << 20);
    for (std::size_t size = 0; size <= text.size(); ++size) {
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), size);
    }
    ++inputs;
  }
  std::printf("%d inputs\n", inputs);
  return inputs > 0 ? 0 : 1;
}
