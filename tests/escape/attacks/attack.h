// The frame of the attacks: one program, `escape_attacks NAME ARGUMENT…`, static, so that it runs
// wherever it is copied to.
//
// An attack ends by through() or stopped(). One that ends otherwise proves nothing, unless the
// suite looks for its effect by itself.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace escape {

using Arguments = std::span<char*>;

// "THROUGH evidence", exit status 0.
[[noreturn]] void through(const std::string& evidence);
// "STOPPED what: error text of errno", exit status 1.
[[noreturn]] void stopped(const std::string& what);
// The same with an error of its own, or none (0).
[[noreturn]] void stopped(const std::string& what, int error);

// "ABSENT what", exit status 4: this kernel has no such thing. Counts outside only, as a row that
// cannot run.
[[noreturn]] void absent(const std::string& what);

// The argument, or the end of the program where it is missing.
std::string text_at(Arguments arguments, std::size_t index);
int number_at(Arguments arguments, std::size_t index);

// Registers an attack: const Attack kMount("mount", [](Arguments arguments) { … });
struct Attack {
  Attack(std::string_view name, void (*run)(Arguments));
};

// How often a race is tried: for some seconds, whatever one attempt costs.
class Attempts {
 public:
  bool more();
  // "not once in N attempts"
  std::string in_vain() const;

 private:
  long count_ = 0;
  long long end_ = 0;  // milliseconds of CLOCK_MONOTONIC
};

// New namespaces with every capability in them, as anybody may have who is allowed a user
// namespace: CLONE_NEW… flags. What fails is left at that; the attack finds out.
void gain_namespaces(int flags);

// At most 64 KiB of a file, or "" (errno tells why).
std::string read_file(const std::string& path);
bool write_file(const std::string& path, const std::string& text);

// Prints what a file says, for the suite to find its secret in. False where it cannot be read.
bool show_file(const std::string& path);

}  // namespace escape
