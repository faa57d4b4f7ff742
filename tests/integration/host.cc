#include "tests/integration/host.h"

#include <unistd.h>

#include <stdexcept>

namespace sharkcage::testing {

Streams::Streams() {
  std::tie(command_in, in) = make_pipe();
  std::tie(out, command_out) = make_pipe();
  std::tie(err, command_err) = make_pipe();
}

void Streams::let_go() {
  command_in.reset();
  command_out.reset();
  command_err.reset();
}

std::string Streams::read_out() {
  let_go();
  std::string text;
  char block[4096];
  for (;;) {
    wait_readable(out.get(), "the command's output");
    const ssize_t got = ::read(out.get(), block, sizeof block);
    if (got <= 0) return text;
    text.append(block, static_cast<std::size_t>(got));
  }
}

Host::Host(const Instance& instance, std::string session)
    : session_(std::move(session)), client_(instance.client()) {
  client_.call("session.open",
               {{"session", session_}, {"workspace", instance.workspace()}, {"access", "rw"}});
}

Json Host::authorize(const std::string& command, const Json& more) {
  Json params = {{"tool", "exec"},
                 {"params", {{"command", command}}},
                 {"session", session_},
                 {"prompt", false}};
  params.update(more);
  return client_.call("tool.authorize", params);
}

std::string Host::token_for(const std::string& command) {
  const Json verdict = authorize(command);
  if (verdict.at("verdict") != "allow") throw std::runtime_error("not allowed: " + verdict.dump());
  return verdict.at("token");
}

Json Host::prepare(const std::string& token, const std::string& command, const Json& more) {
  Json params = {{"session", session_}, {"kind", "exec"}, {"env", Json::object()}};
  if (!command.empty()) params["command"] = command;
  if (!token.empty()) params["token"] = token;
  params.update(more);
  return client_.call("exec.prepare", params);
}

std::string Host::ticket_for(const std::string& command) {
  return prepare(token_for(command), command).at("ticket");
}

Json Host::open(const std::string& ticket, Streams& streams, const Json& more) {
  Json params = Json::object();
  if (!ticket.empty()) params["ticket"] = ticket;
  params.update(more);
  return client_.call("exec.open", params, streams.to_pass());
}

Json wait_for(rpc::Client& client, const std::string& method) {
  while (auto message = client.next_notification()) {
    if (message->value("method", "") == method) return message->at("params");
  }
  throw std::runtime_error("the connection ended before " + method);
}

Json exec_run(rpc::Client& client, const Instance& instance, const std::vector<std::string>& argv,
              Streams& streams, const Json& more) {
  Json params = {{"argv", argv},
                 {"workspace", {{"path", instance.workspace()}, {"access", "rw"}}},
                 {"workdir", instance.workspace()},
                 {"env", Json::object()}};
  params.update(more);
  return client.call("exec.run", params, streams.to_pass());
}

}  // namespace sharkcage::testing
