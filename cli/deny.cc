// sc deny: a person's no to a pending request.
#include "cli/commands.h"

namespace sharkcage::cli {

void add_deny(CLI::App& app, Invocation& invocation) {
  CLI::App* command = add_command(app, invocation, "deny",
                                  "Refuse a pending request (sc approve --pending lists them)",
                                  "sc deny 3f9a12c07be4d581");
  auto request = std::make_shared<std::string>();
  command->add_option("REQUEST", *request, "The request's id")->type_name("")->required();
  command->callback([&invocation, request] {
    invocation.action = [&invocation, request] {
      const Json answer = connect().call("approval.deny", {{"request", *request}});
      if (invocation.json) {
        print_json(answer);
      } else {
        print("Denied.\n");
      }
      return kDone;
    };
  });
}

}  // namespace sharkcage::cli
