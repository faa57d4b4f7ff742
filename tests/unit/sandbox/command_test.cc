// A command in a sandbox behaves as it does outside: output, status, signals, terminal, limits.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "tests/unit/sandbox/sandbox_fixture.h"

namespace sharkcage::sandbox::testing {
namespace {

using ::testing::HasSubstr;

class Command : public Sandbox {};
INSTANTIATE_TEST_SUITE_P(Install, Command, ::testing::ValuesIn(installs()), name_of);

TEST_P(Command, RunsTrue) {
  const Outcome outcome = run(spec({"/bin/true"}));
  EXPECT_EQ(outcome.exit, 0) << outcome.text();
  EXPECT_TRUE(outcome.ready && outcome.started);
}

TEST_P(Command, PassesStdioOn) {
  const Outcome outcome = run(spec({"bash", "-c", "cat; echo oops >&2"}), "hello\n");
  EXPECT_EQ(outcome.out, "hello\n") << outcome.text();
  EXPECT_EQ(outcome.err, "oops\n");
}

TEST_P(Command, ExitsWithItsOwnStatus) {
  EXPECT_EQ(shell("exit 42").exit, 42);
  EXPECT_EQ(shell("kill -SEGV $$").signal, SIGSEGV);
}

}  // namespace
}  // namespace sharkcage::sandbox::testing
