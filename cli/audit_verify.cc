// sc audit verify: is the log what was written? Needs no supervisor.
#include <unistd.h>

#include "audit/verify.h"
#include "cli/commands.h"
#include "common/errors.h"
#include "common/places.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

constexpr std::size_t kMaxFindingsShown = 20;

std::string recovered_note(const audit::RecoveredTail& tail) {
  return "Records " + std::to_string(tail.first) + " to " + std::to_string(tail.last) +
         " stood beyond the seal after an unclean stop (record " +
         std::to_string(tail.recorded_in) +
         " says so). Look at them: the seal cannot tell who wrote them.";
}

std::string findings_text(const audit::Verification& result, bool colours) {
  std::string text = Cell("The audit log is NOT intact.", Colour::kRed).painted(colours) + '\n';
  Table table({"RECORD", "FAULT", "WHAT"});
  for (std::size_t i = 0; i < std::min(result.findings.size(), kMaxFindingsShown); ++i) {
    const audit::Finding& finding = result.findings[i];
    table.add({finding.seq == 0 ? "-" : std::to_string(finding.seq),
               {audit::name_of(finding.fault), Colour::kRed},
               finding.what});
  }
  text += table.text(colours, 2);
  if (result.findings.size() > kMaxFindingsShown) {
    text +=
        "  and " + std::to_string(result.findings.size() - kMaxFindingsShown) + " more (--json)\n";
  }
  return text;
}

int verify(const Invocation& invocation, const std::string& head) {
  audit::VerifyOptions options;
  if (!head.empty()) options.head = audit::parse_head(head);
  const Places places = find_places();
  if (::access(places.state_dir.c_str(), F_OK) == 0 &&
      ::access(places.audit_db().c_str(), R_OK) != 0 && errno == EACCES) {
    throw UserError("You may not read the audit log in " + places.state_dir,
                    "Run it as the user that the supervisor runs as: sudo sc audit verify");
  }
  const audit::Verification result = audit::verify(places, options);
  if (invocation.json) {
    print_json(result.to_json());
    return result.ok() ? kDone : kFailed;
  }
  const bool colours = colours_on(STDOUT_FILENO);
  std::string text;
  if (result.ok()) {
    text = Cell("The audit log is intact: ", Colour::kGreen).painted(colours) +
           counted(result.records, "record") +
           ", every link of the chain checked against the seal.\n";
  } else {
    text = findings_text(result, colours);
  }
  for (const audit::RecoveredTail& tail : result.recovered)
    text += "Note: " + recovered_note(tail) + '\n';
  text += "Head: " + result.head.text() + '\n';
  if (result.ok() && head.empty()) {
    text += "Keep it elsewhere; later: sc audit verify --head SEQ:HASH\n";
  }
  print(text);
  return result.ok() ? kDone : kFailed;
}

}  // namespace

void add_audit_verify(CLI::App& audit, Invocation& invocation) {
  CLI::App* command =
      add_command(audit, invocation, "verify",
                  "Check the log's chain and seal; needs no supervisor", "sc audit verify");
  auto head = std::make_shared<std::string>();
  command->add_option("--head", *head, "A head that you kept: the log must still contain it")
      ->type_name("SEQ:HASH");
  command->callback([&invocation, head] {
    invocation.action = [&invocation, head] { return verify(invocation, *head); };
  });
}

}  // namespace sharkcage::cli
