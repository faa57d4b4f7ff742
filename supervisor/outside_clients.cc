#include "supervisor/outside_clients.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "capabilities/derive.h"
#include "common/errors.h"
#include "common/hash.h"

namespace sharkcage {
namespace {

constexpr std::size_t kTokenBytes = 24;
constexpr int kBacklog = 128;

UniqueFd listen_on(std::uint16_t port, const std::string& place) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("socket");
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    throw UserError(place + ".port: cannot listen on 127.0.0.1:" + std::to_string(port) + ": " +
                        std::strerror(errno),
                    "Choose another port.");
  }
  return socket;
}

std::string place_of(const std::string& name) {
  return "configuration: egress_clients." + name;
}

}  // namespace

OutsideClients::~OutsideClients() {
  for (const auto& [name, client] : clients_) ::unlink(token_file(name).c_str());
}

std::string OutsideClients::token_file(const std::string& name) const {
  return places_.run_dir + "/egress-" + name + ".proxy";
}

void OutsideClients::start() {
  for (const auto& [name, config] : config_.egress_clients) {
    Client& client = clients_[name];
    client.token = random_hex(kTokenBytes);
    client.socket = listen_on(config.port, place_of(name));
    write_token(name, config, client);
    update(name, config.skill, client);
  }
}

void OutsideClients::refresh() {
  for (auto& [name, client] : clients_) {
    try {
      update(name, config_.egress_clients.at(name).skill, client);
    } catch (const std::exception& error) {
      spdlog::error("egress client {}: {}", name, error.what());
      client.hosts.clear();
      processes_.close_listener(std::exchange(client.listener, 0));
    }
  }
}

// Nothing of it but the hosts is used: what is outside has no sandbox. What the registry last saw
// of the skill counts, since nothing of its files runs here.
Policy OutsideClients::policy_of(const std::string& skill) {
  DeriveInput input;
  input.deny_hosts = config_.deny_hosts;
  input.services = config_.services;
  input.network.deny_hosts = config_.network.denied_to(skill);
  if (skill == kAgent) return derive(input);
  const auto registered = skills_.find(skill);
  if (!registered) return {};
  const Standing standing = skills_.standing(skill, registered->content_digest);
  if (standing.kind != Standing::Kind::kApproved) return {};
  input.subject.skill = skill;
  input.subject.effects.hosts = standing.approval->effects.hosts;
  input.subject.deny_hosts = registered->manifest.deny_hosts;
  return derive(input);
}

// The egress closes its own copy of the socket in its own time: we keep ours and hand out another.
void OutsideClients::update(const std::string& name, const std::string& skill, Client& client) {
  Policy policy = policy_of(skill);
  if (client.listener != 0 && policy.hosts == client.hosts &&
      policy.deny_hosts == client.deny_hosts) {
    return;
  }
  if (client.listener != 0) processes_.close_listener(std::exchange(client.listener, 0));
  client.hosts = std::move(policy.hosts);
  client.deny_hosts = std::move(policy.deny_hosts);
  egress::Listen listen;
  listen.sockets = egress::Sockets::kProxy;
  listen.session = "egress client " + name;
  listen.skill = skill;
  listen.tokens = {{"egress-client-" + name, client.token, 0}};
  listen.hosts = client.hosts;
  listen.deny_hosts = client.deny_hosts;
  std::vector<UniqueFd> sockets;
  sockets.emplace_back(::fcntl(client.socket.get(), F_DUPFD_CLOEXEC, 0));
  if (!sockets.back()) throw_errno("fcntl", "F_DUPFD_CLOEXEC");
  client.listener = processes_.listen(std::move(listen), std::move(sockets));
}

void OutsideClients::write_token(const std::string& name, const EgressClientConfig& config,
                                 const Client& client) const {
  const std::string path = token_file(name);
  const std::string url =
      "http://" + client.token + ":x@127.0.0.1:" + std::to_string(config.port) + "\n";
  write_file_atomically(path, url, 0600);
  if (config.user.empty()) return;
  const passwd* user = ::getpwnam(config.user.c_str());
  if (user == nullptr) throw UserError(place_of(name) + ".user: there is no user " + config.user);
  if (user->pw_uid == ::geteuid()) return;
  if (::lchown(path.c_str(), user->pw_uid, user->pw_gid) != 0) {
    throw UserError(place_of(name) + ".user: cannot give " + path + " to " + config.user + ": " +
                        std::strerror(errno),
                    "A user install can serve its own user alone.");
  }
}

Json OutsideClients::to_json() const {
  Json list = Json::array();
  for (const auto& [name, client] : clients_) {
    const EgressClientConfig& config = config_.egress_clients.at(name);
    list.push_back({{"name", name},
                    {"port", config.port},
                    {"skill", config.skill},
                    {"approved", !client.hosts.empty()},
                    {"file", token_file(name)}});
  }
  return list;
}

}  // namespace sharkcage
