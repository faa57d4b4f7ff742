// The client of the command line, against a server that says nothing.
#include "common/rpc.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "common/errors.h"

namespace sharkcage::rpc {
namespace {

// The kernel may refuse descriptors while the server lives: too many of the user's are on their
// way.
TEST(Client, WhatCannotBeSentIsAnErrorAtOnce) {
  auto [ours, server] = make_socketpair(SOCK_STREAM);
  Client client(std::move(ours));
  const std::array<int, 1> no_descriptor = {1 << 20};
  EXPECT_THROW(client.call("exec.open", Json::object(), no_descriptor), UserError);
}

}  // namespace
}  // namespace sharkcage::rpc
