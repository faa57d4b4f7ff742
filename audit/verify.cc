#include "audit/verify.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "audit/chain.h"
#include "audit/diagnose.h"
#include "audit/keys.h"
#include "audit/seal.h"
#include "audit/store.h"
#include "common/errors.h"

namespace sharkcage::audit {
namespace {

using namespace std::chrono_literals;

constexpr auto kSealPause = 1ms;

constexpr std::array<std::pair<Fault, std::string_view>, 10> kNames{{
    {Fault::kEdited, "edited"},
    {Fault::kDeleted, "deleted"},
    {Fault::kInserted, "inserted"},
    {Fault::kReordered, "reordered"},
    {Fault::kTruncated, "truncated"},
    {Fault::kRewritten, "rewritten"},
    {Fault::kUnsealedTail, "unsealed-tail"},
    {Fault::kBadSignature, "bad-signature"},
    {Fault::kNoSeal, "no-seal"},
    {Fault::kDamaged, "damaged"},
}};

class Verifier {
 public:
  Verifier(const Places& places, const VerifyOptions& options)
      : places_(places), options_(options) {}

  Verification run() {
    load_key();
    if (!database_is_there()) return std::move(result_);
    try {
      database_ = open_readable(places_.audit_db());
      take_snapshot();
      check_schema();
      check_records();
      check_seal();
      check_kept_head();
    } catch (const SQLite::Exception& error) {
      add(Fault::kDamaged, 0, std::string("the database cannot be read: ") + error.what());
    } catch (const UserError& error) {
      add(Fault::kDamaged, 0, error.what());
    }
    snapshot_.reset();
    return std::move(result_);
  }

 private:
  void add(Fault fault, std::uint64_t seq, std::string what) {
    result_.findings.push_back({fault, seq, std::move(what)});
  }

  void load_key() {
    const std::string path = public_key_file(places_.key_file());
    try {
      key_ = Key::load_public(path);
      // The public key lies where the seal lies: whoever can replace one can replace the other. Who
      // may read the private key sees more.
      if (::access(places_.key_file().c_str(), R_OK) == 0 &&
          Key::load_private(places_.key_file()).raw_public() != key_->raw_public()) {
        add(Fault::kBadSignature, 0, path + " does not belong to the instance's private key");
      }
    } catch (const UserError& error) {
      key_error_ = error.what();
    } catch (const std::system_error& error) {
      key_error_ = error.what();
    }
  }

  SealState seal_now() const {
    if (!key_) return {};
    return read_seal(places_.seal_file(), *key_);
  }

  // A database that is gone though the seal knows of records is a finding, not an empty log.
  bool database_is_there() {
    if (::access(places_.audit_db().c_str(), F_OK) == 0) return true;
    const SealState state = seal_now();
    if (!state.seal || state.seal->head.seq == 0) {
      open_readable(places_.audit_db());  // throws what there is to say
    }
    result_.sealed = state.seal->head;
    result_.sealed_at = state.seal->time;
    add(Fault::kTruncated, 1,
        "the database " + places_.audit_db() + " is gone, but the seal knows " +
            std::to_string(state.seal->head.seq) + " records");
    return false;
  }

  // The seal is read before the rows, so that rows can only be ahead of it. While a supervisor is
  // at work they may be, by the group that it seals once that is on the disk: then both are read
  // again.
  void take_snapshot() {
    const auto give_up = std::chrono::steady_clock::now() + options_.seal_patience;
    while (true) {
      seal_ = seal_now();
      snapshot_ = std::make_unique<Snapshot>(*database_);
      tip_ = tip_of(*database_);
      if (!seal_.seal || tip_.seq <= seal_.seal->head.seq ||
          std::chrono::steady_clock::now() >= give_up) {
        return;
      }
      snapshot_.reset();
      std::this_thread::sleep_for(kSealPause);
    }
  }

  void check_schema() {
    const std::string difference = schema_difference(*database_);
    if (!difference.empty()) add(Fault::kDamaged, 0, "the database was changed: " + difference);
  }

  void check_records() {
    ChainResult chain = check_chain(places_.audit_db(), tip_.seq, options_);
    result_.records = chain.good;
    result_.recovered = std::move(chain.recovered);
    if (chain.bad) {
      add_finding(diagnose(*database_, *chain.bad));
      result_.head = {chain.good, hash_at(*database_, chain.good).value_or(std::string(kNoHash))};
      broken_ = true;
      return;
    }
    if (tip_.seq == 0) check_nothing_below();
    result_.head = tip_;
    check_blocked_index(chain.blocked);
  }

  void add_finding(Finding finding) { result_.findings.push_back(std::move(finding)); }

  // A log whose highest number is below 1 but that is not empty.
  void check_nothing_below() {
    Cursor cursor(*database_, "SELECT count(*) FROM records NOT INDEXED");
    if (cursor.step() && cursor.integer(0) > 0) {
      add(Fault::kInserted, 0, "there are records numbered below 1");
      broken_ = true;
    }
  }

  // An index that leaves records out hides them from `--blocked` without changing one.
  void check_blocked_index(std::uint64_t counted) {
    Cursor cursor(*database_, std::string("SELECT count(*) FROM records INDEXED BY records_blocked "
                                          "WHERE ") +
                                  kBlockedCondition);
    if (cursor.step() && static_cast<std::uint64_t>(cursor.integer(0)) != counted) {
      add(Fault::kDamaged, 0,
          "the index of blocked records has " + std::to_string(cursor.integer(0)) +
              " entries for " + std::to_string(counted) + " records");
    }
  }

  void check_seal() {
    if (!key_) {
      add(Fault::kNoSeal, 0, "the public key cannot be read: " + key_error_);
      return;
    }
    if (!seal_.present) {
      add(Fault::kNoSeal, 0, "the seal " + places_.seal_file() + " is missing or cut");
      return;
    }
    if (seal_.forged || !seal_.seal) {
      add(Fault::kBadSignature, 0,
          "the seal " + places_.seal_file() + " holds what this instance's key did not sign");
    }
    if (!seal_.seal) return;
    const Head& sealed = seal_.seal->head;
    result_.sealed = sealed;
    result_.sealed_at = seal_.seal->time;
    hold_against(sealed, "sealed");
    if (!broken_ && tip_.seq > sealed.seq) {
      add(Fault::kUnsealedTail, sealed.seq + 1,
          "records " + std::to_string(sealed.seq + 1) + " to " + std::to_string(tip_.seq) +
              " are not covered by the seal: the supervisor or the machine stopped uncleanly, "
              "somebody added them, or somebody put an old seal back");
    }
  }

  void check_kept_head() {
    if (options_.head) hold_against(*options_.head, "kept");
  }

  // Up to a break the chain was reported already; a head beyond it can say nothing new.
  void hold_against(const Head& head, const std::string& how) {
    if (tip_.seq < head.seq) {
      add(Fault::kTruncated, tip_.seq + 1,
          "record " + std::to_string(head.seq) + " was " + how + ", but the last one is " +
              std::to_string(tip_.seq));
      return;
    }
    if (broken_ && head.seq > result_.head.seq) return;
    if (hash_at(*database_, head.seq) != head.hash) {
      add(Fault::kRewritten, head.seq,
          "record " + std::to_string(head.seq) + " is not the one that was " + how +
              ": the chain up to it was rewritten");
    }
  }

  const Places& places_;
  const VerifyOptions& options_;
  Verification result_;
  std::optional<Key> key_;
  std::string key_error_;
  SealState seal_;
  std::unique_ptr<SQLite::Database> database_;
  std::unique_ptr<Snapshot> snapshot_;
  Head tip_;
  bool broken_ = false;
};

}  // namespace

std::string_view name_of(Fault fault) {
  const auto* found = std::find_if(kNames.begin(), kNames.end(),
                                   [&](const auto& entry) { return entry.first == fault; });
  return found == kNames.end() ? "damaged" : found->second;
}

Json Verification::to_json() const {
  Json list = Json::array();
  for (const Finding& finding : findings) {
    list.push_back(
        {{"fault", name_of(finding.fault)}, {"seq", finding.seq}, {"what", finding.what}});
  }
  Json tails = Json::array();
  for (const RecoveredTail& tail : recovered) {
    tails.push_back(
        {{"first", tail.first}, {"last", tail.last}, {"recorded_in", tail.recorded_in}});
  }
  return {{"ok", ok()},
          {"records", records},
          {"head", head.text()},
          {"sealed", sealed ? Json(sealed->text()) : Json()},
          {"sealed_at", sealed_at},
          {"findings", list},
          {"recovered", tails}};
}

Verification verify(const Places& places, const VerifyOptions& options) {
  return Verifier(places, options).run();
}

}  // namespace sharkcage::audit
