// An instance of its own for one test: directories, the real sharkcaged, clients, its audit log.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"
#include "common/places.h"
#include "common/rpc.h"
#include "tests/integration/process.h"

namespace sharkcage::testing {

class Instance {
 public:
  // Makes the directories; nothing runs yet. Other users may enter, so that a peer can be one.
  Instance();
  // Ends what still runs and removes everything.
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  // Writes etc/config.json.
  void configure(const std::string& text) const;
  // Starts the supervisor and returns once it serves. Throws with its own words when it ends
  // instead. `before_exec` runs in it first: only system calls.
  void start(std::function<void()> before_exec = {});
  // Starts one that is expected to end by itself, and waits for that.
  Output start_in_vain();
  pid_t supervisor() const { return daemon_->pid(); }
  // It, and every process that descends from it.
  std::vector<pid_t> processes() const;
  // SIGTERM, and how it ended.
  Output stop();
  // SIGKILL; returns when it is gone.
  void kill();
  // Waits for an end that something else caused.
  Output wait_for_end();

  const std::string& root() const { return root_; }
  const std::string& workspace() const { return workspace_; }
  std::string home() const { return root_ + "/home"; }
  const Places& places() const { return places_; }

  rpc::Client client() const { return rpc::Client::connect(places_, "test"); }
  // status.get's answer.
  Json status() const { return client().call("status.get", Json::object()); }

  // The programs, in the workspace, with this instance's environment.
  Process spawn(const std::string& program, const std::vector<std::string>& arguments,
                const std::map<std::string, std::string>& variables = {}) const;
  Output sc(const std::vector<std::string>& arguments) const {
    return spawn("sc", arguments).finish();
  }
  // A person's shell command, with the programs on its path.
  Output shell(const std::string& script,
               const std::map<std::string, std::string>& variables = {}) const;
  // sc run -- argv…
  Output run(const std::vector<std::string>& argv) const;

  // Writes a skill's directory: SKILL.md, sharkcage.json, scripts/… of the given content. Returns
  // its path.
  std::string write_skill(const std::string& name, const Json& capabilities) const;
  // Writes, adds and approves it.
  void approve_skill(const std::string& name, const Json& capabilities) const;

  // The log's records, oldest first, read from its file, where a running supervisor has settled
  // first.
  std::vector<Json> records(const std::string& kind = {}) const;
  // `sc audit --blocked --all --json`, and whether any of it has this text in its reason or
  // payload.
  std::vector<Json> blocked() const;
  bool blocked_has(const std::string& text) const;
  Output verify() const { return sc({"audit", "verify"}); }

 private:
  std::map<std::string, std::string> environment() const;

  std::string root_;
  std::string workspace_;
  Places places_;
  std::optional<Process> daemon_;
};

void write_text(const std::string& path, const std::string& text);

// The error of a request that must fail; a test failure and an empty error when it succeeds.
rpc::Error error_of(const std::function<void()>& request);

}  // namespace sharkcage::testing
