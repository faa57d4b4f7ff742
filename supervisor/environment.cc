#include "supervisor/environment.h"

#include <algorithm>

#include "capabilities/variables.h"
#include "supervisor/sandbox/spec.h"

namespace sharkcage {
namespace {

constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// A server that the command starts itself is inside, not behind the proxy; an approved one is
// behind it. Few programs know ports here. Python compares the host as it stands in a URL, others
// without brackets.
std::string hosts_inside(const Policy& policy) {
  struct Inside {
    std::string_view host;
    std::string_view text;
  };
  constexpr Inside kInside[] = {
      {"localhost", "localhost"}, {"127.0.0.1", "127.0.0.1"}, {"::1", "::1,[::1]"}};
  std::string out;
  for (const Inside& inside : kInside) {
    const bool approved =
        std::any_of(policy.hosts.begin(), policy.hosts.end(), [&](const HostRule& rule) {
          // Programs take an entry for every name below it as well.
          return rule.host == inside.host || rule.host.ends_with("." + std::string(inside.host));
        });
    if (!approved) out.append(out.empty() ? "" : ",").append(inside.text);
  }
  return out;
}

}  // namespace

bool describes_terminal(std::string_view name) {
  return name == "TERM" || name == "COLORTERM" || name == "LANG" || name == "TZ" ||
         name == "NO_COLOR" || name.starts_with("LC_");
}

CommandEnvironment build_environment(const EnvironmentInput& input, const Policy& policy) {
  std::map<std::string, std::string> all = {
      {"PATH", kPath},
      {"HOME", policy.home},
      {"USER", input.user},
      {"LOGNAME", input.user},
      {"SHELL", "/bin/sh"},
      {"LANG", "C.UTF-8"},
      {"TMPDIR", "/tmp"},
      {"TERM", "dumb"},
      // The host's /etc/gitconfig is not shown; git need not look for it.
      {"GIT_CONFIG_NOSYSTEM", "1"},
      // No server of it is reached; it looks for when it asked last in the person's home.
      {"NPM_CONFIG_UPDATE_NOTIFIER", "false"},
      // A new repository starts without hooks, which nobody may make in a workspace (names.cc).
      {"GIT_TEMPLATE_DIR", ""},
      // It stops its own process with ptrace(2), which a sandbox refuses, and fails without.
      {"LSAN_OPTIONS", "detect_leaks=0"}};
  // It would try again for more than a minute, without a word.
  if (!policy.network()) all["NPM_CONFIG_FETCH_RETRIES"] = "0";
  CommandEnvironment out;
  for (const auto& [name, value] : input.host) {
    // Terminal settings are the host's to say, though the base has them too.
    const bool reserved = is_reserved_variable(name) && !describes_terminal(name);
    if (!is_variable_name(name) || value.find('\0') != std::string::npos ||
        is_code_variable(name) || reserved) {
      out.dropped.push_back(name);
      continue;
    }
    all[name] = value;
  }
  for (const auto& name : policy.environment) {
    const auto found = input.approved.find(name);
    if (found != input.approved.end()) all[name] = found->second;
  }
  if (!input.workdir.empty()) all["PWD"] = input.workdir;
  if (!input.token.empty()) {
    // Either leaves the name to the proxy. Fewer programs speak SOCKS than HTTP; some take no empty
    // password.
    const std::string proxy = input.token + ":x@127.0.0.1:" + std::to_string(sandbox::kProxyPort);
    all["ALL_PROXY"] = all["all_proxy"] = "socks5h://" + proxy;
    for (const char* name : {"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"}) {
      all[name] = "http://" + proxy;
    }
    // Node's own fetch, from Node 24 on.
    all["NODE_USE_ENV_PROXY"] = "1";
    all["NO_PROXY"] = all["no_proxy"] = hosts_inside(policy);
  }
  for (const auto& [name, value] : all) out.variables.push_back(name + "=" + value);
  return out;
}

}  // namespace sharkcage
