// The configuration file: JSON, every key optional, an unknown key is an error that names it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/json.h"

namespace sharkcage {

// Limits of one sandbox. A manifest can lower them, never raise them.
struct Limits {
  std::uint64_t memory = 8ull << 30;      // bytes
  double cpus = 4;                        // processors
  std::uint64_t pids = 512;               // processes and threads
  std::uint64_t open_files = 4096;        // a process
  std::uint64_t file_size = 4ull << 30;   // bytes a file
  std::uint64_t output = 64ull << 20;     // bytes of stdout and stderr that are relayed
  std::uint64_t tmp = 1ull << 30;         // bytes of the private /tmp and home, each
  std::chrono::milliseconds wall{std::chrono::minutes(30)};

  // Field by field the lower of the two.
  Limits lowered_by(const Limits& other) const;
  Json to_json() const;
};

// Applies the members of `value` ("memory": "512M", "cpus": 1, "wall": "60s" …) to `base`. Sizes and
// durations may be text or integers (bytes, milliseconds). Throws UserError naming `field`.
Limits limits_from_json(const Json& value, Limits base, const std::string& field);

// How long sandboxes that a session keeps live, and how many there may be.
struct WarmLimits {
  std::size_t sandboxes = 16;  // 0: none is kept, every call has a fresh one
  std::chrono::milliseconds idle{std::chrono::minutes(10)};  // after its last command returned
  std::chrono::milliseconds age{std::chrono::hours(12)};     // takes no more commands then

  Json to_json() const;
};

struct Peers {
  std::vector<std::string> users;
  std::vector<std::string> groups;
};

struct Config {
  Peers operators;  // who may approve and configure (a system install; root always may)
  Peers hosts;      // who may ask for calls (a system install)
  // Destinations that every session has, added by `sc config add-service NAME HOST[:PORT]`.
  std::map<std::string, std::string> services;
  std::vector<std::string> deny_hosts;         // never reachable, whatever was approved
  std::vector<std::string> protected_paths;    // in addition to the built-in ones
  std::vector<std::string> allow_unsandboxed;  // tools that may run where the host made no sandbox
  std::map<std::string, Json> capabilities;    // own entries of the catalogue
  Limits limits;
  WarmLimits warm;

  Json to_json() const;
};

// Parses a configuration; `source` names it in errors. Throws UserError.
Config config_from_json(const Json& value, const std::string& source);

// Reads the file, or the defaults where there is none. Throws UserError, system_error.
Config load_config(const std::string& path);

}  // namespace sharkcage
