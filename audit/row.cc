#include "audit/row.h"

#include <openssl/evp.h>

#include <charconv>

#include "audit/log.h"
#include "common/bytes.h"

namespace sharkcage::audit {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

bool plain(char c) {
  return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
}

void append_escape(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      break;
    case '\\':
      out += "\\\\";
      break;
    case '\b':
      out += "\\b";
      break;
    case '\f':
      out += "\\f";
      break;
    case '\n':
      out += "\\n";
      break;
    case '\r':
      out += "\\r";
      break;
    case '\t':
      out += "\\t";
      break;
    default:
      out += "\\u00";
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[c & 15];
  }
}

// Copies runs of ordinary characters at once: verification spends its time here.
void append_text(std::string& out, std::string_view text) {
  std::size_t from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (plain(text[i])) continue;
    out.append(text.data() + from, i - from);
    append_escape(out, text[i]);
    from = i + 1;
  }
  out.append(text.data() + from, text.size() - from);
}

void append_number(std::string& out, std::int64_t number) {
  char buffer[24];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number);
  out.append(buffer, end.ptr);
}

}  // namespace

void append_canonical(std::string& out, const Row& row) {
  const auto field = [&out](std::string_view name, std::string_view value) {
    out.append(name);
    append_text(out, value);
  };
  field("{\"agent\":\"", row.agent);
  field("\",\"call\":\"", row.call);
  field("\",\"decision\":\"", row.decision);
  field("\",\"kind\":\"", row.kind);
  out.append("\",\"payload\":");
  out.append(row.payload);
  field(",\"policy\":\"", row.policy);
  field("\",\"prev_hash\":\"", row.prev_hash);
  field("\",\"reason\":\"", row.reason);
  out.append("\",\"seq\":");
  append_number(out, row.seq);
  field(",\"session\":\"", row.session);
  field("\",\"skill\":\"", row.skill);
  field("\",\"time\":\"", row.time);
  field("\",\"tool\":\"", row.tool);
  out.append("\",\"version\":");
  append_number(out, row.version);
  out += '}';
}

// The algorithm is fetched once: EVP_sha256() in each EVP_DigestInit_ex looks it up anew, which
// costs more than the hash of a record (OpenSSL 3, crypto(7), "Performance").
Hasher::Hasher()
    : context_(EVP_MD_CTX_new()), digest_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), text_{} {
  if (context_ == nullptr || digest_ == nullptr) throw LogError("OpenSSL cannot start SHA-256");
}

Hasher::~Hasher() {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
  EVP_MD_free(static_cast<EVP_MD*>(digest_));
}

std::string_view Hasher::hex(std::string_view data) {
  auto* context = static_cast<EVP_MD_CTX*>(context_);
  unsigned char raw[32];
  if (EVP_DigestInit_ex2(context, static_cast<EVP_MD*>(digest_), nullptr) != 1 ||
      EVP_DigestUpdate(context, data.data(), data.size()) != 1 ||
      EVP_DigestFinal_ex(context, raw, nullptr) != 1) {
    throw LogError("OpenSSL cannot compute SHA-256");
  }
  for (std::size_t i = 0; i < sizeof raw; ++i) {
    text_[2 * i] = kDigits[raw[i] >> 4];
    text_[2 * i + 1] = kDigits[raw[i] & 15];
  }
  return {text_, sizeof text_};
}

Record to_record(const Row& row) {
  Record record;
  record.seq = static_cast<std::uint64_t>(row.seq);
  record.version = static_cast<int>(row.version);
  record.time = row.time;
  record.kind = row.kind;
  record.session = row.session;
  record.agent = row.agent;
  record.skill = row.skill;
  record.tool = row.tool;
  record.call = row.call;
  record.decision = row.decision;
  record.reason = row.reason;
  record.policy = row.policy;
  record.payload = Json::parse(row.payload, nullptr, false);
  if (!record.payload.is_object()) {
    record.payload = Json{{"unreadable", bytes_to_json(row.payload)}};
  }
  record.prev_hash = row.prev_hash;
  record.hash = row.hash;
  return record;
}

bool payload_refuses(std::string_view payload) {
  if (payload.find("\"refused\":[") == std::string_view::npos) return false;
  const Json value = Json::parse(payload, nullptr, false);
  if (!value.is_object()) return false;
  const auto refused = value.find("refused");
  return refused != value.end() && refused->is_array() && !refused->empty();
}

}  // namespace sharkcage::audit
