// A library whose loading is its attack.
#include <unistd.h>

#include <cstring>

namespace {

[[gnu::constructor]] void loaded() {
  constexpr char kText[] = "THROUGH a library that nobody approved was loaded\n";
  if (::write(1, kText, std::strlen(kText)) < 0) ::_exit(1);
}

}  // namespace
