#include "cli/style.h"

#include <gtest/gtest.h>
#include <pty.h>
#include <stdlib.h>

#include "common/errors.h"
#include "common/fd.h"

namespace sharkcage::cli {
namespace {

using namespace std::chrono_literals;

TEST(Style, TextFromElsewhereCannotCommandTheTerminal) {
  const Cell cell("weather\x1b]0;owned\x07 \xe2\x80\xae evil", Colour::kRed);
  EXPECT_EQ(cell.painted(false).find('\x1b'), std::string::npos);
  EXPECT_EQ(cell.painted(false).find('\x07'), std::string::npos);
  EXPECT_EQ(cell.painted(false).find("\xe2\x80\xae"), std::string::npos);

  Table table({"NAME"});
  table.add({"two\nlines"});
  EXPECT_EQ(table.text(false), "NAME\ntwo\\nlines\n");

  const std::string json = json_line({{"text", "\x1b[2J\xc2\x9b\xe2\x80\xae\x7f"}});
  for (const char c : json) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << json;
}

TEST(Style, AlignsColumnsByCharactersNotBytes) {
  Table table({"NAME", "STATE"});
  table.add({"grün", {"approved", Colour::kGreen}});
  table.add({"weather", "pending"});
  EXPECT_EQ(table.text(false), "NAME     STATE\ngrün     approved\nweather  pending\n");
  EXPECT_EQ(table.text(false, 2), "  NAME     STATE\n  grün     approved\n  weather  pending\n");
}

TEST(Style, FoldsWideColumnsWhereTheTerminalIsNarrow) {
  Table table({"RISK", "ALLOWS IT TO", "REASON"});
  table.add({{"high", Colour::kRed}, "run programs: curl, grün", "speak HTTP with the service"});
  table.add({"low", "x", "y"});
  EXPECT_EQ(table.text(false, 2, 40),
            "  RISK  ALLOWS IT TO     REASON\n"
            "  high  run programs:    speak HTTP with\n"
            "        curl, grün       the service\n"
            "  low   x                y\n");
  EXPECT_EQ(table.text(false, 0, 100), table.text(false)) << "there is room";
  // Words stay whole, whatever the terminal.
  const std::string narrowest = table.text(false, 0, 10);
  EXPECT_EQ(table.text(false, 0, 1), narrowest);
  for (const char* word : {"programs:", "ALLOWS", "service", "grün"}) {
    EXPECT_NE(narrowest.find(word), std::string::npos) << narrowest;
  }
  EXPECT_NE(table.text(true, 0, 40).find("\x1b[31mhigh\x1b[0m"), std::string::npos);
  EXPECT_EQ(Table().text(false, 0, 10), "");
}

TEST(Style, ColoursDoNotShiftColumns) {
  Table table;
  table.add({{"a", Colour::kRed}, "b"});
  EXPECT_EQ(table.text(true), "\x1b[31ma\x1b[0m  b\n");
}

TEST(Style, ColoursOnlyATerminalAndNotAgainstNoColor) {
  int master = -1;
  int slave = -1;
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  const UniqueFd master_owner(master);
  const UniqueFd slave_owner(slave);
  auto [read_end, write_end] = make_pipe();

  ::setenv("TERM", "xterm", 1);
  ::unsetenv("NO_COLOR");
  EXPECT_TRUE(colours_on(slave));
  EXPECT_FALSE(colours_on(write_end.get()));
  ::setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(colours_on(slave)) << "an empty NO_COLOR is none";
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(colours_on(slave));
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(colours_on(slave));
}

TEST(Style, HumanDurations) {
  EXPECT_EQ(human_duration(0ms), "0 ms");
  EXPECT_EQ(human_duration(850ms), "850 ms");
  EXPECT_EQ(human_duration(12'345ms), "12.3 s");
  EXPECT_EQ(human_duration(59'999ms), "59.9 s");
  EXPECT_EQ(human_duration(250s), "4 min 10 s");
  EXPECT_EQ(human_duration(3h + 5min), "3 h 5 min");
  EXPECT_EQ(human_duration(24h * 12), "12 days");
}

TEST(Style, HumanSizesAndCounts) {
  EXPECT_EQ(human_size(512), "512 B");
  EXPECT_EQ(human_size(1536), "1.5 KiB");
  EXPECT_EQ(human_size(3ull << 40), "3.0 TiB");
  EXPECT_EQ(counted(1, "record"), "1 record");
  EXPECT_EQ(counted(0, "record"), "0 records");
}

TEST(Style, LocalTimesNameTheDayUnlessItIsToday) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  const auto now = parse_rfc3339("2026-11-21T15:00:00.000000Z");
  ASSERT_TRUE(now);
  EXPECT_EQ(local_time("2026-11-21T14:03:07.123456Z", *now), "14:03:07");
  EXPECT_EQ(local_time("2026-11-20T14:03:07.123456Z", *now), "2026-11-20 14:03:07");
  EXPECT_EQ(local_time("yesterday", *now), "yesterday");
  EXPECT_FALSE(parse_rfc3339("2026-11-21"));
}

TEST(Style, MembersOfAnotherTypeReadAsAbsent) {
  const Json object = {{"name", 7}, {"list", {"a", "b"}}, {"raw", {{"b64", "/w=="}}}, {"pid", "x"}};
  EXPECT_EQ(text_of(object, "name", "none"), "none");
  EXPECT_EQ(text_of(object, "absent", "none"), "none");
  EXPECT_EQ(text_of(object, "list"), "a, b");
  EXPECT_EQ(text_of(object, "raw"), "\xff");
  EXPECT_EQ(text_of(Json(3), "name", "none"), "none");
  EXPECT_EQ(number_of(object, "pid", 5), 5);
}

}  // namespace
}  // namespace sharkcage::cli
