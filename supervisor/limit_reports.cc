#include "supervisor/limit_reports.h"

#include <chrono>

#include "common/text.h"

namespace sharkcage {
namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;

std::string processes_in_words(std::uint64_t pids) {
  return std::to_string(pids) + (pids == 1 ? " process" : " processes");
}

std::string times(const sandbox::Refusal& hit) {
  const std::string number = hit.count == 1 ? "once" : std::to_string(hit.count) + " times";
  return (hit.at_least ? "at least " : "") + number;
}

// Empty for one that is no number of the policy's.
std::string words_of(const std::string& limit, const Limits& limits) {
  if (limit == "memory") return size_in_words(limits.memory);
  if (limit == "pids") return processes_in_words(limits.pids);
  if (limit == "output") return size_in_words(limits.output);
  if (limit == "wall") return duration_in_words(limits.wall);
  if (limit == "file size") return size_in_words(limits.file_size);
  if (limit == "tmp") return size_in_words(limits.tmp);
  if (limit == "open files") return std::to_string(limits.open_files);
  return {};
}

// `ended`: the call ended for this.
std::string sentence(const sandbox::Refusal& hit, bool ended, const Limits& limits) {
  if (hit.target == "memory") {
    const std::string limit = size_in_words(limits.memory);
    return ended ? "The call was ended: it needed more memory than its limit of " + limit + "."
                 : "The limit of " + limit + " of memory was hit " + times(hit) +
                       ", and processes were killed.";
  }
  if (hit.target == "pids") {
    const std::string limit = processes_in_words(limits.pids);
    return ended ? "The call was ended: it kept on starting processes beyond its limit of " +
                       limit + "."
                 : "Starting a process was refused " + times(hit) + ": the limit is " + limit + ".";
  }
  if (hit.target == "output") {
    return "The call was ended: it wrote more than its limit of " + size_in_words(limits.output) +
           " of output.";
  }
  if (hit.target == "wall") {
    return "The call was ended at its time limit of " + duration_in_words(limits.wall) + ".";
  }
  if (hit.target == "file size") {
    return "The command was ended: it wrote beyond its limit of " +
           size_in_words(limits.file_size) + " a file.";
  }
  if (hit.target == "tmp") {
    return "A private directory in memory (/tmp or /dev/shm) is full: the limit is " +
           size_in_words(limits.tmp) + ".";
  }
  return "The limit \"" + printable(hit.target) + "\" was hit " + times(hit) + ".";
}

}  // namespace

std::string limits_message(const sandbox::Event& event, const Limits& limits) {
  std::string message;
  for (const sandbox::Refusal& hit : event.limits) {
    if (!message.empty()) message += ' ';
    message += sentence(hit, event.reason == hit.target, limits);
  }
  return message;
}

void report_limits(const sandbox::Event& event, const Limits& limits, const std::string& command,
                   Json& payload, Json& notification) {
  if (event.limits.empty()) return;
  Json& refused = payload["refused"];
  for (const sandbox::Refusal& hit : event.limits) {
    const auto first = system_clock::time_point(microseconds(hit.first_us));
    refused.push_back({{"operation", "limit"},
                       {"limit", hit.target},
                       {"count", hit.count},
                       {"first", rfc3339(first)}});
    if (hit.at_least) refused.back()["at_least"] = true;
    const std::string words = words_of(hit.target, limits);
    if (!words.empty()) payload["limits"][hit.target] = words;
  }
  payload["command"] = command;
  notification["message"] = limits_message(event, limits);
}

}  // namespace sharkcage
