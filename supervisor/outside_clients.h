// Programs outside of every sandbox that use the egress: the configured `egress_clients`.
//
// Each has a listening socket on 127.0.0.1 of its own, a token that is drawn when the supervisor
// starts, and the hosts that its skill is approved to reach. Whoever may read the file
// run/egress-NAME.proxy, which holds the proxy's URL with the token, is the client.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "capabilities/policy.h"
#include "capabilities/skills.h"
#include "common/config.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/places.h"
#include "supervisor/processes.h"

namespace sharkcage {

// One thread.
class OutsideClients {
 public:
  OutsideClients(const Config& config, const Places& places, Skills& skills, Processes& processes)
      : config_(config), places_(places), skills_(skills), processes_(processes) {}
  ~OutsideClients();
  OutsideClients(const OutsideClients&) = delete;
  OutsideClients& operator=(const OutsideClients&) = delete;

  // Writes the tokens and listens. Throws UserError naming the client: a port that is taken, a user
  // that there is not.
  void start();

  // After approvals may have changed. A client whose hosts are others now has its connections cut;
  // one whose skill is not approved any more is refused everything.
  void refresh();

  // name, port, skill, the file, and whether there is a host that it may reach.
  Json to_json() const;

 private:
  struct Client {
    std::string token;
    UniqueFd socket;
    std::uint64_t listener = 0;  // 0: not yet
    std::vector<HostRule> hosts;
    std::vector<std::string> deny_hosts;
  };

  Policy policy_of(const std::string& skill);
  void update(const std::string& name, const std::string& skill, Client& client);
  void write_token(const std::string& name, const EgressClientConfig& config,
                   const Client& client) const;
  std::string token_file(const std::string& name) const;

  const Config& config_;
  const Places& places_;
  Skills& skills_;
  Processes& processes_;
  std::map<std::string, Client> clients_;
};

}  // namespace sharkcage
