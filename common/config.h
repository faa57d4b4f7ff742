// The configuration file: JSON, every key optional, an unknown key is an error that names it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/git_identity.h"
#include "common/json.h"
#include "common/limits.h"

namespace sharkcage {

// How long sandboxes that a session keeps live, and how many there may be.
struct WarmLimits {
  std::size_t sandboxes = 16;  // 0: none is kept, every call has a fresh one
  std::chrono::milliseconds idle{std::chrono::minutes(10)};  // after its last command returned
  std::chrono::milliseconds age{std::chrono::hours(12)};     // takes no more commands then

  Json to_json() const;
};

// Where the name and address of commits in sandboxes come from.
struct GitIdentitySource {
  bool from_home = true;  // the person's ~/.gitconfig; else `fixed`, which may be nothing
  GitIdentity fixed;

  Json to_json() const;
};

// Which tools and programs get the network that a skill has.
struct NetworkReach {
  std::optional<std::vector<std::string>> tools;     // names; nothing: all
  std::optional<std::vector<std::string>> programs;  // names or absolute paths; nothing: all

  bool allows_tool(const std::string& tool) const;
  Json to_json() const;
};

struct SkillNetwork : NetworkReach {
  std::vector<std::string> deny_hosts;  // in addition to those that nobody reaches

  Json to_json() const;
};

struct NetworkConfig : NetworkReach {
  std::map<std::string, SkillNetwork> skills;  // "agent" for the baseline

  // A skill's own tools and programs stand in place of those of all.
  NetworkReach reach_of(const std::string& skill) const;
  const std::vector<std::string>& denied_to(const std::string& skill) const;
  Json to_json() const;
};

// A program outside of every sandbox that may use the egress, by a port of its own.
struct EgressClientConfig {
  std::uint16_t port = 0;  // of 127.0.0.1
  std::string skill;       // whose approval holds for it; "agent": the services
  std::string user;        // who may read its token; empty: the supervisor's own

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
  std::vector<std::string> deny_hosts;  // never reachable, whatever was approved
  NetworkConfig network;
  std::map<std::string, EgressClientConfig> egress_clients;
  std::vector<std::string> protected_paths;    // in addition to the built-in ones
  std::vector<std::string> allow_unsandboxed;  // tools that may run where the host made no sandbox
  std::map<std::string, Json> capabilities;    // own entries of the catalogue
  Limits limits;
  WarmLimits warm;
  GitIdentitySource git_identity;

  Json to_json() const;
};

// Parses a configuration; `source` names it in errors. Throws UserError.
Config config_from_json(const Json& value, const std::string& source);

// Reads the file, or the defaults where there is none. Throws UserError, system_error.
Config load_config(const std::string& path);

}  // namespace sharkcage
