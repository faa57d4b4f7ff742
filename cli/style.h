// What the commands print: colour, columns, times for people. Text that came from elsewhere
// (skills, agents, the log) is made harmless on its way in, so that no command has to remember it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/json.h"

namespace sharkcage::cli {

enum class Colour { kPlain, kBold, kDim, kGreen, kYellow, kRed };

// Whether output to `fd` is coloured: a terminal that is not "dumb", and NO_COLOR unset or empty
// (no-color.org).
bool colours_on(int fd);

// How wide the terminal at `fd` is, in characters; 0: it is none, or does not say.
std::size_t columns_of(int fd);

// A piece of text with its colour; `printable` was applied to it.
class Cell {
 public:
  Cell(std::string_view text, Colour colour = Colour::kPlain);     // NOLINT: text is a cell
  Cell(const char* text) : Cell(std::string_view(text)) {}         // NOLINT
  Cell(const std::string& text) : Cell(std::string_view(text)) {}  // NOLINT

  // Columns that it takes on a terminal; every character counts as one.
  std::size_t width() const;
  std::size_t longest_word() const;
  std::string painted(bool colours) const;
  // In lines of at most `width`, where the words allow it; at least one.
  std::vector<Cell> folded(std::size_t width) const;

 private:
  std::string text_;
  Colour colour_;
};

// Left-aligned columns, two spaces apart, the last one ragged. A heading without text is left out.
class Table {
 public:
  explicit Table(std::vector<std::string> headings = {}) : headings_(std::move(headings)) {}
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }
  // With `indent` spaces before each line. Cells are folded until a line has at most `columns`, if
  // that can be; 0: as many as it needs.
  std::string text(bool colours, std::size_t indent = 0, std::size_t columns = 0) const;

 private:
  std::vector<std::string> headings_;
  std::vector<std::vector<Cell>> rows_;
};

// "850 ms", "12.3 s", "4 min 10 s", "3 h 5 min", "12 days".
std::string human_duration(std::chrono::milliseconds duration);

// "1.5 MiB".
std::string human_size(std::uint64_t bytes);

// "1 record", "12 records", "1234567 records".
std::string counted(std::uint64_t number, std::string_view noun);

// An RFC 3339 time in UTC, if it is one.
std::optional<std::chrono::system_clock::time_point> parse_rfc3339(std::string_view text);

// "14:03:07" for a time of the same local day as `now`, else "2026-11-20 14:03:07", in local time.
// What is no RFC 3339 time is returned as it is.
std::string local_time(std::string_view rfc3339_text, std::chrono::system_clock::time_point now);

// A colour for a risk ("low", "medium", "high", "dangerous") and for a skill's state.
Colour colour_of_risk(std::string_view risk);
Colour colour_of_state(std::string_view state);

// One JSON text in ASCII, so that it cannot command a terminal either.
std::string json_line(const Json& value);

// Member access for answers and records: a string (bytes are decoded), a list joined by ", ", or
// `fallback` when it is absent or of another type.
std::string text_of(const Json& object, const char* member, std::string_view fallback = {});
std::string joined(const Json& list);
std::int64_t number_of(const Json& object, const char* member, std::int64_t fallback = 0);

}  // namespace sharkcage::cli
