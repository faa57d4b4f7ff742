// A line that is executed without a shell means what it means to a shell.
#include "supervisor/shell_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <random>

namespace sharkcage {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

std::string output_of(const std::string& line) {
  std::string quoted;
  for (const char c : line) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  std::FILE* pipe = ::popen(("/bin/sh -c '" + quoted + "' 2>&1 < /dev/null").c_str(), "r");
  std::string out;
  std::array<char, 4096> block;
  for (std::size_t got; (got = std::fread(block.data(), 1, block.size(), pipe)) > 0;) {
    out.append(block.data(), got);
  }
  ::pclose(pipe);
  return out;
}

TEST(ShellLine, WordsAreSplitAtSpaces) {
  EXPECT_THAT(words_without_shell("/bin/true"), Optional(ElementsAre("/bin/true")));
  EXPECT_THAT(words_without_shell("  git  log -n1 --format=%H origin/main@2 "),
              Optional(ElementsAre("git", "log", "-n1", "--format=%H", "origin/main@2")));
}

TEST(ShellLine, WhatAShellReadsOtherwiseIsLeftToIt) {
  for (const char* line :
       {"",        " ",         "a;b",   "a&",      "a|b",       "a>b",     "a<b",
        "a $HOME", "a `b`",     "a 'b'", "a \"b\"", "a \\b",     "a *",     "a ?",
        "a [b]",   "a ~",       "a ~/b", "a {b,c}", "a #b",      "a\tb",    "a\nb",
        "(a)",     "!a",        "a^b",   "A=b",     "A=b c",     "./A=b c", "%1",
        "cd /",    "exit 3",    "true",  "echo a",  ". a",       ": a",     "if",
        "while",   "test -f a", "[ a ]", "kill 1",  "r\xc3\xa4", "a\rb",    "exec /bin/true"}) {
    EXPECT_EQ(words_without_shell(line), std::nullopt) << line;
  }
}

TEST(ShellLine, AShellMakesTheSameWordsOfIt) {
  const std::string some = "abcXYZ019_./,:@+=-% ~$*?[]{}()<>|&;#!^'\"\\`";
  std::mt19937 random(7);
  int taken = 0;
  for (int round = 0; taken < 40 && round < 4000; ++round) {
    std::string line = "/usr/bin/printf %s,";
    for (int i = 0; i < 12; ++i) line += some[random() % (round % 2 == 0 ? 24 : some.size())];
    const auto words = words_without_shell(line);
    if (!words) continue;
    ++taken;
    std::string expected;
    for (std::size_t i = 2; i < words->size(); ++i) expected += (*words)[i] + ",";
    if (words->size() == 2) expected = (*words)[1].substr(2);
    // printf takes what follows "%s," in the first word for its format: only whole words are told.
    if (line[19] != ' ') continue;
    EXPECT_EQ(output_of(line), expected.empty() ? "," : expected) << line;
  }
  EXPECT_EQ(taken, 40);
}

}  // namespace
}  // namespace sharkcage
