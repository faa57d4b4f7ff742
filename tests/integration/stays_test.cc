// What a command of a session leaves running, and whoever called that command.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/host.h"

namespace sharkcage::testing {
namespace {

class Stays : public ::testing::Test {
 protected:
  Stays() { instance_.start(); }

  std::string ask(const std::string& session) const {
    const std::string script =
        "import socket; print(socket.create_connection(('127.0.0.1', 8123)).recv(100).decode())";
    const Output output =
        instance_.sc({"run", "--session", session, "--", "python3", "-c", script});
    return output.out + output.err;
  }

  Instance instance_;
};

// What stays has the streams of the call that started it; whoever made that call gets its end of
// file, and what stays neither waits nor breaks when it writes.
TEST_F(Stays, HoldsNobodyUp) {
  const std::string script =
      "python3 -c \"import socket, os, sys\n"
      "listening = socket.create_server(('127.0.0.1', 8123))\n"
      "print('serving', flush=True)\n"
      "if os.fork(): sys.exit(0)\n"
      "while True:\n"
      "  with listening.accept()[0] as peer:\n"
      "    for stream in (1, 2): os.write(stream, b'x' * 100000)\n"
      "    peer.send(b'answered')\"";
  const std::string log = instance_.root() + "/log";
  for (const std::string& to : {std::string("| cat"), "> " + log + " 2>&1; cat " + log}) {
    const std::string session = to.substr(0, 1);
    // Ends when the shell's last writer does: `cat` reads until its end of file.
    const Output started = instance_.shell(
        "sc run --session '" + session + "' -- bash -c \"$SCRIPT\" " + to, {{"SCRIPT", script}});
    EXPECT_EQ(started.out, "serving\n") << started.err;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(session), "answered\n") << to;
  }
}

// A host's client, sc-exec, and a host that passes pipes itself.
TEST_F(Stays, HoldsNoHostUp) {
  Host host(instance_);
  const std::string command = "sleep 100000 & echo started";
  Streams streams;
  host.open(host.ticket_for(command), streams);
  streams.let_go();
  EXPECT_EQ(streams.read_out(), "started\n");
  EXPECT_EQ(
      instance_.spawn("sc-exec", {}, {{"SHARKCAGE_TICKET", host.ticket_for(command)}}).finish().out,
      "started\n");
  EXPECT_EQ(instance_.status().at("calls").size(), 2u);
}

}  // namespace
}  // namespace sharkcage::testing
