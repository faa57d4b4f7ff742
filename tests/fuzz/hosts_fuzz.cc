// Requested hosts and rules: a destination has a normal form that is its own normal form, and
// whatever a rule without `internal` lets pass is a public address.

#include <cstdlib>
#include <string>
#include <variant>

#include "common/errors.h"
#include "supervisor/egress/rules.h"

namespace {

using namespace sharkcage::egress;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_destination(const std::string& text) {
  const auto result = destination_from_text(text, 443);
  const auto* destination = std::get_if<Destination>(&result);
  if (destination == nullptr) return;
  const auto again = destination_from_text(destination->host, 443);
  require(std::holds_alternative<Destination>(again));
  require(std::get<Destination>(again).host == destination->host);
  require(std::get<Destination>(again).literal == destination->literal);
}

void check_rule(const std::string& rule, const std::string& host) {
  try {
    const Rules rules({{rule, 443, false}}, {});
    const auto wanted = destination_from_text(host, 443);
    if (!std::holds_alternative<Destination>(wanted)) return;
    const auto& destination = std::get<Destination>(wanted);
    const auto match = rules.match(destination);
    if (match.rules.empty() || !destination.literal) return;
    const auto judgement = rules.judge(match, *destination.literal, false);
    require(!judgement.allowed || kind_of(*destination.literal) == AddressKind::kPublic);
    require(!rules.judge(match, *destination.literal, true).allowed);
  } catch (const sharkcage::UserError&) {
    // A text that is no rule.
  }
}

void check_denied(const std::string& rule) {
  try {
    Rules({}, {rule});
  } catch (const sharkcage::UserError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1024) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::size_t line = text.find('\n');
  const std::string rule = text.substr(0, line);
  const std::string host = line == std::string::npos ? rule : text.substr(line + 1);
  check_destination(host);
  check_rule(rule, host);
  check_denied(rule);
  return 0;
}
