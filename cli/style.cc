#include "cli/style.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <numeric>
#include <sstream>

#include "common/bytes.h"
#include "common/errors.h"
#include "common/text.h"

namespace sharkcage::cli {
namespace {

// ECMA-48, Select Graphic Rendition.
const char* code_of(Colour colour) {
  switch (colour) {
    case Colour::kBold:
      return "\x1b[1m";
    case Colour::kDim:
      return "\x1b[2m";
    case Colour::kGreen:
      return "\x1b[32m";
    case Colour::kYellow:
      return "\x1b[33m";
    case Colour::kRed:
      return "\x1b[31m";
    case Colour::kPlain:
      break;
  }
  return "";
}

std::size_t characters_in(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

// Takes from the widest columns, which keep their longest words whole, until all of them fit.
void narrow(std::vector<std::size_t>& widths, const std::vector<std::vector<Cell>>& lines,
            std::size_t columns) {
  if (widths.empty()) return;
  std::vector<std::size_t> least(widths.size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      least[i] = std::max(least[i], line[i].longest_word());
    }
  }
  std::size_t all = std::accumulate(widths.begin(), widths.end(), 2 * (widths.size() - 1));
  for (; all > columns; --all) {
    std::optional<std::size_t> widest;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (widths[i] > least[i] && (!widest || widths[i] > widths[*widest])) widest = i;
    }
    if (!widest) return;
    --widths[*widest];
  }
}

std::tm local_parts(std::time_t time) {
  std::tm parts{};
  ::localtime_r(&time, &parts);
  return parts;
}

}  // namespace

bool colours_on(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  if (terminal == nullptr || std::string_view(terminal) == "dumb") return false;
  return ::isatty(fd) == 1;
}

std::size_t columns_of(int fd) {
  winsize size{};
  return ::isatty(fd) == 1 && ::ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

Cell::Cell(std::string_view text, Colour colour) : text_(printable(text)), colour_(colour) {}

std::size_t Cell::width() const {
  return characters_in(text_);
}

std::size_t Cell::longest_word() const {
  std::size_t longest = 0;
  for (const std::string& word : words_of(text_)) longest = std::max(longest, characters_in(word));
  return longest;
}

std::vector<Cell> Cell::folded(std::size_t width) const {
  std::vector<Cell> lines;
  if (this->width() > width) {
    for (const std::string& word : words_of(text_)) {
      if (lines.empty() || lines.back().width() + 1 + characters_in(word) > width) {
        lines.push_back(*this);
        lines.back().text_ = word;
      } else {
        lines.back().text_ += ' ' + word;
      }
    }
  }
  if (lines.empty()) lines.push_back(*this);
  return lines;
}

std::string Cell::painted(bool colours) const {
  if (!colours || colour_ == Colour::kPlain || text_.empty()) return text_;
  return code_of(colour_) + text_ + "\x1b[0m";
}

std::string Table::text(bool colours, std::size_t indent, std::size_t columns) const {
  std::vector<std::vector<Cell>> lines;
  if (!headings_.empty()) {
    std::vector<Cell> heads;
    for (const std::string& heading : headings_) heads.emplace_back(heading, Colour::kDim);
    lines.push_back(std::move(heads));
  }
  lines.insert(lines.end(), rows_.begin(), rows_.end());

  std::vector<std::size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].width());
  }
  if (columns > 0) narrow(widths, lines, columns > indent ? columns - indent : 0);
  std::string out;
  for (const auto& line : lines) {
    std::vector<std::vector<Cell>> folded;
    std::size_t height = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
      folded.push_back(line[i].folded(widths[i]));
      height = std::max(height, folded.back().size());
    }
    for (std::size_t part = 0; part < height; ++part) {
      std::string written(indent, ' ');
      for (std::size_t i = 0; i < folded.size(); ++i) {
        const Cell cell = part < folded[i].size() ? folded[i][part] : Cell("");
        written += cell.painted(colours);
        if (i + 1 < folded.size()) written.append(widths[i] - cell.width() + 2, ' ');
      }
      written.erase(written.find_last_not_of(' ') + 1);
      out += written + '\n';
    }
  }
  return out;
}

std::string human_duration(std::chrono::milliseconds duration) {
  const long long ms = duration.count();
  char text[64];
  if (ms < 1000) {
    std::snprintf(text, sizeof text, "%lld ms", ms);
  } else if (ms < 60'000) {
    std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(ms / 100) / 10.0);
  } else if (ms < 3'600'000) {
    std::snprintf(text, sizeof text, "%lld min %lld s", ms / 60'000, ms / 1000 % 60);
  } else if (ms < 2 * 86'400'000LL) {
    std::snprintf(text, sizeof text, "%lld h %lld min", ms / 3'600'000, ms / 60'000 % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld days", ms / 86'400'000);
  }
  return text;
}

std::string human_size(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  char text[64];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string counted(std::uint64_t number, std::string_view noun) {
  return std::to_string(number) + ' ' + std::string(noun) + (number == 1 ? "" : "s");
}

std::optional<std::chrono::system_clock::time_point> parse_rfc3339(std::string_view text) {
  std::tm parts{};
  int micros = 0;
  char zone = 0;
  const std::string copy(text);
  const int fields =
      std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%6d%c", &parts.tm_year, &parts.tm_mon,
                  &parts.tm_mday, &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &micros, &zone);
  if (fields != 8 || zone != 'Z') return std::nullopt;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return std::chrono::system_clock::from_time_t(::timegm(&parts)) +
         std::chrono::microseconds(micros);
}

std::string local_time(std::string_view rfc3339_text, std::chrono::system_clock::time_point now) {
  const auto time = parse_rfc3339(rfc3339_text);
  if (!time) return std::string(rfc3339_text);
  const std::tm then = local_parts(std::chrono::system_clock::to_time_t(*time));
  const std::tm today = local_parts(std::chrono::system_clock::to_time_t(now));
  const bool same_day = then.tm_year == today.tm_year && then.tm_yday == today.tm_yday;
  char out[64];
  std::strftime(out, sizeof out, same_day ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &then);
  return out;
}

Colour colour_of_risk(std::string_view risk) {
  if (risk == "dangerous" || risk == "high") return Colour::kRed;
  if (risk == "medium") return Colour::kYellow;
  return Colour::kGreen;
}

Colour colour_of_state(std::string_view state) {
  if (state == "approved") return Colour::kGreen;
  if (state == "pending" || state == "changed") return Colour::kYellow;
  return Colour::kRed;
}

std::string json_line(const Json& value) {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string text_of(const Json& object, const char* member, std::string_view fallback) {
  if (!object.is_object()) return std::string(fallback);
  const auto found = object.find(member);
  if (found == object.end()) return std::string(fallback);
  if (found->is_array()) return joined(*found);
  if (!found->is_string() && !found->is_object()) return std::string(fallback);
  try {
    return bytes_from_json(*found, member);
  } catch (const UserError&) {
    return std::string(fallback);
  }
}

std::string joined(const Json& list) {
  std::string out;
  for (const Json& item : list) {
    if (!out.empty()) out += ", ";
    out += item.is_string() ? item.get<std::string>() : json_line(item);
  }
  return out;
}

std::int64_t number_of(const Json& object, const char* member, std::int64_t fallback) {
  if (!object.is_object()) return fallback;
  const auto found = object.find(member);
  return found != object.end() && found->is_number_integer() ? found->get<std::int64_t>()
                                                             : fallback;
}

}  // namespace sharkcage::cli
