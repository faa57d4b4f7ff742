#include "supervisor/egress/http.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "common/bytes.h"
#include "common/text.h"

namespace sharkcage::egress::http {
namespace {

constexpr std::size_t kMaxFields = 200;
constexpr std::size_t kMaxQuoted = 200;  // of a refused request's target in the answer

struct Field {
  std::string name;  // lower case
  std::string_view line;
  std::string_view value;
};

// What is wrong, and the status that says so.
struct Malformed {
  int error;
  std::string problem;
};

bool is_letter(unsigned char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// RFC 9110, section 5.6.2.
bool is_token(std::string_view text) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return is_letter(static_cast<unsigned char>(c)) || (c >= '0' && c <= '9') ||
           kOthers.find(c) != std::string_view::npos;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const std::size_t start = text.find_first_not_of(kBlank);
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(kBlank) - start + 1);
}

std::optional<unsigned> port_of(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535) {
    return std::nullopt;
  }
  return port;
}

// "host", "host:port", "[v6]:port" (RFC 3986, section 3.2) without a user.
void take_authority(std::string_view text, std::optional<unsigned> port, Head& head) {
  const std::string quoted = printable(text.substr(0, kMaxQuoted));
  if (text.find('@') != std::string_view::npos) {
    throw Malformed{400, "a user name in the target"};
  }
  std::size_t end = text.rfind(':');
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) throw Malformed{400, "no host: " + quoted};
    head.host = std::string(text.substr(1, close - 1));
    end = close + 1 == text.size() ? std::string_view::npos : close + 1;
  } else {
    head.host = std::string(text.substr(0, end));
    if (head.host.find(':') != std::string::npos) throw Malformed{400, "no host: " + quoted};
  }
  if (end != std::string_view::npos) {
    if (text[end] != ':') throw Malformed{400, "no host: " + quoted};
    const std::string_view digits = text.substr(end + 1);
    // "http://host:/" is the default port (RFC 3986, section 6.2.3).
    if (!digits.empty() || !port) {
      port = port_of(digits);
      if (!port) throw Malformed{400, "no port: " + quoted};
    }
  }
  if (head.host.empty()) throw Malformed{400, "no host: " + quoted};
  if (!port) throw Malformed{400, "no port: " + quoted};
  head.port = *port;
}

// RFC 7617. More than a token would be a secret of the client's that is none of ours.
void take_credentials(std::string_view value, Head& head) {
  if (head.credentials) throw Malformed{400, "credentials twice"};
  head.credentials = true;
  const std::size_t space = value.find(' ');
  if (space == std::string_view::npos || lower(value.substr(0, space)) != "basic") return;
  const auto decoded = base64_decode(trimmed(value.substr(space)));
  if (decoded) head.token = decoded->substr(0, decoded->find(':'));
}

std::vector<Field> fields_of(std::string_view text) {
  std::vector<Field> fields;
  while (!text.empty()) {
    const std::size_t end = text.find("\r\n");
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 2);
    const std::size_t colon = line.find(':');
    // No blank before the colon, and no line that goes on in the next one (RFC 9112, section 5).
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
      throw Malformed{400, "a header field that is none"};
    }
    if (fields.size() == kMaxFields) throw Malformed{431, "too many header fields"};
    fields.push_back({lower(line.substr(0, colon)), line, trimmed(line.substr(colon + 1))});
  }
  return fields;
}

// The names that a Connection field lists mean this connection alone.
std::vector<std::string> names_for_connection(const std::vector<Field>& fields) {
  std::vector<std::string> names = {"connection", "proxy-connection", "keep-alive",
                                    "te",         "upgrade",          "host"};
  for (const Field& field : fields) {
    if (field.name != "connection" && field.name != "proxy-connection") continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      names.push_back(lower(trimmed(rest.substr(0, comma))));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return names;
}

// How long the body is must be said in one way, or proxy and server may disagree about where the
// next request begins (RFC 9112, section 6.3).
void check_body(const std::vector<Field>& fields, Head& head) {
  int lengths = 0;
  int encodings = 0;
  for (const Field& field : fields) {
    if (field.name == "transfer-encoding") {
      ++encodings;
      if (lower(field.value) != "chunked")
        throw Malformed{501, "a transfer encoding we do not know"};
    }
    if (field.name != "content-length") continue;
    ++lengths;
    const bool digits = !field.value.empty() && field.value.size() <= 18 &&
                        std::all_of(field.value.begin(), field.value.end(),
                                    [](char c) { return c >= '0' && c <= '9'; });
    if (!digits) throw Malformed{400, "a length that is none"};
    head.body = head.body || field.value.find_first_not_of('0') != std::string_view::npos;
  }
  if (lengths + encodings > 1) throw Malformed{400, "the body's length is said twice"};
  head.body = head.body || encodings > 0;
}

void write_forward(std::string_view method, std::string_view version, std::string_view authority,
                   std::string_view path, const std::vector<Field>& fields, Head& head) {
  std::string target(path);
  if (target.empty()) target = method == "OPTIONS" ? "*" : "/";
  if (target.starts_with('?')) target.insert(0, "/");
  head.forward = std::string(method) + " " + target + " " + std::string(version) +
                 "\r\nHost: " + std::string(authority) + "\r\n";
  const std::vector<std::string> left_out = names_for_connection(fields);
  for (const Field& field : fields) {
    const bool ours = field.name.starts_with("proxy-");
    // These say where the body ends, whatever a Connection field claims.
    const bool framing = field.name == "content-length" || field.name == "transfer-encoding";
    const bool named = std::find(left_out.begin(), left_out.end(), field.name) != left_out.end();
    if (!ours && (framing || !named)) head.forward += std::string(field.line) + "\r\n";
  }
  head.forward += "Connection: close\r\n\r\n";
}

void read_head(std::string_view text, Head& head) {
  const std::size_t end = text.find("\r\n");
  const std::string_view line = text.substr(0, end);
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) throw Malformed{400, "no request line"};
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method) || target.empty() || target.find(' ') != std::string_view::npos) {
    throw Malformed{400, "no request line"};
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") throw Malformed{505, "not HTTP/1.1"};
  const std::vector<Field> fields = fields_of(text.substr(end + 2));
  for (const Field& field : fields) {
    if (field.name == "proxy-authorization") take_credentials(field.value, head);
  }
  check_body(fields, head);
  if (method == "CONNECT") {
    head.tunnel = true;
    take_authority(target, std::nullopt, head);
    return;
  }
  constexpr std::string_view kScheme = "http://";
  if (lower(target.substr(0, kScheme.size())) != kScheme) {
    const bool other = target.find("://") != std::string_view::npos;
    throw Malformed{other ? 501 : 400,
                    other ? "a proxy forwards http:// alone; the rest needs CONNECT"
                          : "no absolute URL: this is a proxy"};
  }
  const std::string_view rest = target.substr(kScheme.size());
  const std::size_t path = std::min(rest.find_first_of("/?#"), rest.size());
  if (target.find('#') != std::string_view::npos) throw Malformed{400, "a fragment in the target"};
  take_authority(rest.substr(0, path), 80, head);
  write_forward(method, version, rest.substr(0, path), rest.substr(path), fields, head);
}

const char* phrase_of(int status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 407:
      return "Proxy Authentication Required";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Bad Gateway";
  }
}

// With the reason: of a refused CONNECT many programs show the status line alone (Python, wget).
std::string status_line(int status, const std::string& text) {
  std::string line = "HTTP/1.1 " + std::to_string(status) + ' ' + phrase_of(status);
  if (!text.empty()) line += " (sharkcage: " + text + ')';
  // RFC 9112, section 4: of a reason phrase. The body has the text as it is.
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return line;
}

}  // namespace

bool may_be_request(unsigned char first) {
  return is_letter(first);
}

Head parse_head(std::string_view bytes) {
  Head head;
  const auto refuse = [&](int error, std::string problem) {
    Head malformed;
    malformed.status = Head::Status::kMalformed;
    malformed.error = error;
    malformed.problem = std::move(problem);
    return malformed;
  };
  constexpr std::string_view kEnd = "\r\n\r\n";
  const std::size_t end = bytes.substr(0, kMaxHead).find(kEnd);
  const std::string_view text = bytes.substr(0, std::min(end, kMaxHead));
  // What a person's eye or another parser would take for an end of line or of text is none here.
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool line_end = c == '\n' && i > 0 && text[i - 1] == '\r';
    const bool return_ = c == '\r' && (i + 1 == bytes.size() || bytes[i + 1] == '\n');
    if ((c < 0x20 && c != '\t' && !line_end && !return_) || c == 0x7f) {
      return refuse(400, "a control character in the head");
    }
  }
  if (end == std::string_view::npos) {
    if (bytes.size() >= kMaxHead) return refuse(431, "a head of more than 32 KiB");
    return head;
  }
  try {
    // Each line with its end, the empty one without.
    read_head(bytes.substr(0, end + 2), head);
  } catch (const Malformed& malformed) {
    return refuse(malformed.error, malformed.problem);
  }
  head.status = Head::Status::kDone;
  head.size = end + kEnd.size();
  return head;
}

std::string established() {
  return "HTTP/1.1 200 Connection established\r\n\r\n";
}

std::string response(int status, const std::string& text) {
  const std::string body = text.empty() ? "" : "sharkcage: " + text + "\n";
  std::string out = status_line(status, text) +
                    "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
                    std::to_string(body.size()) + "\r\n";
  out +=
      status == 407 ? "Proxy-Authenticate: Basic realm=\"sharkcage\"\r\n" : "Connection: close\r\n";
  return out + "\r\n" + body;
}

}  // namespace sharkcage::egress::http
