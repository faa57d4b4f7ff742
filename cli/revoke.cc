// sc revoke: withdraws an approval.
#include "cli/commands.h"
#include "common/text.h"

namespace sharkcage::cli {

void add_revoke(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      add_command(app, invocation, "revoke",
                  "Withdraw a skill's approval; its running commands end", "sc revoke weather");
  auto name = std::make_shared<std::string>();
  command->add_option("NAME", *name, "The skill")->type_name("")->required();
  command->callback([&invocation, name] {
    invocation.action = [&invocation, name] {
      const Json answer = connect().call("skill.revoke", {{"name", *name}});
      if (invocation.json) {
        print_json(answer);
      } else {
        print(printable(*name) + " is no longer approved. Approve it again with: sc approve " +
              printable(*name) + "\n");
      }
      return kDone;
    };
  });
}

}  // namespace sharkcage::cli
