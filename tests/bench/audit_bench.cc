// The figures of the "audit" budget: append, commit, verify, query. Prints one JSON object.
//
//   audit_bench [RECORDS] [DIRECTORY]     default: 1,000,000 records under the temporary directory
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "audit/log.h"
#include "audit/query.h"
#include "audit/verify.h"
#include "common/places.h"

namespace {

using namespace sharkcage;
using namespace sharkcage::audit;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Processor time of all threads: what a figure costs, also on a machine that is busy otherwise.
double cpu_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(static_cast<double>(values.size() - 1) * share)];
}

// The shape of a real verdict.
Record verdict(std::uint64_t number) {
  Record record;
  record.kind = "verdict";
  record.session = "agent:main:" + std::to_string(number % 100);
  record.agent = "main";
  record.skill = number % 4 == 0 ? "weather" : "agent";
  record.tool = number % 3 == 0 ? "exec" : "read";
  record.call = "call_" + std::to_string(number);
  record.decision = number % 2000 == 0 ? "block" : "allow";
  record.reason = "approved";
  record.policy = std::string(64, 'a');
  record.payload = {{"command", "curl https://wttr.in/Berlin"}, {"workdir", "/home/me/workspace"}};
  return record;
}

// And of an outcome: one in 1000 records is shown by `--blocked`, half of them verdicts.
Record record_of(std::uint64_t number) {
  Record record = verdict(number);
  if (number % 2000 != 1000) return record;
  record.kind = "outcome";
  record.decision = record.reason = "";
  record.payload = {{"exit", 1},
                    {"wall_us", 12'345},
                    {"refused",
                     {{{"operation", "read"},
                       {"path", "/home/me/.aws/credentials"},
                       {"program", "cat"},
                       {"pid", 3},
                       {"first", "2026-11-21T14:03:07.120348Z"},
                       {"count", 2}}}}};
  return record;
}

// As fast as the queue takes them: four appending threads, each waiting when it is full.
double append_many(Log& log, std::uint64_t count) {
  const auto start = Clock::now();
  std::atomic<std::uint64_t> next = 0;
  std::atomic<std::uint64_t> waiting = 0;
  std::atomic<bool> failed = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::uint64_t i = next++; i < count; i = next++) {
        std::uint64_t now = 0;
        while ((now = waiting.load()) > 30'000) waiting.wait(now);
        ++waiting;
        log.append(record_of(i), [&](std::exception_ptr error, const Committed&) {
          if (error) failed = true;
          if (--waiting % 4096 == 0) waiting.notify_all();
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  log.append_and_wait(verdict(count));
  return failed ? 0 : static_cast<double>(count) / seconds_since(start);
}

std::vector<double> commit_latencies(Log& log, int count) {
  std::vector<double> latencies;
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    log.append_and_wait(verdict(static_cast<std::uint64_t>(i)));
    latencies.push_back(seconds_since(start) * 1e6);
  }
  return latencies;
}

double query_milliseconds(const std::string& database, const Query& query) {
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) {
    const auto start = Clock::now();
    Reader(database).read(query, [](const Record&) { return true; });
    times.push_back(seconds_since(start) * 1e3);
  }
  return median(times);
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t count = argc > 1 ? std::stoull(argv[1]) : 1'000'000;
  std::string root =
      std::string(argc > 2 ? argv[2] : std::filesystem::temp_directory_path().c_str()) +
      "/sc-audit-bench-XXXXXX";
  if (::mkdtemp(root.data()) == nullptr) return 1;
  Places places;
  places.config_dir = root + "/etc";
  places.state_dir = root + "/var";
  places.run_dir = root + "/run";
  create_places(places);

  Json result{{"records", count}};
  {
    Log log(places);
    const std::vector<double> first = commit_latencies(log, 500);
    result["commit_us_p50"] = percentile(first, 0.5);
    result["commit_us_p99"] = percentile(first, 0.99);
    const double cpu = cpu_seconds();
    result["append_per_second"] = append_many(log, count);
    result["append_cpu_us"] = (cpu_seconds() - cpu) * 1e6 / static_cast<double>(count);
    const std::vector<double> full = commit_latencies(log, 1000);
    result["commit_full_log_us_p50"] = percentile(full, 0.5);
    result["commit_full_log_us_p99"] = percentile(full, 0.99);
  }
  result["database_bytes"] = std::filesystem::file_size(places.audit_db());
  for (int i = 0; i < 2; ++i) {
    const auto start = Clock::now();
    const double cpu = cpu_seconds();
    const Verification verification = verify(places);
    if (!verification.ok()) return 1;
    result["verify_per_second"] = static_cast<double>(verification.records) / seconds_since(start);
    result["verify_cpu_us"] =
        (cpu_seconds() - cpu) * 1e6 / static_cast<double>(verification.records);
  }
  Query query;
  query.blocked = true;
  query.tail = 100;
  result["blocked_tail_100_ms"] = query_milliseconds(places.audit_db(), query);
  query.tail.reset();
  query.limit = 100;
  result["blocked_limit_100_ms"] = query_milliseconds(places.audit_db(), query);
  query.limit.reset();
  result["blocked_all_ms"] = query_milliseconds(places.audit_db(), query);
  result["blocked_records"] =
      Reader(places.audit_db()).read(query, [](const Record&) { return true; });
  query = {};
  query.skill = "weather";
  query.tail = 100;
  result["skill_tail_100_ms"] = query_milliseconds(places.audit_db(), query);
  std::printf("%s\n", result.dump(2).c_str());
  std::filesystem::remove_all(root);
  return 0;
}
