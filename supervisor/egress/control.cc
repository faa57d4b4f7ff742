#include "supervisor/egress/control.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <limits>

#include "capabilities/caught.h"
#include "capabilities/destinations.h"
#include "common/errors.h"

namespace sharkcage::egress {
namespace {

constexpr JsonLimits kLimits{kMaxMessage, 4};
constexpr std::string_view kSocketNames[] = {"all", "proxy", "names"};  // by Sockets
constexpr std::size_t kDescriptors[] = {kNetworkFds, 1, 2};             // the same

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

// Reads the members of one object and insists that it has no others.
class Members {
 public:
  Members(const Json& value, const char* what, std::initializer_list<const char*> names)
      : value_(value), what_(what) {
    if (!value.is_object() || value.size() != names.size())
      fail("its members are not the known ones");
    for (const char* name : names) {
      if (!value.contains(name)) fail(std::string("no \"") + name + "\"");
    }
  }

  std::string text(const char* name) const {
    const Json& member = value_.at(name);
    if (!member.is_string()) fail(std::string(name) + " is no string");
    return member.get<std::string>();
  }

  std::uint64_t number(const char* name,
                       std::uint64_t max = std::numeric_limits<std::int64_t>::max()) const {
    const Json& member = value_.at(name);
    if (!member.is_number_unsigned() || member.get<std::uint64_t>() > max) {
      fail(std::string(name) + " is no number in its range");
    }
    return member.get<std::uint64_t>();
  }

  bool flag(const char* name) const {
    const Json& member = value_.at(name);
    if (!member.is_boolean()) fail(std::string(name) + " is no boolean");
    return member.get<bool>();
  }

  const Json& list(const char* name) const {
    const Json& member = value_.at(name);
    if (!member.is_array()) fail(std::string(name) + " is no list");
    return member;
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw UserError(std::string("egress protocol: ") + what_ + ": " + why);
  }

 private:
  const Json& value_;
  const char* what_;
};

Json parse(std::string_view text, const char* source) {
  return parse_json(text, source, kLimits);
}

std::string kind_of(const Json& value, const char* member) {
  if (!value.is_object() || !value.contains(member) || !value.at(member).is_string()) {
    throw UserError(std::string("egress protocol: an object without \"") + member + "\"");
  }
  return value.at(member).get<std::string>();
}

CallToken token_from(const Members& members) {
  return {members.text("call"), members.text("token"), members.number("command")};
}

Listen listen_from(const Json& value) {
  const Members members(
      value, "listen",
      {"order", "id", "sockets", "session", "skill", "tokens", "hosts", "deny_hosts"});
  Listen listen;
  listen.id = members.number("id");
  const auto* const sockets =
      std::find(std::begin(kSocketNames), std::end(kSocketNames), members.text("sockets"));
  if (sockets == std::end(kSocketNames)) members.fail("unknown sockets");
  listen.sockets = static_cast<Sockets>(sockets - std::begin(kSocketNames));
  listen.session = members.text("session");
  listen.skill = members.text("skill");
  for (const Json& entry : members.list("tokens")) {
    const Members token(entry, "a token", {"call", "command", "token"});
    listen.tokens.push_back(token_from(token));
  }
  for (const Json& entry : members.list("hosts")) {
    const Members rule(entry, "a host", {"host", "port", "internal"});
    listen.hosts.push_back({rule.text("host"), static_cast<unsigned>(rule.number("port", 65535)),
                            rule.flag("internal")});
  }
  for (const Json& entry : members.list("deny_hosts")) {
    if (!entry.is_string()) members.fail("deny_hosts holds something other than strings");
    listen.deny_hosts.push_back(entry.get<std::string>());
  }
  return listen;
}

Json to_json(const Listen& listen) {
  Json hosts = Json::array();
  for (const HostRule& rule : listen.hosts) {
    hosts.push_back({{"host", rule.host}, {"port", rule.port}, {"internal", rule.internal}});
  }
  Json tokens = Json::array();
  for (const CallToken& token : listen.tokens) {
    tokens.push_back({{"call", token.call}, {"command", token.command}, {"token", token.token}});
  }
  return {{"order", "listen"},
          {"id", listen.id},
          {"sockets", kSocketNames[static_cast<std::size_t>(listen.sockets)]},
          {"session", listen.session},
          {"skill", listen.skill},
          {"tokens", std::move(tokens)},
          {"hosts", std::move(hosts)},
          {"deny_hosts", listen.deny_hosts}};
}

Admit admit_from(const Json& value) {
  const Members members(value, "admit", {"order", "id", "call", "command", "token"});
  return {members.number("id"), token_from(members)};
}

Dismiss dismiss_from(const Json& value) {
  const Members members(value, "dismiss", {"order", "id", "call"});
  return {members.number("id"), members.text("call")};
}

Connection connection_from(const Json& value) {
  const Members members(
      value, "connection",
      {"event",    "id",         "connection",  "call",    "session",  "skill",   "protocol",
       "program",  "host",       "port",        "address", "decision", "reason",  "rule",
       "bytes_up", "bytes_down", "duration_us", "phase",   "count",    "first_us"});
  Connection event;
  event.id = members.number("id");
  event.connection = members.number("connection");
  event.call = members.text("call");
  event.session = members.text("session");
  event.skill = members.text("skill");
  event.protocol = members.text("protocol");
  event.program = members.text("program");
  event.host = members.text("host");
  event.port = static_cast<unsigned>(members.number("port", 65535));
  event.address = members.text("address");
  const std::string decision = members.text("decision");
  if (decision != "allow" && decision != "block") members.fail("unknown decision");
  event.decision = decision == "allow" ? Decision::kAllow : Decision::kBlock;
  event.reason = members.text("reason");
  event.rule = members.text("rule");
  event.bytes_up = members.number("bytes_up");
  event.bytes_down = members.number("bytes_down");
  event.duration_us = members.number("duration_us");
  const std::string phase = members.text("phase");
  if (phase != "open" && phase != "close") members.fail("unknown phase");
  event.phase = phase == "open" ? Phase::kOpen : Phase::kClose;
  event.count = members.number("count");
  if (event.count == 0 || (event.count > 1 && !dialled_nothing(event))) {
    members.fail("a count of what is no refusal");
  }
  event.first_us = static_cast<std::int64_t>(members.number("first_us"));
  return event;
}

Json to_json(const Connection& event) {
  return {{"event", "connection"},
          {"id", event.id},
          {"connection", event.connection},
          {"call", event.call},
          {"session", event.session},
          {"skill", event.skill},
          {"protocol", event.protocol},
          {"program", event.program},
          {"host", event.host},
          {"port", event.port},
          {"address", event.address},
          {"decision", event.decision == Decision::kAllow ? "allow" : "block"},
          {"reason", event.reason},
          {"rule", event.rule},
          {"bytes_up", event.bytes_up},
          {"bytes_down", event.bytes_down},
          {"duration_us", event.duration_us},
          {"phase", event.phase == Phase::kOpen ? "open" : "close"},
          {"count", event.count},
          {"first_us", event.first_us}};
}

}  // namespace

std::size_t descriptors_of(Sockets sockets) {
  return kDescriptors[static_cast<std::size_t>(sockets)];
}

void check_token(const CallToken& token) {
  if (token.token.size() < kMinToken || token.token.size() > kMaxToken) {
    throw UserError("egress: a token has " + std::to_string(kMinToken) + " to " +
                    std::to_string(kMaxToken) + " characters");
  }
  if (token.call.empty()) throw UserError("egress: a token of no call");
}

void check_listen(const Listen& listen) {
  for (const CallToken& token : listen.tokens) {
    if (listen.sockets != Sockets::kNames) check_token(token);
  }
  DestinationRules(listen.hosts, listen.deny_hosts);
}

std::string order_to_text(const Order& order) {
  return dump_json(std::visit(
      Overloaded{[](const Listen& listen) { return to_json(listen); },
                 [](const Admit& admit) {
                   return Json{{"order", "admit"},
                               {"id", admit.id},
                               {"call", admit.token.call},
                               {"command", admit.token.command},
                               {"token", admit.token.token}};
                 },
                 [](const Dismiss& dismiss) {
                   return Json{{"order", "dismiss"}, {"id", dismiss.id}, {"call", dismiss.call}};
                 },
                 [](const Close& close) {
                   return Json{{"order", "close"}, {"id", close.id}};
                 }},
      order));
}

Order order_from_text(std::string_view text) {
  const Json value = parse(text, "egress order");
  const std::string kind = kind_of(value, "order");
  if (kind == "listen") return listen_from(value);
  if (kind == "admit") return admit_from(value);
  if (kind == "dismiss") return dismiss_from(value);
  if (kind == "close") return Close{Members(value, "close", {"order", "id"}).number("id")};
  throw UserError("egress protocol: unknown order");
}

std::string event_to_text(const Event& event) {
  return dump_json(std::visit(
      Overloaded{
          [](const Ready& ready) {
            return Json{{"event", "ready"}, {"uid", ready.uid}, {"landlock", ready.landlock}};
          },
          [](const Connection& connection) { return to_json(connection); },
          [](const Closed& closed) {
            return Json{{"event", "closed"}, {"id", closed.id}};
          },
          [](const Failed& failed) {
            return Json{{"event", "failed"}, {"id", failed.id}, {"reason", failed.reason}};
          }},
      event));
}

Event event_from_text(std::string_view text) {
  const Json value = parse(text, "egress event");
  const std::string kind = kind_of(value, "event");
  if (kind == "connection") return connection_from(value);
  if (kind == "closed") return Closed{Members(value, "closed", {"event", "id"}).number("id")};
  if (kind == "ready") {
    const Members members(value, "ready", {"event", "uid", "landlock"});
    return Ready{static_cast<unsigned>(members.number("uid", 0xFFFFFFFFu)),
                 static_cast<int>(members.number("landlock", 1000))};
  }
  if (kind == "failed") {
    const Members members(value, "failed", {"event", "id", "reason"});
    return Failed{members.number("id"), members.text("reason")};
  }
  throw UserError("egress protocol: unknown event");
}

}  // namespace sharkcage::egress
