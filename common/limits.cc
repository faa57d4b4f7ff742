#include "common/limits.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "common/errors.h"
#include "common/text.h"

namespace sharkcage {
namespace {

// JSON that was built instead of parsed may hold its positive integers as signed ones.
bool is_natural(const Json& value) {
  return value.is_number_unsigned() ||
         (value.is_number_integer() && value.get<std::int64_t>() >= 0);
}

std::uint64_t size_member(const Json& value, const std::string& field) {
  if (is_natural(value)) return value.get<std::uint64_t>();
  if (value.is_string()) return parse_size(value.get<std::string>(), field);
  throw UserError(field + ": expected a size such as \"512M\"");
}

std::uint64_t count_member(const Json& value, const std::string& field) {
  if (is_natural(value) && value.get<std::uint64_t>() > 0) return value.get<std::uint64_t>();
  throw UserError(field + ": expected a positive integer");
}

void refuse_zero(const Limits& limits, const std::string& field) {
  const auto refuse = [&](const char* key) {
    throw UserError(field + "." + key + ": nothing can run with a limit of zero");
  };
  if (limits.memory == 0) refuse("memory");
  if (limits.file_size == 0) refuse("file_size");
  if (limits.output == 0) refuse("output");
  if (limits.tmp == 0) refuse("tmp");
  if (limits.wall.count() == 0) refuse("wall");
}

std::string counted(std::uint64_t number, const char* noun, const char* plural) {
  return std::to_string(number) + ' ' + (number == 1 ? noun : plural);
}

// "text", and what was asked for where that is more.
template <typename T>
void say(std::string& out, const Json& asked, const char* key, T holds, T wanted,
         const std::string& text, const std::string& wanted_text) {
  if (!asked.contains(key)) return;
  if (!out.empty()) out += ", ";
  out += text;
  if (wanted > holds) out += " (it asks for " + wanted_text + ")";
}

}  // namespace

std::chrono::milliseconds duration_member(const Json& value, const std::string& field) {
  if (is_natural(value)) return std::chrono::milliseconds(count_member(value, field));
  if (value.is_string()) return parse_duration(value.get<std::string>(), field);
  throw UserError(field + ": expected a duration such as \"60s\"");
}

Limits Limits::lowered_by(const Limits& other) const {
  Limits low;
  low.memory = std::min(memory, other.memory);
  low.cpus = std::min(cpus, other.cpus);
  low.pids = std::min(pids, other.pids);
  low.open_files = std::min(open_files, other.open_files);
  low.file_size = std::min(file_size, other.file_size);
  low.output = std::min(output, other.output);
  low.tmp = std::min(tmp, other.tmp);
  low.wall = std::min(wall, other.wall);
  return low;
}

Json Limits::to_json() const {
  return {{"memory", memory},       {"cpus", cpus},     {"pids", pids}, {"open_files", open_files},
          {"file_size", file_size}, {"output", output}, {"tmp", tmp},   {"wall", wall.count()}};
}

Limits limits_from_json(const Json& value, Limits base, const std::string& field) {
  if (!value.is_object()) throw UserError(field + ": expected an object");
  for (const auto& [key, member] : value.items()) {
    const std::string place = field + "." + key;
    if (key == "memory") {
      base.memory = size_member(member, place);
    } else if (key == "file_size") {
      base.file_size = size_member(member, place);
    } else if (key == "output") {
      base.output = size_member(member, place);
    } else if (key == "tmp") {
      base.tmp = size_member(member, place);
    } else if (key == "pids") {
      base.pids = count_member(member, place);
    } else if (key == "open_files") {
      base.open_files = count_member(member, place);
    } else if (key == "cpus") {
      if (!member.is_number() || !(member.get<double>() > 0) || member.get<double>() > 4096) {
        throw UserError(place + ": expected a positive number");
      }
      base.cpus = member.get<double>();
    } else if (key == "wall") {
      base.wall = duration_member(member, place);
    } else {
      throw UserError(field + ": unknown key \"" + printable(key) + "\"",
                      "Known: memory, cpus, pids, open_files, file_size, output, tmp, wall.");
    }
  }
  refuse_zero(base, field);
  return base;
}

std::string size_in_words(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  if (bytes == 1) return "1 byte";
  std::size_t unit = 0;
  auto value = static_cast<double>(bytes);
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  char text[64];
  std::snprintf(text, sizeof text, value == std::floor(value) ? "%.0f %s" : "%.1f %s", value,
                kUnits[unit]);
  return text;
}

std::string duration_in_words(std::chrono::milliseconds duration) {
  const auto count = static_cast<std::uint64_t>(duration.count());
  if (count % 3'600'000 == 0) return counted(count / 3'600'000, "hour", "hours");
  if (count % 60'000 == 0) return counted(count / 60'000, "minute", "minutes");
  if (count % 1000 == 0) return counted(count / 1000, "second", "seconds");
  return counted(count, "millisecond", "milliseconds");
}

std::string processors_in_words(double cpus) {
  char text[64];
  std::snprintf(text, sizeof text, "%g %s", cpus, cpus == 1 ? "processor" : "processors");
  return text;
}

std::string limits_in_words(const Json& asked, const Limits& configured) {
  if (!asked.is_object()) return {};
  const Limits wants = limits_from_json(asked, configured, "limits");
  const Limits holds = wants.lowered_by(configured);
  std::string out;
  const auto size = [&](const char* key, std::uint64_t held, std::uint64_t wanted,
                        const char* what) {
    say(out, asked, key, held, wanted, size_in_words(held) + what, size_in_words(wanted));
  };
  const auto count = [&](const char* key, std::uint64_t held, std::uint64_t wanted, const char* one,
                         const char* many) {
    say(out, asked, key, held, wanted, counted(held, one, many), std::to_string(wanted));
  };
  size("memory", holds.memory, wants.memory, " of memory");
  say(out, asked, "cpus", holds.cpus, wants.cpus, processors_in_words(holds.cpus),
      processors_in_words(wants.cpus));
  count("pids", holds.pids, wants.pids, "process", "processes");
  count("open_files", holds.open_files, wants.open_files, "open file", "open files");
  size("file_size", holds.file_size, wants.file_size, " a file");
  size("output", holds.output, wants.output, " of output");
  size("tmp", holds.tmp, wants.tmp, " of temporary files");
  say(out, asked, "wall", holds.wall, wants.wall, duration_in_words(holds.wall),
      duration_in_words(wants.wall));
  return out;
}

}  // namespace sharkcage
