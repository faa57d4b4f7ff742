// A throwaway instance for tests of the audit log.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "audit/log.h"
#include "audit/query.h"
#include "audit/verify.h"
#include "common/places.h"

namespace sharkcage::audit {

class Instance {
 public:
  Instance() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sc-audit-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    use(pattern);
  }
  explicit Instance(const std::string& directory) { use(directory); }
  ~Instance() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  const Places& places() const { return places_; }
  const std::string& root() const { return root_; }

  // A log with records 1 … `count`, closed.
  void fill(int count) {
    Log log(places_);
    for (int i = 1; i < count; ++i) log.append(record(i), nullptr);
    if (count > 0) log.append_and_wait(record(count));
  }

  static Record record(int number) {
    Record record;
    record.kind = "verdict";
    record.session = "main";
    record.agent = "agent-1";
    record.skill = number % 3 == 0 ? "weather" : "agent";
    record.tool = number % 2 == 0 ? "exec" : "read";
    record.call = "call-" + std::to_string(number);
    record.decision = number % 10 == 0 ? "block" : "allow";
    record.reason = "because";
    record.policy = std::string(64, 'a');
    record.payload = {{"command", "ls"}, {"n", number}};
    return record;
  }

  // What a forger with write access to the files does.
  void tamper(const std::string& sql) const {
    SQLite::Database database(places_.audit_db(), SQLite::OPEN_READWRITE);
    database.exec(sql);
  }

  // Nobody is at work.
  Verification verified() const {
    VerifyOptions options;
    options.seal_patience = {};
    return verify(places_, options);
  }

  std::vector<Record> read(const Query& query = {}) const {
    std::vector<Record> records;
    Reader(places_.audit_db()).read(query, [&](const Record& record) {
      records.push_back(record);
      return true;
    });
    return records;
  }

 private:
  void use(const std::string& directory) {
    root_ = directory;
    places_.install = Places::Install::kHome;
    places_.config_dir = root_ + "/etc";
    places_.state_dir = root_ + "/var";
    places_.run_dir = root_ + "/run";
    create_places(places_);
  }

  std::string root_;
  Places places_;
};

}  // namespace sharkcage::audit
