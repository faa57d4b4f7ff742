#include "supervisor/sandbox/spec.h"

#include "common/errors.h"
#include "common/json.h"

namespace sharkcage::sandbox {
namespace {

constexpr int kVersion = 3;

Json path_to_json(const JudgedPath& path) {
  return {{"source", path.source},
          {"target", path.target},
          {"write", path.access == Access::kReadWrite},
          {"directory", path.directory},
          {"skill", path.skill},
          {"socket", path.socket},
          {"device", path.device},
          {"inode", path.inode}};
}

JudgedPath path_from_json(const Json& value) {
  JudgedPath path;
  value.at("source").get_to(path.source);
  value.at("target").get_to(path.target);
  path.access = value.at("write").get<bool>() ? Access::kReadWrite : Access::kReadOnly;
  value.at("directory").get_to(path.directory);
  value.at("skill").get_to(path.skill);
  value.at("socket").get_to(path.socket);
  value.at("device").get_to(path.device);
  value.at("inode").get_to(path.inode);
  return path;
}

}  // namespace

std::string Spec::encode() const {
  Json path_list = Json::array();
  for (const JudgedPath& path : paths) path_list.push_back(path_to_json(path));
  const Json value = {{"version", kVersion},           {"policy", policy.to_json()},
                      {"uid", identity.uid},           {"gid", identity.gid},
                      {"name", identity.name},         {"host_uid", identity.host_uid},
                      {"git_name", identity.git.name}, {"git_email", identity.git.email},
                      {"paths", std::move(path_list)}};
  std::string bytes;
  Json::to_cbor(value, bytes);
  return bytes;
}

Spec decode_spec(std::string_view bytes) {
  try {
    const Json value = Json::from_cbor(bytes.begin(), bytes.end());
    if (value.at("version") != kVersion) throw UserError("sandbox spec: unknown version");
    Spec spec;
    spec.policy = policy_from_json(value.at("policy"));
    value.at("uid").get_to(spec.identity.uid);
    value.at("gid").get_to(spec.identity.gid);
    value.at("name").get_to(spec.identity.name);
    value.at("host_uid").get_to(spec.identity.host_uid);
    value.at("git_name").get_to(spec.identity.git.name);
    value.at("git_email").get_to(spec.identity.git.email);
    for (const Json& path : value.at("paths")) spec.paths.push_back(path_from_json(path));
    return spec;
  } catch (const Json::exception& error) {
    throw UserError(std::string("sandbox spec: ") + error.what());
  }
}

}  // namespace sharkcage::sandbox
