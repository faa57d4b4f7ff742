#include "common/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "common/errors.h"
#include "common/fd.h"
#include "common/text.h"

namespace sharkcage {
namespace {

constexpr std::size_t kMaxConfigBytes = 1u << 20;

// JSON that was built instead of parsed may hold its positive integers as signed ones.
bool is_natural(const Json& value) {
  return value.is_number_unsigned() ||
         (value.is_number_integer() && value.get<std::int64_t>() >= 0);
}

std::vector<std::string> strings(const Json& value, const std::string& field) {
  if (!value.is_array()) throw UserError(field + ": expected a list of strings");
  std::vector<std::string> out;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!value[i].is_string()) {
      throw UserError(field + "[" + std::to_string(i) + "]: expected a string");
    }
    out.push_back(value[i].get<std::string>());
  }
  return out;
}

// Who can write the configuration can name operators: nobody else may.
void require_trusted(int file, const std::string& path) {
  struct stat status {};
  if (::fstat(file, &status) != 0) throw_errno("fstat", path);
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) {
    throw UserError(path + " belongs to user id " + std::to_string(status.st_uid) + ", not to " +
                        std::to_string(::geteuid()),
                    "Change its owner, after a look at what it says.");
  }
  // A group of one's own is usual, and writes where umask is 002.
  const mode_t others = status.st_gid == ::getegid() ? S_IWOTH : S_IWGRP | S_IWOTH;
  if ((status.st_mode & others) != 0) {
    throw UserError(path + " can be written by other users",
                    "Look at what it says, then run: chmod go-w " + path);
  }
}

WarmLimits warm_from_json(const Json& value, const std::string& field) {
  if (!value.is_object()) throw UserError(field + ": expected an object");
  WarmLimits warm;
  for (const auto& [key, member] : value.items()) {
    const std::string place = field + "." + key;
    if (key == "sandboxes") {
      if (!is_natural(member)) throw UserError(place + ": expected a number, 0 or more");
      warm.sandboxes = member.get<std::size_t>();
    } else if (key == "idle") {
      warm.idle = duration_member(member, place);
    } else if (key == "age") {
      warm.age = duration_member(member, place);
    } else {
      throw UserError(field + ": unknown key \"" + printable(key) + "\"",
                      "Known: sandboxes, idle, age.");
    }
  }
  return warm;
}

// "home", "none", or an object with a name and an address.
GitIdentitySource git_identity_from_json(const Json& value, const std::string& field) {
  GitIdentitySource source;
  if (value == "home") return source;
  source.from_home = false;
  if (value == "none") return source;
  if (!value.is_object()) {
    throw UserError(field + ": expected \"home\", \"none\" or an object with name and email");
  }
  for (const auto& [key, member] : value.items()) {
    if (key != "name" && key != "email") {
      throw UserError(field + ": unknown key \"" + printable(key) + "\"", "Known: name, email.");
    }
    const std::string text = member.is_string() ? member.get<std::string>() : "";
    if (text.empty() || text.find_first_of("\r\n\t") != std::string::npos) {
      throw UserError(field + "." + key + ": expected a line of text");
    }
    (key == "name" ? source.fixed.name : source.fixed.email) = text;
  }
  return source;
}

// True when the key was one of a reach.
bool read_reach(NetworkReach& reach, const std::string& key, const Json& value,
                const std::string& place) {
  if (key != "tools" && key != "programs") return false;
  auto& list = key == "tools" ? reach.tools : reach.programs;
  list = strings(value, place);
  for (const std::string& word : *list) {
    if (word.empty()) throw UserError(place + ": an empty name");
  }
  return true;
}

NetworkConfig network_from_json(const Json& value, const std::string& field) {
  if (!value.is_object()) throw UserError(field + ": expected an object");
  NetworkConfig network;
  for (const auto& [key, member] : value.items()) {
    const std::string place = field + "." + key;
    if (read_reach(network, key, member, place)) continue;
    if (key != "skills") {
      throw UserError(field + ": unknown key \"" + printable(key) + "\"",
                      "Known: tools, programs, skills.");
    }
    if (!member.is_object()) throw UserError(place + ": expected an object of skills");
    for (const auto& [name, entry] : member.items()) {
      const std::string skill_place = place + "." + printable(name);
      if (!entry.is_object()) throw UserError(skill_place + ": expected an object");
      SkillNetwork& skill = network.skills[name];
      for (const auto& [word, list] : entry.items()) {
        if (read_reach(skill, word, list, skill_place + "." + word)) continue;
        if (word != "deny_hosts") {
          throw UserError(skill_place + ": unknown key \"" + printable(word) + "\"",
                          "Known: tools, programs, deny_hosts.");
        }
        skill.deny_hosts = strings(list, skill_place + ".deny_hosts");
      }
    }
  }
  return network;
}

// Part of a file's name.
bool is_client_name(const std::string& name) {
  return !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

EgressClientConfig egress_client_from_json(const Json& value, const std::string& field) {
  if (!value.is_object()) throw UserError(field + ": expected an object with port and skill");
  EgressClientConfig client;
  for (const auto& [key, member] : value.items()) {
    const std::string place = field + "." + key;
    if (key == "port") {
      if (!is_natural(member) || member == 0 || member > 65535) {
        throw UserError(place + ": expected a port, 1 to 65535");
      }
      client.port = member.get<std::uint16_t>();
    } else if (key == "skill" || key == "user") {
      const std::string text = member.is_string() ? member.get<std::string>() : "";
      if (text.empty()) throw UserError(place + ": expected a name");
      (key == "skill" ? client.skill : client.user) = text;
    } else {
      throw UserError(field + ": unknown key \"" + printable(key) + "\"",
                      "Known: port, skill, user.");
    }
  }
  if (client.port == 0) throw UserError(field + ".port: missing");
  if (client.skill.empty()) {
    throw UserError(field + ".skill: missing",
                    "Name the skill whose approval holds for it; \"agent\" has the services.");
  }
  return client;
}

std::map<std::string, EgressClientConfig> egress_clients_from_json(const Json& value,
                                                                   const std::string& field) {
  if (!value.is_object()) throw UserError(field + ": expected an object of clients");
  std::map<std::string, EgressClientConfig> clients;
  for (const auto& [name, entry] : value.items()) {
    const std::string place = field + "." + printable(name);
    if (!is_client_name(name)) {
      throw UserError(place + ": not a name", "Use 1 to 32 of a-z, 0-9 and hyphens.");
    }
    clients[name] = egress_client_from_json(entry, place);
  }
  return clients;
}

Peers peers_from_json(const Json& value, const std::string& field) {
  if (!value.is_object()) throw UserError(field + ": expected an object with users and groups");
  Peers peers;
  for (const auto& [key, member] : value.items()) {
    if (key == "users") {
      peers.users = strings(member, field + ".users");
    } else if (key == "groups") {
      peers.groups = strings(member, field + ".groups");
    } else {
      throw UserError(field + ": unknown key \"" + printable(key) + "\"", "Known: users, groups.");
    }
  }
  return peers;
}

// Descriptors on their way through Unix sockets are counted by user, against the limit of whoever
// sends the next one (unix(7), ETOOMANYREFS). Where commands have the person's own user id, theirs
// is below that of the person's programs, most of which have 1024.
constexpr std::uint64_t kOpenFilesOfUserInstall = 512;

}  // namespace

Config config_from_json(const Json& value, const std::string& source) {
  if (!value.is_object()) throw UserError(source + ": expected a JSON object");
  Config config;
  for (const auto& [key, member] : value.items()) {
    const std::string place = source + ": " + key;
    if (key == "operators") {
      config.operators = peers_from_json(member, place);
    } else if (key == "hosts") {
      config.hosts = peers_from_json(member, place);
    } else if (key == "services") {
      if (!member.is_object()) throw UserError(place + ": expected an object of name: host:port");
      for (const auto& [name, host] : member.items()) {
        if (!host.is_string()) throw UserError(place + "." + name + ": expected \"host:port\"");
        config.services[name] = host.get<std::string>();
      }
    } else if (key == "deny_hosts") {
      config.deny_hosts = strings(member, place);
    } else if (key == "network") {
      config.network = network_from_json(member, place);
    } else if (key == "egress_clients") {
      config.egress_clients = egress_clients_from_json(member, place);
    } else if (key == "protected_paths") {
      config.protected_paths = strings(member, place);
      for (const auto& path : config.protected_paths) {
        if (path.empty() || path.front() != '/') {
          throw UserError(place + ": \"" + printable(path) + "\" is not an absolute path");
        }
      }
    } else if (key == "allow_unsandboxed") {
      config.allow_unsandboxed = strings(member, place);
    } else if (key == "capabilities") {
      if (!member.is_object()) throw UserError(place + ": expected an object of catalogue entries");
      for (const auto& [name, entry] : member.items()) config.capabilities[name] = entry;
    } else if (key == "limits") {
      config.limits = limits_from_json(member, config.limits, place);
    } else if (key == "warm") {
      config.warm = warm_from_json(member, place);
    } else if (key == "git_identity") {
      config.git_identity = git_identity_from_json(member, place);
    } else {
      throw UserError(source + ": unknown key \"" + printable(key) + "\"",
                      "Known: operators, hosts, services, deny_hosts, network, egress_clients, "
                      "protected_paths, "
                      "allow_unsandboxed, capabilities, limits, warm, "
                      "git_identity.");
    }
  }
  return config;
}

bool NetworkReach::allows_tool(const std::string& tool) const {
  return !tools || std::find(tools->begin(), tools->end(), tool) != tools->end();
}

Json NetworkReach::to_json() const {
  Json out = Json::object();
  if (tools) out["tools"] = *tools;
  if (programs) out["programs"] = *programs;
  return out;
}

Json SkillNetwork::to_json() const {
  Json out = NetworkReach::to_json();
  out["deny_hosts"] = deny_hosts;
  return out;
}

Json NetworkConfig::to_json() const {
  Json out = NetworkReach::to_json();
  out["skills"] = Json::object();
  for (const auto& [name, skill] : skills) out["skills"][name] = skill.to_json();
  return out;
}

NetworkReach NetworkConfig::reach_of(const std::string& skill) const {
  NetworkReach reach = *this;
  const auto own = skills.find(skill);
  if (own == skills.end()) return reach;
  if (own->second.tools) reach.tools = own->second.tools;
  if (own->second.programs) reach.programs = own->second.programs;
  return reach;
}

const std::vector<std::string>& NetworkConfig::denied_to(const std::string& skill) const {
  static const std::vector<std::string> none;
  const auto own = skills.find(skill);
  return own == skills.end() ? none : own->second.deny_hosts;
}

Json EgressClientConfig::to_json() const {
  Json out = {{"port", port}, {"skill", skill}};
  if (!user.empty()) out["user"] = user;
  return out;
}

Json WarmLimits::to_json() const {
  return {{"sandboxes", sandboxes}, {"idle", idle.count()}, {"age", age.count()}};
}

Json GitIdentitySource::to_json() const {
  if (from_home) return "home";
  if (fixed == GitIdentity{}) return "none";
  Json out = Json::object();
  if (!fixed.name.empty()) out["name"] = fixed.name;
  if (!fixed.email.empty()) out["email"] = fixed.email;
  return out;
}

Json Config::to_json() const {
  const auto peers = [](const Peers& p) { return Json{{"users", p.users}, {"groups", p.groups}}; };
  Json clients = Json::object();
  for (const auto& [name, client] : egress_clients) clients[name] = client.to_json();
  return {{"operators", peers(operators)},
          {"hosts", peers(hosts)},
          {"services", services},
          {"deny_hosts", deny_hosts},
          {"network", network.to_json()},
          {"egress_clients", std::move(clients)},
          {"protected_paths", protected_paths},
          {"allow_unsandboxed", allow_unsandboxed},
          {"capabilities", capabilities},
          {"limits", limits.to_json()},
          {"warm", warm.to_json()},
          {"git_identity", git_identity.to_json()}};
}

Config load_config(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file && errno != ENOENT) throw_errno("open", path);
  Json value = Json::object();
  if (file) {
    require_trusted(file.get(), path);
    const std::string text = read_fd(file.get(), kMaxConfigBytes, path);
    value = parse_json(text, path, {kMaxConfigBytes, 16});
  }
  Config config = config_from_json(value, path);
  const bool named = value.contains("limits") && value.at("limits").contains("open_files");
  if (::geteuid() != 0 && !named) config.limits.open_files = kOpenFilesOfUserInstall;
  return config;
}

}  // namespace sharkcage
