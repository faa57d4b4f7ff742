#include "supervisor/sessions.h"

#include <gtest/gtest.h>

#include "common/errors.h"

namespace sharkcage {
namespace {

Session session(const std::string& key, uid_t owner) {
  Session out;
  out.key = key;
  out.owner = owner;
  return out;
}

TEST(Sessions, AnotherUserNeitherSeesNorReplacesNorClosesThem) {
  Sessions sessions;
  sessions.open(session("main", 1000));
  EXPECT_EQ(sessions.find(1001, "main"), nullptr);
  EXPECT_THROW(sessions.open(session("main", 1001)), UserError);
  sessions.close(1001, "main");
  EXPECT_NE(sessions.find(1000, "main"), nullptr);
  sessions.close(1000, "main");
  EXPECT_EQ(sessions.find(1000, "main"), nullptr);
}

TEST(Sessions, AreBounded) {
  Sessions sessions;
  for (std::size_t i = 0; i <= Sessions::kMaxSessions; ++i) {
    sessions.open(session(std::to_string(i), 1000));
  }
  EXPECT_EQ(sessions.size(), Sessions::kMaxSessions);
  EXPECT_EQ(sessions.find(1000, "0"), nullptr);
}

TEST(Sessions, RememberTheLastDocumentOfARun) {
  Sessions sessions;
  sessions.note_read("s", "r1", "weather");
  sessions.note_read("s", "r1", "notes");
  EXPECT_EQ(sessions.last_read("s", "r1"), "notes");
  EXPECT_EQ(sessions.last_read("s", "r2"), "");
  EXPECT_EQ(sessions.last_read("other", "r1"), "");
  for (std::size_t i = 0; i <= Sessions::kMaxRuns; ++i) {
    sessions.note_read("s", "run" + std::to_string(i), "x");
  }
  EXPECT_EQ(sessions.last_read("s", "r1"), "");
}

}  // namespace
}  // namespace sharkcage
