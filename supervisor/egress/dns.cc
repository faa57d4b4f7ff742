#include "supervisor/egress/dns.h"

#include <algorithm>

#include "common/text.h"

namespace sharkcage::egress::dns {
namespace {

constexpr std::size_t kHeader = 12;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxName = 255;  // with every length byte (RFC 1035, section 2.3.4)
constexpr std::size_t kMaxReason = 128;

// The header's flags.
constexpr unsigned kResponse = 0x8000;
constexpr unsigned kOpcode = 0x7800;
constexpr unsigned kRecursionDesired = 0x0100;
constexpr unsigned kRecursionAvailable = 0x0080;
constexpr unsigned kCheckingDisabled = 0x0010;

constexpr std::uint16_t kTypeOpt = 41;
constexpr std::uint16_t kFirstMetaType = 249;  // TKEY, TSIG, IXFR, AXFR, MAILB, MAILA (RFC 6895,
constexpr std::uint16_t kLastMetaType = 254;   // section 3.1); 255 asks for all records

constexpr unsigned kDnssecOk = 0x8000;
constexpr std::uint16_t kExtendedError = 15;  // an option (RFC 8914)
constexpr std::uint16_t kProhibited = 18;     // a code of it

// Reads a packet from its beginning. What would go beyond its end makes the reader fail, from where
// on it reads zeros.
class Reader {
 public:
  explicit Reader(Bytes bytes) : bytes_(bytes) {}

  unsigned byte() {
    const Bytes one = take(1);
    return one.empty() ? 0 : one[0];
  }
  std::uint16_t word() {
    const unsigned high = byte();
    return static_cast<std::uint16_t>((high << 8) | byte());
  }
  Bytes take(std::size_t size) {
    if (failed_ || size > bytes_.size() - at_) {
      failed_ = true;
      return {};
    }
    at_ += size;
    return bytes_.subspan(at_ - size, size);
  }

  std::size_t at() const { return at_; }
  bool failed() const { return failed_; }
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void put_word(std::string& out, unsigned word) {
  out += static_cast<char>((word >> 8) & 0xFF);
  out += static_cast<char>(word & 0xFF);
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// The underscore is in use in names of hosts and services, whatever RFC 952 says.
bool is_host_character(char c) {
  c = lower(c);
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

// A dot that is no separator must not look like one, nor a backslash like an escape.
std::string printable_label(std::string_view label) {
  std::string text;
  while (!label.empty()) {
    const std::size_t plain = std::min(label.find_first_of(".\\"), label.size());
    text += printable(label.substr(0, plain));
    label.remove_prefix(plain);
    if (label.empty()) break;
    text += label.front() == '.' ? "\\x2e" : "\\x5c";
    label.remove_prefix(1);
  }
  return text;
}

// No top-level domain is a number: such a text is an address, which nobody has to ask for.
bool ends_in_number(std::string_view host) {
  const std::string_view last = host.substr(host.rfind('.') + 1);
  return last.find_first_not_of("0123456789") == std::string_view::npos;
}

// False for what is no name, compressed ones included: in a question there is nothing yet that a
// pointer could point to.
bool read_name(Reader& reader, Question& question) {
  const std::size_t start = reader.at();
  bool host = true;
  for (;;) {
    const unsigned length = reader.byte();
    if (reader.failed() || length > kMaxLabel) return false;
    if (length == 0) break;
    const std::string_view label = text_of(reader.take(length));
    if (reader.failed() || reader.at() - start >= kMaxName) return false;
    if (!question.name.empty()) {
      question.name += '.';
      question.host += '.';
    }
    question.name += printable_label(label);
    std::transform(label.begin(), label.end(), std::back_inserter(question.host), lower);
    host = host && std::all_of(label.begin(), label.end(), is_host_character);
  }
  if (!host || ends_in_number(question.host)) question.host.clear();
  if (question.name.empty()) question.name = ".";
  return true;
}

bool is_meta(std::uint16_t type) {
  return type == kTypeOpt || (type >= kFirstMetaType && type <= kLastMetaType);
}

bool read_question(Reader& reader, Bytes packet, Question& question) {
  const std::size_t start = reader.at();
  if (!read_name(reader, question)) return false;
  question.type = reader.word();
  question.class_of_data = reader.word();
  if (reader.failed()) return false;
  question.wire = text_of(packet.subspan(start, reader.at() - start));
  if (question.class_of_data != kClassIn || is_meta(question.type)) question.host.clear();
  return true;
}

bool are_options(Bytes bytes) {
  Reader reader(bytes);
  while (!reader.at_end() && !reader.failed()) {
    reader.word();
    reader.take(reader.word());
  }
  return !reader.failed();
}

// The OPT record. The only one that a question may bring: a signature could not be checked here.
Rcode read_opt(Reader& reader, Question& question) {
  const unsigned name = reader.byte();
  const std::uint16_t type = reader.word();
  reader.word();  // how much the client takes in a datagram: more than is ever sent
  reader.byte();  // the upper half of a response's code
  const unsigned version = reader.byte();
  const unsigned flags = reader.word();
  const Bytes options = reader.take(reader.word());
  if (reader.failed() || name != 0 || type != kTypeOpt) return Rcode::kFormErr;
  question.edns = true;
  question.dnssec = (flags & kDnssecOk) != 0;
  if (version != 0) return Rcode::kBadVers;
  return are_options(options) ? Rcode::kNoError : Rcode::kFormErr;
}

Rcode read_body(Reader& reader, Bytes packet, Question& question) {
  const unsigned questions = reader.word();
  const unsigned answers = reader.word();
  const unsigned authorities = reader.word();
  const unsigned additional = reader.word();
  if ((question.flags & kOpcode) != 0) return Rcode::kNotImp;
  if (packet.size() > kMaxQuestion) return Rcode::kFormErr;
  // RFC 9619: exactly one.
  if (questions != 1 || answers != 0 || authorities != 0 || additional > 1) return Rcode::kFormErr;
  if (!read_question(reader, packet, question)) {
    question.name.clear();
    question.host.clear();
    return Rcode::kFormErr;
  }
  const Rcode opt = additional == 1 ? read_opt(reader, question) : Rcode::kNoError;
  return reader.at_end() ? opt : Rcode::kFormErr;
}

void put_address(std::string& out, std::uint16_t type, const Address& address) {
  put_word(out, 0xC000 | kHeader);  // the question's name
  put_word(out, type);
  put_word(out, kClassIn);
  put_word(out, kTimeToLive >> 16);
  put_word(out, kTimeToLive & 0xFFFF);
  put_word(out, static_cast<unsigned>(address.bytes().size()));
  out += text_of(address.bytes());
}

// At most `kMaxReason` bytes, whole characters of UTF-8.
std::string reason_text(std::string_view prohibited) {
  std::string text = printable(prohibited);
  if (text.size() <= kMaxReason) return text;
  std::size_t end = kMaxReason;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  return text;
}

void put_opt(std::string& out, const Question& question, Rcode code, std::string_view prohibited) {
  std::string options;
  if (!prohibited.empty()) {
    const std::string text = reason_text(prohibited);
    put_word(options, kExtendedError);
    put_word(options, static_cast<unsigned>(2 + text.size()));
    put_word(options, kProhibited);
    options += text;
  }
  out += '\0';  // the root
  put_word(out, kTypeOpt);
  put_word(out, kMaxQuestion);
  out += static_cast<char>(static_cast<unsigned>(code) >> 4);
  out += '\0';  // version
  put_word(out, question.dnssec ? kDnssecOk : 0);
  put_word(out, static_cast<unsigned>(options.size()));
  out += options;
}

}  // namespace

std::optional<Question> parse(Bytes packet) {
  if (packet.size() < kHeader) return std::nullopt;
  Reader reader(packet);
  Question question;
  question.id = reader.word();
  question.flags = reader.word();
  if ((question.flags & kResponse) != 0) return std::nullopt;
  question.problem = read_body(reader, packet, question);
  return question;
}

Rcode refusal_for(const Question& question) {
  return question.edns ? Rcode::kRefused : Rcode::kNxDomain;
}

std::string respond(const Question& question, Rcode code, const std::optional<Address>& address,
                    std::string_view prohibited) {
  const std::uint16_t type = question.type;
  const bool answer = code == Rcode::kNoError && address && !question.wire.empty() &&
                      question.class_of_data == kClassIn &&
                      type == (address->is_v6() ? kTypeAaaa : kTypeA);
  if (code == Rcode::kRefused && prohibited.empty()) prohibited = "not allowed by Sharkcage";

  std::string out;
  put_word(out, question.id);
  put_word(out, kResponse | kRecursionAvailable |
                    (question.flags & (kOpcode | kRecursionDesired | kCheckingDisabled)) |
                    (static_cast<unsigned>(code) & 0xF));
  put_word(out, question.wire.empty() ? 0 : 1);
  put_word(out, answer ? 1 : 0);
  put_word(out, 0);
  put_word(out, question.edns ? 1 : 0);
  out += question.wire;
  if (answer) put_address(out, type, *address);
  if (question.edns) put_opt(out, question, code, prohibited);
  return out;
}

}  // namespace sharkcage::egress::dns
