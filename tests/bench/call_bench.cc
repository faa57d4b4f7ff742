// Times calls through a running supervisor and the start of other programs, in turn within one run.
//
//   SHARKCAGE_HOME=DIR call_bench < PLAN > RESULT
//
// PLAN: {"rounds": N, "workspace": DIR, "sc_exec": PROGRAM, "skill": {"name", "path", "program"},
//        "rows": [{"name", "kind", "every"?: N, "argv"?: […], "env"?: {…}}]}
//       or {"fill_audit": N}: appends N records to the instance's log, whose supervisor does not
//       run
// kind: "spawn"            argv, from its spawn to its end
//       "call"             a tool call as a host makes it: tool.authorize, exec.prepare, sc-exec
//                          spawned, its end
//        "run"              exec.run on a connection that stays, up to exec.exit
//        "run-warm"         the same in a session
//        "parallel-run"     "run-warm" on 16 connections at once, the time a call
//        "parallel-spawn"   argv by 16 threads at once, the time a spawn
//       "authorize"        tool.authorize of a command of the baseline
//       "authorize-skill"  tool.authorize of a program of the approved skill
//       "commit"           one record to an audit log of its own on the same file system
//       "commit-spawn"     the same, and then argv from its spawn to its end: what a call costs at
//                          least that is recorded before it runs, without any sandbox
// Each round takes every row once, in an order of its own, so that what the machine does otherwise
// and what one row leaves behind meets all rows alike.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "audit/log.h"
#include "common/errors.h"
#include "common/fd.h"
#include "common/json.h"
#include "common/places.h"
#include "common/rpc.h"
#include "tests/bench/samples.h"

namespace {

using namespace sharkcage;
using Clock = std::chrono::steady_clock;
using bench::Samples;

constexpr int kWarmUpRounds = 5;
constexpr std::uint64_t kFillGroup = 10'000;
constexpr const char* kSession = "bench";
constexpr std::size_t kParallel = 16;
constexpr int kParallelCalls = 8;  // of each

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// The three streams of a command as a host gives them: pipes, with nothing to read.
class Streams {
 public:
  Streams() {
    for (auto& pipe : pipes_) {
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("pipe2");
      pipe[0].reset(ends[0]);
      pipe[1].reset(ends[1]);
    }
    pipes_[0][1].reset();
  }
  // What the command gets.
  std::vector<int> fds() const {
    return {pipes_[0][0].get(), pipes_[1][1].get(), pipes_[2][1].get()};
  }
  // What it wrote to stderr, once all its ends are closed.
  std::string complaint() {
    pipes_[2][1].reset();
    return read_fd(pipes_[2][0].get(), 64u << 10, "stderr");
  }

 private:
  UniqueFd pipes_[3][2];
};

// Runs `argv` to its end. Throws when that is not success.
void spawn_and_wait(const std::vector<std::string>& argv, const std::vector<std::string>& env) {
  Streams streams;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const std::vector<int> fds = streams.fds();
  for (int i = 0; i < 3; ++i) {
    ::posix_spawn_file_actions_adddup2(&actions, fds[static_cast<std::size_t>(i)], i);
  }
  const auto pointers = [](const std::vector<std::string>& words) {
    std::vector<char*> list;
    for (const std::string& word : words) list.push_back(const_cast<char*>(word.c_str()));
    list.push_back(nullptr);
    return list;
  };
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, argv.front().c_str(), &actions, nullptr,
                                  pointers(argv).data(), pointers(env).data());
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw_errno(error, "posix_spawn", argv.front());
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw UserError(argv.front() + " ended with wait status " + std::to_string(status) + ": " +
                    streams.complaint());
  }
}

std::vector<std::string> own_environment() {
  std::vector<std::string> env;
  for (char** entry = environ; *entry != nullptr; ++entry) env.emplace_back(*entry);
  return env;
}

audit::Record some_verdict() {
  audit::Record record;
  record.kind = "verdict";
  record.session = kSession;
  record.skill = record.tool = "bench";
  record.decision = "allow";
  record.payload = {{"params", {{"command", "/bin/true"}}}};
  return record;
}

// No more at once than the log's queue takes.
void fill_audit(std::uint64_t count) {
  audit::Log log(find_places());
  std::atomic<bool> failed = false;
  for (std::uint64_t done = 0; done < count && !failed;) {
    const std::uint64_t group = std::min<std::uint64_t>(kFillGroup, count - done);
    for (std::uint64_t i = 1; i < group; ++i) {
      log.append(some_verdict(), [&](std::exception_ptr error, const audit::Committed&) {
        if (error) failed = true;
      });
    }
    log.append_and_wait(some_verdict());
    done += group;
  }
  if (failed) throw UserError("the log could not be filled");
}

class Bench {
 public:
  explicit Bench(Json plan) : plan_(std::move(plan)), environment_(own_environment()) {
    for (const Json& row : plan_.at("rows")) {
      const auto kind = row.at("kind").get<std::string>();
      if (kind.starts_with("commit")) {
        if (!log_) open_log();
      } else if (!kind.ends_with("spawn") && !client_) {
        client_.emplace(rpc::Client::connect(find_places(), "bench"));
        supervisor_ = client_->call("status.get", Json::object()).at("pid").get<int>();
        client_->call("session.open", {{"session", kSession},
                                       {"workspace", plan_.at("workspace")},
                                       {"access", "rw"},
                                       {"skills", Json::array()}});
      }
    }
  }

  Json run() {
    const auto& rows = plan_.at("rows");
    std::vector<Samples> samples(rows.size());
    const int rounds = plan_.at("rounds").get<int>();
    bench::in_rounds(rows, rounds, kWarmUpRounds, [&](std::size_t index, bool counts) {
      const double before = supervisor_microseconds();
      Samples sample = measure(rows[index]);
      if (before >= 0 && !rows[index].at("kind").get<std::string>().ends_with("spawn") &&
          rows[index].at("kind") != "commit") {
        sample["supervisor's processor time"] = {supervisor_microseconds() - before};
      }
      settle(rows[index]);
      if (!counts) return;
      for (const auto& [phase, values] : sample) {
        auto& all = samples[index][phase];
        all.insert(all.end(), values.begin(), values.end());
      }
    });
    Json out = Json::array();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out.push_back(bench::summary(rows[i].at("name"), samples[i]));
    }
    return out;
  }

 private:
  void open_log() {
    Places places;
    const std::string root = find_places().state_dir + "/../bench-log";
    places.config_dir = root + "/etc";
    places.state_dir = root + "/var";
    places.run_dir = root + "/run";
    create_places(places);
    log_.emplace(places);
  }

  Samples measure(const Json& row) {
    const auto kind = row.at("kind").get<std::string>();
    if (kind == "spawn") return spawn(row);
    if (kind == "call") return call();
    if (kind == "run") return run_at_socket("");
    if (kind == "run-warm") return run_at_socket(kSession);
    if (kind == "parallel-run") return parallel_runs();
    if (kind == "parallel-spawn") return parallel_spawns(row.at("argv"));
    if (kind == "authorize") return authorize("/bin/true", "agent");
    if (kind == "authorize-skill") {
      const Json& skill = plan_.at("skill");
      return authorize(skill.at("program").get<std::string>(), skill.at("name"));
    }
    if (kind == "commit") return commit();
    if (kind == "commit-spawn") return commit_and_spawn(row.at("argv"));
    throw UserError("unknown kind of row: " + kind);
  }

  Samples spawn(const Json& row) {
    const auto argv = row.at("argv").get<std::vector<std::string>>();
    std::vector<std::string> env = environment_;
    const Json variables = row.value("env", Json::object());
    for (const auto& [name, value] : variables.items()) {
      std::erase_if(env, [&](const auto& entry) { return entry.starts_with(name + "="); });
      env.push_back(name + "=" + value.get<std::string>());
    }
    const auto start = Clock::now();
    spawn_and_wait(argv, env);
    return {{"", {microseconds_since(start)}}};
  }

  Json ask(const std::string& command, const Json& skill) {
    Json answer = client_->call("tool.authorize", {{"tool", "exec"},
                                                   {"params", {{"command", command}}},
                                                   {"session", kSession},
                                                   {"agent", "main"},
                                                   {"run", "run-1"},
                                                   {"call", "call-1"},
                                                   {"prompt", false}});
    if (answer.at("verdict") != "allow" || answer.at("skill") != skill) {
      throw UserError("tool.authorize of " + command + ": " + answer.dump());
    }
    return answer;
  }

  Samples authorize(const std::string& command, const Json& skill) {
    const auto start = Clock::now();
    ask(command, skill);
    return {{"", {microseconds_since(start)}}};
  }

  Samples call() {
    const std::string command = "/bin/true";
    Samples sample;
    const auto start = Clock::now();
    const Json verdict = ask(command, "agent");
    sample["tool.authorize"] = {microseconds_since(start)};
    const auto prepare = Clock::now();
    const Json prepared = client_->call("exec.prepare", {{"session", kSession},
                                                         {"command", command},
                                                         {"token", verdict.at("token")},
                                                         {"kind", "exec"},
                                                         {"env", {{"PATH", "/usr/bin:/bin"}}}});
    sample["exec.prepare"] = {microseconds_since(prepare)};
    const auto spawned = Clock::now();
    std::vector<std::string> env = environment_;
    env.push_back("SHARKCAGE_TICKET=" + prepared.at("ticket").get<std::string>());
    spawn_and_wait({plan_.at("sc_exec").get<std::string>()}, env);
    sample["sc-exec"] = {microseconds_since(spawned)};
    sample[""] = {microseconds_since(start)};
    return sample;
  }

  Samples run_at_socket(const std::string& session) { return run_at(*client_, session); }

  Samples run_at(rpc::Client& client, const std::string& session) const {
    Streams streams;
    Samples sample;
    Json params = {{"argv", {"/bin/true"}},
                   {"workspace", {{"path", plan_.at("workspace")}, {"access", "rw"}}},
                   {"workdir", plan_.at("workspace")},
                   {"env", Json::object()}};
    if (!session.empty()) params["session"] = session;
    const auto start = Clock::now();
    client.call("exec.run", std::move(params), streams.fds());
    sample["exec.run"] = {microseconds_since(start)};
    for (;;) {
      const auto event = client.next_notification();
      if (!event) throw UserError("the supervisor closed the connection");
      if (event->at("method") == "exec.started") sample["started"] = {microseconds_since(start)};
      if (event->at("method") != "exec.exit") continue;
      if (event->at("params").value("exit", -1) != 0) throw UserError("exec.run: " + event->dump());
      break;
    }
    sample[""] = {microseconds_since(start)};
    return sample;
  }

  // The mean of all, since what counts is how many are done in a time.
  Samples parallel_runs() {
    while (clients_.size() < kParallel) {
      clients_.push_back(rpc::Client::connect(find_places(), "bench"));
    }
    return in_parallel([this](std::size_t worker) { run_at(clients_[worker], kSession); });
  }

  Samples parallel_spawns(const std::vector<std::string>& argv) {
    return in_parallel([&](std::size_t) { spawn_and_wait(argv, environment_); });
  }

  static Samples in_parallel(const std::function<void(std::size_t)>& once) {
    std::vector<std::thread> threads;
    std::atomic<bool> failed = false;
    const auto start = Clock::now();
    for (std::size_t worker = 0; worker < kParallel; ++worker) {
      threads.emplace_back([&, worker] {
        try {
          for (int i = 0; i < kParallelCalls; ++i) once(worker);
        } catch (const std::exception& error) {
          std::cerr << "call_bench: " << error.what() << "\n";
          failed = true;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (failed) throw UserError("a call of several at once failed");
    return {{"", {microseconds_since(start) / (kParallel * kParallelCalls)}}};
  }

  Samples commit() {
    audit::Record record = some_verdict();
    const auto start = Clock::now();
    log_->append_and_wait(std::move(record));
    return {{"", {microseconds_since(start)}}};
  }

  Samples commit_and_spawn(const std::vector<std::string>& argv) {
    const auto start = Clock::now();
    log_->append_and_wait(some_verdict());
    spawn_and_wait(argv, environment_);
    return {{"", {microseconds_since(start)}}};
  }

  // What all threads of the supervisor have used so far: says what a call costs also where other
  // programs keep the processors busy. Negative where the kernel does not tell (CONFIG_SCHED_INFO).
  double supervisor_microseconds() const {
    if (supervisor_ == 0) return -1;
    double nanoseconds = 0;
    const std::string threads = "/proc/" + std::to_string(supervisor_) + "/task";
    for (const auto& thread : std::filesystem::directory_iterator(threads)) {
      std::ifstream file(thread.path() / "schedstat");
      double value = 0;
      if (!(file >> value)) return -1;
      nanoseconds += value;
    }
    return nanoseconds / 1000;
  }

  // The outcome of a call that has returned is not written while the next row is measured.
  void settle(const Json& row) {
    const auto kind = row.at("kind").get<std::string>();
    if (kind == "call" || kind == "parallel-run" || kind.starts_with("run")) {
      client_->call("audit.query", {{"tail", 1}});
    }
  }

  Json plan_;
  std::vector<std::string> environment_;
  std::optional<rpc::Client> client_;
  std::vector<rpc::Client> clients_;  // of calls at once
  int supervisor_ = 0;                // its process
  std::optional<audit::Log> log_;
};

}  // namespace

int main() {
  try {
    const std::string plan{std::istreambuf_iterator<char>(std::cin), {}};
    const Json parsed = parse_json(plan, "the plan");
    if (const auto count = parsed.value("fill_audit", std::uint64_t{0});
        parsed.contains("fill_audit")) {
      fill_audit(count);
      std::cout << "[]\n";
      return 0;
    }
    Bench bench(parsed);
    std::cout << bench.run().dump(2) << "\n";
    return 0;
  } catch (const rpc::RemoteError& error) {
    std::cerr << "call_bench: " << error.what() << " " << error.error().data.dump() << "\n";
  } catch (const UserError& error) {
    std::cerr << "call_bench: " << error.full() << "\n";
  } catch (const std::exception& error) {
    std::cerr << "call_bench: " << error.what() << "\n";
  }
  return 1;
}
