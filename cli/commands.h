// The commands of sc. Each file adds its command to the parser and leaves an action behind; main
// runs the action of the command that was given and turns exceptions into messages and exit
// statuses:
//
//   UserError, rpc::RemoteError, system_error   1 (refused or failed)
//   UsageError, CLI::ParseError                 2 (wrong usage)
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/style.h"
#include "common/rpc.h"

namespace sharkcage::cli {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

// The command line asks for something that cannot be meant.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What the command line asked for.
struct Invocation {
  std::function<int()> action;
  bool json = false;
  // Everything behind "--" for the commands that run another one; the parser never sees it.
  std::vector<std::string> command;
};

// A command with its description, an example for --help, and --json.
CLI::App* add_command(CLI::App& parent, Invocation& invocation, const std::string& name,
                      const std::string& description, const std::string& example);

// Checks an option's value: empty for a duration ("30s"), else what is wrong with it.
std::string check_duration(const std::string& text);
// The same for a name that somebody chose: not empty, at most 200 bytes.
std::string check_name(const std::string& text);

void add_start(CLI::App& app, Invocation& invocation);
void add_stop(CLI::App& app, Invocation& invocation);
void add_status(CLI::App& app, Invocation& invocation);
void add_doctor(CLI::App& app, Invocation& invocation);
void add_run(CLI::App& app, Invocation& invocation);
void add_exec(CLI::App& app, Invocation& invocation);
void add_skill(CLI::App& app, Invocation& invocation);
// `sc approve`, which `sc skill approve` is as well.
void add_approve(CLI::App& app, Invocation& invocation);
void add_deny(CLI::App& app, Invocation& invocation);
void add_revoke(CLI::App& app, Invocation& invocation);
void add_verify(CLI::App& app, Invocation& invocation);
void add_audit(CLI::App& app, Invocation& invocation);
void add_audit_verify(CLI::App& audit, Invocation& invocation);

// The supervisor of this instance. Throws UserError when none answers.
rpc::Client connect();

// The path of a program of ours: it stands beside sc itself.
std::string sibling(const std::string& name);

// Replaces this process by a program of ours. Throws UserError when it is not there.
[[noreturn]] void exec_sibling(const std::string& name, const std::vector<std::string>& arguments);

// Prints to stdout, and to stderr "sc: " with a message of one or more lines.
void print(const std::string& text);
void print_json(const Json& value);
void print_error(const std::string& message, const std::string& remedy = {});

}  // namespace sharkcage::cli
