// What one sandbox may use.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "common/json.h"

namespace sharkcage {

// Limits of one sandbox. A manifest can lower them, never raise them.
struct Limits {
  std::uint64_t memory = 8ull << 30;     // bytes, of all processes and of /tmp, /dev/shm and home
  double cpus = 4;                       // processors
  std::uint64_t pids = 512;              // processes and threads
  std::uint64_t open_files = 4096;       // a process
  std::uint64_t file_size = 4ull << 30;  // bytes a file
  std::uint64_t output = 256ull << 20;   // bytes of stdout and stderr of a command together
  std::uint64_t tmp = 1ull << 30;        // bytes of the private /tmp and home, each
  std::chrono::milliseconds wall{std::chrono::minutes(30)};

  // Field by field the lower of the two.
  Limits lowered_by(const Limits& other) const;
  Json to_json() const;
};

// Applies the members of `value` ("memory": "512M", "cpus": 1, "wall": "60s" …) to `base`. Sizes
// and durations may be text or integers (bytes, milliseconds). Throws UserError naming `field`.
Limits limits_from_json(const Json& value, Limits base, const std::string& field);

// "60s", or milliseconds. Throws UserError naming `field`.
std::chrono::milliseconds duration_member(const Json& value, const std::string& field);

// What a person needs to know of the limits that a manifest names (`asked`, an object as in
// `limits_from_json`), as they hold: "512 MiB of memory, 1 processor, 60 s". Where the manifest
// asked for more than there is: "8 GiB of memory (it asks for 64 GiB)". Empty for none.
std::string limits_in_words(const Json& asked, const Limits& configured);

// One value in words, for messages: "512 MiB", "1.5 processors", "64 processes", "60 s".
std::string size_in_words(std::uint64_t bytes);
std::string duration_in_words(std::chrono::milliseconds duration);
std::string processors_in_words(double cpus);

}  // namespace sharkcage
