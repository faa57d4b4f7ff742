#include "supervisor/tickets.h"

#include "common/errors.h"
#include "common/hash.h"

namespace sharkcage {
namespace {

constexpr std::size_t kTicketBytes = 16;
constexpr const char* kRemedy =
    "A ticket works once, within 30 seconds, for the command it was issued for; ask for a new one.";

}  // namespace

std::string Tickets::issue(PreparedCommand command, Clock::time_point now) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.second.expires <= now; });
  if (entries_.size() >= kMaxTickets) {
    throw UserError("Too many commands wait to be started", "Try again in half a minute.");
  }
  // The map is keyed by digest: a lookup then takes no time that depends on how much of a guess is
  // right.
  std::string ticket = random_hex(kTicketBytes);
  entries_[sha256_hex(ticket)] = {std::move(command), now + kTicketLife};
  return ticket;
}

PreparedCommand Tickets::redeem(const Presented& presented, Clock::time_point now) {
  if (presented.ticket.empty()) throw UserError("There is no ticket", kRemedy);
  auto node = entries_.extract(sha256_hex(presented.ticket));
  if (node.empty()) throw UserError("The ticket is unknown, used before, or expired", kRemedy);
  Entry entry = std::move(node.mapped());
  if (entry.expires <= now) throw UserError("The ticket came too late", kRemedy);
  if (entry.command.owner != presented.peer) {
    throw UserError("The ticket was issued to another user", kRemedy);
  }
  if (!presented.argv.empty() && presented.argv != entry.command.argv) {
    throw UserError("The ticket was issued for another command", kRemedy);
  }
  if (presented.terminal != entry.command.terminal) {
    throw UserError(entry.command.terminal ? "The ticket was issued for a terminal"
                                           : "The ticket was issued for pipes, not a terminal",
                    kRemedy);
  }
  return std::move(entry.command);
}

void Tickets::drop_call(const std::string& call) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.second.command.call == call; });
}

}  // namespace sharkcage
