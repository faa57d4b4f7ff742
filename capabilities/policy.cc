#include "capabilities/policy.h"

#include "common/errors.h"

namespace sharkcage {
namespace {

const char* name_of(Access access) {
  return access == Access::kReadWrite ? "rw" : "ro";
}

Access access_from(const Json& value) {
  if (value == "rw") return Access::kReadWrite;
  if (value == "ro") return Access::kReadOnly;
  throw UserError("policy: access is neither \"ro\" nor \"rw\"");
}

}  // namespace

Json Policy::to_json() const {
  Json file_list = Json::array();
  for (const auto& file : files) {
    Json entry = {{"path", file.path}, {"access", name_of(file.access)}};
    if (!file.source.empty()) entry["source"] = file.source;
    file_list.push_back(std::move(entry));
  }
  Json skill_list = Json::array();
  for (const auto& mount : skills) {
    skill_list.push_back(
        {{"skill", mount.skill}, {"digest", mount.digest}, {"paths", mount.paths}});
  }
  Json host_list = Json::array();
  for (const auto& rule : hosts) {
    host_list.push_back({{"host", rule.host}, {"port", rule.port}, {"internal", rule.internal}});
  }
  return {{"version", 1},
          {"skill", skill},
          {"workspace", workspace},
          {"workspace_access", name_of(workspace_access)},
          {"home", home},
          {"files", std::move(file_list)},
          {"skills", std::move(skill_list)},
          {"exec", {{"any", exec.any}, {"programs", exec.programs}}},
          {"hosts", std::move(host_list)},
          {"deny_hosts", deny_hosts},
          {"network", {{"any", network_rule.any}, {"programs", network_rule.programs}}},
          {"environment", environment},
          {"hidden", hidden},
          {"limits", limits.to_json()}};
}

Policy policy_from_json(const Json& value) {
  try {
    if (value.at("version") != 1) throw UserError("policy: unknown version");
    Policy policy;
    value.at("skill").get_to(policy.skill);
    value.at("workspace").get_to(policy.workspace);
    policy.workspace_access = access_from(value.at("workspace_access"));
    value.at("home").get_to(policy.home);
    for (const auto& file : value.at("files")) {
      policy.files.push_back({file.at("path").get<std::string>(), access_from(file.at("access")),
                              file.value("source", std::string())});
    }
    for (const auto& mount : value.at("skills")) {
      policy.skills.push_back({mount.at("skill").get<std::string>(),
                               mount.at("digest").get<std::string>(),
                               mount.at("paths").get<std::vector<std::string>>()});
    }
    value.at("exec").at("any").get_to(policy.exec.any);
    value.at("exec").at("programs").get_to(policy.exec.programs);
    for (const auto& rule : value.at("hosts")) {
      policy.hosts.push_back({rule.at("host").get<std::string>(), rule.at("port").get<unsigned>(),
                              rule.at("internal").get<bool>()});
    }
    value.at("deny_hosts").get_to(policy.deny_hosts);
    value.at("network").at("any").get_to(policy.network_rule.any);
    value.at("network").at("programs").get_to(policy.network_rule.programs);
    value.at("environment").get_to(policy.environment);
    value.at("hidden").get_to(policy.hidden);
    policy.limits = limits_from_json(value.at("limits"), {}, "policy: limits");
    return policy;
  } catch (const Json::exception& error) {
    throw UserError(std::string("policy: ") + error.what());
  }
}

}  // namespace sharkcage
