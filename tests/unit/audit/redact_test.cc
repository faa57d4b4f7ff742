#include "audit/redact.h"

#include <gtest/gtest.h>

#include <chrono>

#include "common/fd.h"
#include "tests/unit/audit/instance.h"

namespace sharkcage::audit {
namespace {

TEST(AuditRedact, MasksSecrets) {
  const std::string canary = "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ryc4n4ry";
  const std::string samples[] = {
      "curl -H \"Authorization: Bearer " + canary + "\" https://x",
      "Authorization: Basic " + canary + " " + canary,
      "authorization=" + canary,
      "bearer " + canary,
      "Cookie: session=" + canary + "; more=" + canary,
      "key sk-" + canary,
      "ghp_" + canary,
      "github_pat_" + canary,
      "eyJ" + canary + "." + canary + "." + canary,
      "password=" + canary,
      "DB_PASSWORD: '" + canary + "'",
      R"({"password":")" + canary + R"("})",
      R"({\"api_key\": \")" + canary + R"(\"})",
      R"({"token":"a\")" + canary + R"("})",
      "mysql --password " + canary,
      "x --token=" + canary,
      "https://user:" + canary + "@host/path",
      "https://host/?access_token=" + canary + "&x=1",
      "-----BEGIN OPENSSH PRIVATE KEY-----\n" + canary + "\n-----END OPENSSH PRIVATE KEY-----",
      "-----BEGIN RSA PRIVATE KEY-----\n" + canary,
  };
  for (const std::string& sample : samples) {
    const std::string masked = redact_secrets(sample);
    EXPECT_EQ(masked.find("c4n4ry"), std::string::npos) << sample << "\n" << masked;
    EXPECT_NE(masked.find(kRedacted), std::string::npos) << sample;
  }
  EXPECT_EQ(redact_secrets("id AKIAIOSFODNN7EXAMPLE end"), "id [redacted] end");
}

TEST(AuditRedact, LeavesTheRestAlone) {
  for (const char* text :
       {"", "ls -la /tmp", "https://example.com:8080/a?b=c@d", "the token bucket is empty",
        "git checkout risk-free", "sk-1", "password", "tokens=5", "-----BEGIN CERTIFICATE-----",
        "user@host:path", "bearer of news"}) {
    EXPECT_EQ(redact_secrets(text), text);
  }
  EXPECT_EQ(redact_secrets("a token=abc&b=2 c"), "a token=[redacted]&b=2 c");
}

TEST(AuditRedact, IsLinearInHostileText) {
  const auto start = std::chrono::steady_clock::now();
  for (const char* piece :
       {"://", "-----BEGIN ", "password=", "\\\"", "a", "Authorization:", "token ", "--token ",
        "eyJ.", "-----BEGIN PRIVATE KEY----- -----END "}) {
    std::string text;
    while (text.size() < (1u << 20)) text += piece;
    redact_secrets(text);
  }
  // Quadratic work on a megabyte takes minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(AuditRedact, SecretsNeverReachTheFiles) {
  const Instance instance;
  {
    Log log(instance.places());
    Record record;
    record.reason = "password=hunter2hunter2";
    record.payload = {{"command", "curl -u x --token hunter2hunter2"},
                      {"nested", {{{"Authorization", "hunter2hunter2"}}}},
                      {"env", {{"MY_API_KEY", "hunter2hunter2"}}},
                      {"password=hunter2hunter2", 1}};
    log.append_and_wait(record);
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(instance.root())) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(read_file(entry.path(), 64u << 20).find("hunter2"), std::string::npos)
        << entry.path();
  }
}

TEST(AuditRedact, HookThatThrowsLetsNothingThrough) {
  const Instance instance;
  {
    LogOptions options;
    options.redact = [](std::string_view) -> std::string { throw std::runtime_error("broken"); };
    Log log(instance.places(), options);
    log.append_and_wait(Instance::record(1));
  }
  EXPECT_EQ(instance.read().at(0).reason, kRedacted);
}

}  // namespace
}  // namespace sharkcage::audit
