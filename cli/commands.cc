#include "cli/commands.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "common/errors.h"
#include "common/text.h"

namespace sharkcage::cli {

CLI::App* add_command(CLI::App& parent, Invocation& invocation, const std::string& name,
                      const std::string& description, const std::string& example) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->footer("Example:\n  " + example);
  command->add_flag("--json", invocation.json, "Print JSON for machines");
  return command;
}

std::string check_duration(const std::string& text) {
  try {
    if (parse_duration(text, "").count() > 0) return {};
    return '"' + printable(text) + "\" is no time";
  } catch (const UserError& error) {
    return std::string(error.what()).substr(std::string_view(": ").size());
  }
}

std::string check_name(const std::string& text) {
  constexpr std::size_t kMaxName = 200;
  if (text.empty()) return "it is empty: is a variable of the shell not set?";
  if (text.size() > kMaxName) return "it is longer than " + std::to_string(kMaxName) + " bytes";
  return {};
}

rpc::Client connect() {
  const Places places = find_places();
  try {
    return rpc::Client::connect(places, "sc " SHARKCAGE_VERSION);
  } catch (const rpc::RemoteError& refused) {
    rpc::Error error = refused.error();
    if (error.code != rpc::kForbidden || error.data.is_object()) throw;
    error.data = {{"remedy", "Its configuration, " + places.config_file() +
                                 ", says who may: \"hosts\" and \"operators\""}};
    throw rpc::RemoteError(std::move(error));
  }
}

std::string sibling(const std::string& name) {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  return (self.parent_path() / name).string();
}

void exec_sibling(const std::string& name, const std::vector<std::string>& arguments) {
  const std::string path = sibling(name);
  std::vector<std::string> all = {name};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
  throw UserError("Cannot run " + path + " (" + std::strerror(errno) + ")",
                  "Install Sharkcage again: ./install.sh");
}

void print(const std::string& text) {
  std::cout << text << std::flush;
}

void print_json(const Json& value) {
  std::cout << json_line(value) << '\n' << std::flush;
}

void print_error(const std::string& message, const std::string& remedy) {
  std::istringstream lines(message);
  std::string line;
  bool first = true;
  while (std::getline(lines, line)) {
    std::cerr << (first ? "sc: " : "    ") << printable(line) << '\n';
    first = false;
  }
  if (!remedy.empty()) std::cerr << "    " << printable(remedy) << '\n';
}

}  // namespace sharkcage::cli
