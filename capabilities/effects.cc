#include "capabilities/effects.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "capabilities/hosts.h"
#include "capabilities/scope.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage {
namespace {

namespace fs = std::filesystem;

template <typename T, typename Less = std::less<>>
void sort_unique(std::vector<T>& list, Less less = {}) {
  std::sort(list.begin(), list.end(), less);
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

std::string in_words(Access access) {
  return access == Access::kReadWrite ? "write" : "read";
}

void refuse_protected(const std::string& place, const std::string& word, const std::string& path,
                      Access access, const Ground& ground) {
  const ProtectedPath* entry = conflict_of(path, access, ground.protected_);
  if (entry == nullptr) return;
  const std::string where = path == word ? "" : " (" + printable(path) + ")";
  const std::string target =
      entry->real == entry->path ? "" : ", which is " + printable(entry->real);
  throw UserError(place + ": to " + in_words(access) + " \"" + printable(word) + "\"" + where +
                      " would open the protected path " + printable(entry->path) + target,
                  "Ask for a directory that neither holds it nor lies in it.");
}

std::string expand_home(const std::string& word, const Ground& ground) {
  if (word != "~" && !word.starts_with("~/")) return word;
  return ground.home + word.substr(1);
}

std::string real_path(const std::string& path, const std::string& place, const std::string& word) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (!error) return real.string();
  throw UserError(place + ": \"" + printable(word) + "\" cannot be granted: " + error.message(),
                  "Create " + printable(path) + " first, or approve without this capability.");
}

FileGrant resolve_path(const std::string& word, Access access, const std::string& place,
                       const Ground& ground) {
  const std::string path = expand_home(word, ground);
  refuse_protected(place, word, path, access, ground);
  const std::string real = real_path(path, place, word);
  refuse_protected(place, word, real, access, ground);
  struct stat status {};
  if (::stat(real.c_str(), &status) != 0) throw_errno("stat", real);
  if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) {
    throw UserError(place + ": \"" + printable(word) + "\" is neither a file nor a directory",
                    "Sockets, devices and fifos cannot be granted.");
  }
  return {real, access};
}

std::string resolve_program(const std::string& word, const std::string& place,
                            const Ground& ground) {
  std::string found =
      find_program(word, place, ground, "Install it, or approve without this capability.");
  refuse_protected(place, word, found, Access::kReadOnly, ground);
  return found;
}

void add_hosts(Effects& effects, const std::vector<std::string>& words, bool internal,
               const std::string& place) {
  for (const std::string& word : words) {
    const std::vector<HostRule> rules = host_rules(parse_host(word, place), internal);
    effects.hosts.insert(effects.hosts.end(), rules.begin(), rules.end());
  }
}

void add_service(Effects& effects, const Service& service, bool internal,
                 const std::string& place) {
  add_hosts(effects, service.hosts, internal, place);
  effects.environment.insert(effects.environment.end(), service.variables.begin(),
                             service.variables.end());
}

void add_scope_word(Effects& effects, const std::string& word, const CatalogueEntry& entry,
                    const std::string& place, const Ground& ground) {
  switch (entry.scope) {
    case ScopeKind::kHosts:
      add_hosts(effects, {word}, entry.internal, place);
      break;
    case ScopeKind::kPaths: {
      const Access access = entry.write ? Access::kReadWrite : Access::kReadOnly;
      effects.files.push_back(resolve_path(word, access, place, ground));
      break;
    }
    case ScopeKind::kPrograms:
      effects.exec.programs.push_back(resolve_program(word, place, ground));
      break;
    case ScopeKind::kVariables:
      effects.environment.push_back(word);
      break;
    case ScopeKind::kProviders:
      add_service(effects, entry.providers.at(word), entry.internal, place);
      break;
    case ScopeKind::kPatterns:  // a matter between the skill and the service
    case ScopeKind::kNone:
      break;
  }
}

void add_capability(Effects& effects, const CapabilityRequest& request, const Catalogue& catalogue,
                    const Ground& ground) {
  const CatalogueEntry* entry = catalogue.find(request.capability);
  if (entry == nullptr) {
    throw UserError(request.capability + ": not in the catalogue any more",
                    "Add it to \"capabilities\" in the configuration, or approve without it.");
  }
  if (request.scope.empty() && entry->scope_required) {
    throw UserError(request.capability + ": a scope is required",
                    "Name " + scope_example(*entry) + ".");
  }
  if (request.scope.empty() && entry->scope == ScopeKind::kPrograms) effects.exec.any = true;
  add_service(effects, entry->service, entry->internal, request.capability);
  for (const std::string& word : request.scope) {
    const std::string normal = normal_scope_word(word, *entry, request.capability);
    add_scope_word(effects, normal, *entry, request.capability, ground);
  }
}

bool file_less(const FileGrant& a, const FileGrant& b) {
  return std::tie(a.path, a.access) < std::tie(b.path, b.access);
}

bool host_less(const HostRule& a, const HostRule& b) {
  return std::tie(a.host, a.port, a.internal) < std::tie(b.host, b.port, b.internal);
}

}  // namespace

std::optional<std::string> executable_at(const std::string& path) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  if (error) return std::nullopt;
  struct stat status {};
  if (::stat(real.c_str(), &status) != 0) return std::nullopt;
  if (!S_ISREG(status.st_mode) || (status.st_mode & 0111) == 0) return std::nullopt;
  return real.string();
}

std::string find_program(const std::string& word, const std::string& place, const Ground& ground,
                         const std::string& remedy) {
  std::optional<std::string> found;
  if (word.front() == '/') {
    found = executable_at(word);
  } else {
    for (const std::string& directory : ground.search) {
      if (!found) found = executable_at(directory + "/" + word);
    }
  }
  if (found) return *found;
  std::string path;
  for (const std::string& directory : ground.search)
    path.append(path.empty() ? "" : ":").append(directory);
  const std::string where = word.front() == '/' ? "" : " in " + path;
  throw UserError(place + ": no program \"" + printable(word) + "\"" + where, remedy);
}

Effects resolve(const std::vector<CapabilityRequest>& granted, const Catalogue& catalogue,
                const Ground& ground) {
  Effects effects;
  for (const CapabilityRequest& request : granted) {
    add_capability(effects, request, catalogue, ground);
  }
  if (effects.exec.any) effects.exec.programs.clear();
  sort_unique(effects.exec.programs);
  sort_unique(effects.environment);
  sort_unique(effects.files, file_less);
  sort_unique(effects.hosts, host_less);
  return effects;
}

std::vector<std::string> never_granted(const std::vector<CapabilityRequest>& asked,
                                       const Catalogue& catalogue, const Ground& ground) {
  std::vector<std::string> sentences;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const CatalogueEntry* entry = catalogue.find(asked[i].capability);
    if (entry == nullptr || entry->scope != ScopeKind::kPaths) continue;
    const Access access = entry->write ? Access::kReadWrite : Access::kReadOnly;
    for (std::size_t k = 0; k < asked[i].scope.size(); ++k) {
      const std::string place = "capabilities[" + std::to_string(i) + "].scope[" +
                                std::to_string(k) + "]: " + asked[i].capability;
      try {
        const std::string word = normal_scope_word(asked[i].scope[k], *entry, place);
        const std::string path = expand_home(word, ground);
        refuse_protected(place, word, path, access, ground);
        std::error_code missing;
        const fs::path real = fs::canonical(path, missing);
        if (!missing) refuse_protected(place, word, real.string(), access, ground);
      } catch (const UserError& error) {
        sentences.push_back(std::string(error.what()) + ", which no approval does");
      }
    }
  }
  return sentences;
}

Json Effects::to_json() const {
  Json file_list = Json::array();
  for (const FileGrant& file : files) {
    file_list.push_back({{"path", file.path}, {"write", file.access == Access::kReadWrite}});
  }
  Json host_list = Json::array();
  for (const HostRule& rule : hosts) {
    host_list.push_back({{"host", rule.host}, {"port", rule.port}, {"internal", rule.internal}});
  }
  return {{"files", std::move(file_list)},
          {"exec", {{"any", exec.any}, {"programs", exec.programs}}},
          {"hosts", std::move(host_list)},
          {"environment", environment}};
}

Effects effects_from_json(const Json& value) {
  try {
    Effects effects;
    for (const Json& file : value.at("files")) {
      const bool write = file.at("write").get<bool>();
      effects.files.push_back(
          {file.at("path").get<std::string>(), write ? Access::kReadWrite : Access::kReadOnly});
    }
    value.at("exec").at("any").get_to(effects.exec.any);
    value.at("exec").at("programs").get_to(effects.exec.programs);
    for (const Json& rule : value.at("hosts")) {
      effects.hosts.push_back({rule.at("host").get<std::string>(), rule.at("port").get<unsigned>(),
                               rule.at("internal").get<bool>()});
    }
    value.at("environment").get_to(effects.environment);
    return effects;
  } catch (const Json::exception& error) {
    throw UserError(std::string("effects of an approval: ") + error.what());
  }
}

std::vector<std::string> missing_programs(const std::vector<CapabilityRequest>& asked,
                                          const Catalogue& catalogue, const Ground& ground) {
  std::vector<std::string> sentences;
  for (const CapabilityRequest& request : asked) {
    const CatalogueEntry* entry = catalogue.find(request.capability);
    if (entry == nullptr || entry->scope != ScopeKind::kPrograms) continue;
    for (const std::string& word : request.scope) {
      try {
        find_program(normal_scope_word(word, *entry, request.capability), request.capability,
                     ground, "");
      } catch (const UserError& error) {
        sentences.push_back(error.what() + std::string(" of this machine"));
      }
    }
  }
  return sentences;
}

}  // namespace sharkcage
