// Limits: what a manifest may lower, what the machine has, and what a person reads about them.
#include "common/limits.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "common/errors.h"
#include "common/machine.h"

namespace sharkcage {
namespace {

using namespace std::chrono_literals;

TEST(LimitsTest, AreAtMostWhatTheMachineHas) {
  Machine machine;
  machine.memory = 2ull << 30;
  machine.processors = 2;
  machine.pids = 100;
  const Limits held = limits_within(Limits{}, machine);
  EXPECT_EQ(held.memory, 2ull << 30);
  EXPECT_EQ(held.cpus, 2);
  EXPECT_EQ(held.pids, 100u);
  EXPECT_EQ(held.wall, Limits{}.wall);
  machine.memory = machine.pids = UINT64_MAX;
  machine.processors = 64;
  EXPECT_EQ(limits_within(Limits{}, machine).to_json(), Limits{}.to_json());
}

TEST(LimitsTest, TheMachineIsThisOne) {
  const Machine machine = this_machine();
  EXPECT_GE(machine.processors, 1u);
  EXPECT_LE(static_cast<long>(machine.processors), ::sysconf(_SC_NPROCESSORS_CONF));
  EXPECT_GT(machine.memory, 64u << 20);
  EXPECT_LE(machine.memory,
            static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE)));
  EXPECT_GT(machine.pids, 16u);
  EXPECT_LE(machine.pids, 1u << 22);
}

TEST(LimitsTest, OfZeroAreRefused) {
  for (const char* text : {R"({"memory": "0M"})", R"({"output": 0})", R"({"wall": "0s"})",
                           R"({"tmp": 0})", R"({"file_size": 0})", R"({"cpus": 0})"}) {
    EXPECT_THROW(limits_from_json(Json::parse(text), {}, "limits"), UserError) << text;
  }
}

TEST(LimitsTest, AreToldAsTheyHold) {
  Limits configured;
  configured.memory = 1ull << 30;
  configured.cpus = 2;
  const auto words = [&](const char* asked) {
    return limits_in_words(Json::parse(asked), configured);
  };
  EXPECT_EQ(words(R"({"memory": "512M", "cpus": 1, "pids": 64, "wall": "60s"})"),
            "512 MiB of memory, 1 processor, 64 processes, 1 minute");
  EXPECT_EQ(words(R"({"memory": "4G", "cpus": 8})"),
            "1 GiB of memory (it asks for 4 GiB), 2 processors (it asks for 8 processors)");
  EXPECT_EQ(words("{}"), "");
  EXPECT_EQ(limits_in_words(Json(), configured), "");
}

TEST(LimitsTest, HaveWords) {
  EXPECT_EQ(size_in_words(1), "1 byte");
  EXPECT_EQ(size_in_words(1536), "1.5 KiB");
  EXPECT_EQ(size_in_words(8ull << 30), "8 GiB");
  EXPECT_EQ(duration_in_words(30min), "30 minutes");
  EXPECT_EQ(duration_in_words(1h), "1 hour");
  EXPECT_EQ(duration_in_words(1500ms), "1500 milliseconds");
  EXPECT_EQ(processors_in_words(1.5), "1.5 processors");
}

}  // namespace
}  // namespace sharkcage
