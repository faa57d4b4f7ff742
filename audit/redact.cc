#include "audit/redact.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace sharkcage::audit {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' || c == '-' ||
         c == '.';
}

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
bool is_quote(char c) {
  return c == '"' || c == '\'' || c == '`';
}

bool ends_with_any_case(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() &&
         std::equal(suffix.begin(), suffix.end(), text.end() - static_cast<long>(suffix.size()),
                    [](char want, char have) { return want == lower(have); });
}

struct Shape {
  std::string_view prefix;
  std::size_t least;  // length of the whole token
};
constexpr std::array kShapes{
    Shape{"sk-", 16},   Shape{"sk_live_", 16}, Shape{"ghp_", 20},        Shape{"gho_", 20},
    Shape{"ghu_", 20},  Shape{"ghs_", 20},     Shape{"ghr_", 20},        Shape{"AKIA", 20},
    Shape{"ASIA", 20},  Shape{"AIza", 30},     Shape{"github_pat_", 24}, Shape{"glpat-", 16},
    Shape{"xoxb-", 16}, Shape{"xoxp-", 16},    Shape{"xoxa-", 16},       Shape{"xoxs-", 16},
    Shape{"npm_", 30},  Shape{"hf_", 24},
};

bool is_token(std::string_view word) {
  for (const Shape& shape : kShapes) {
    if (word.starts_with(shape.prefix) && word.size() >= shape.least) return true;
  }
  // A JSON Web Token: three parts, the first one an encoded "{"… (RFC 7519).
  return word.starts_with("eyJ") && word.size() >= 30 &&
         std::count(word.begin(), word.end(), '.') == 2;
}

// Names whose value runs to the end of the line: HTTP header fields.
bool is_secret_header(std::string_view name) {
  return ends_with_any_case(name, "authorization") || ends_with_any_case(name, "cookie");
}

// Reads the text once from left to right; every rule looks ahead only over what it then consumes.
class Redactor {
 public:
  explicit Redactor(std::string_view text) : text_(text) {}

  std::string run() {
    while (at_ < text_.size()) {
      if (private_key() || url_password()) continue;
      if (is_word(text_[at_])) {
        word();
      } else {
        out_ += text_[at_++];
      }
    }
    return std::move(out_);
  }

 private:
  std::string_view rest() const { return text_.substr(at_); }

  void copy_to(std::size_t end) {
    out_ += text_.substr(at_, end - at_);
    at_ = end;
  }

  void mask_to(std::size_t end) {
    if (end > at_) out_ += kRedacted;
    at_ = end;
  }

  // -----BEGIN … PRIVATE KEY----- up to the end marker, or to the end of a text without one.
  bool private_key() {
    constexpr std::string_view kBegin = "-----BEGIN ";
    if (text_[at_] != '-' || !rest().starts_with(kBegin)) return false;
    if (rest().substr(0, 64).find("PRIVATE KEY-----") == std::string_view::npos) return false;
    const std::size_t end_marker = text_.find("-----END ", at_);
    const std::size_t dashes = end_marker == std::string_view::npos
                                   ? std::string_view::npos
                                   : text_.find("-----", end_marker + 9);
    mask_to(dashes == std::string_view::npos ? text_.size() : dashes + 5);
    return true;
  }

  // scheme://user:password@host
  bool url_password() {
    if (text_[at_] != ':' || !rest().starts_with("://")) return false;
    copy_to(at_ + 3);
    std::size_t end = at_;
    std::size_t at_sign = std::string_view::npos;
    while (end < text_.size() && text_[end] != '/' && text_[end] != '?' && text_[end] != '#' &&
           !is_quote(text_[end]) && static_cast<unsigned char>(text_[end]) > ' ') {
      if (text_[end] == '@') at_sign = end;
      ++end;
    }
    if (at_sign == std::string_view::npos) return true;
    const std::size_t colon = text_.substr(0, at_sign).find(':', at_);
    if (colon != std::string_view::npos) {
      copy_to(colon + 1);
      mask_to(at_sign);
    }
    return true;
  }

  void word() {
    std::size_t end = at_;
    while (end < text_.size() && is_word(text_[end])) ++end;
    const std::string_view name = text_.substr(at_, end - at_);
    if (is_token(name)) {
      mask_to(end);
    } else if (name.size() == 6 && ends_with_any_case(name, "bearer")) {
      copy_to(end);
      bearer_value();
    } else if (is_secret_header(name)) {
      copy_to(end);
      assigned_value(true);
    } else if (is_secret_name(name)) {
      copy_to(end);
      if (!assigned_value(false) && name.starts_with("--")) option_value();
    } else {
      copy_to(end);
    }
  }

  void skip_blanks() {
    std::size_t end = at_;
    while (end < text_.size() && is_blank(text_[end])) ++end;
    copy_to(end);
  }

  void bearer_value() {
    if (at_ == text_.size() || !is_blank(text_[at_])) return;
    skip_blanks();
    std::size_t end = at_;
    while (end < text_.size() && (is_word(text_[end]) || text_[end] == '~' || text_[end] == '+' ||
                                  text_[end] == '/' || text_[end] == '=')) {
      ++end;
    }
    if (end - at_ >= 8) mask_to(end);
  }

  // After a name: `= value`, `: value`, `": "value"`, also with the quotes escaped. False where
  // nothing is assigned.
  bool assigned_value(bool whole_line) {
    std::size_t i = at_;
    const auto skip = [&](auto accept) {
      while (i < text_.size() && accept(text_[i])) ++i;
    };
    const auto blank_or_quote = [](char c) { return is_blank(c) || is_quote(c) || c == '\\'; };
    skip(blank_or_quote);
    if (i == text_.size() || (text_[i] != '=' && text_[i] != ':')) return false;
    ++i;
    const std::size_t separator = i;
    skip(blank_or_quote);
    const std::string_view before = text_.substr(separator, i - separator);
    const std::size_t opened = before.find_last_of("\"'`");
    const char quote = opened == std::string_view::npos ? '\0' : before[opened];
    const bool escaped =
        opened != std::string_view::npos && opened > 0 && before[opened - 1] == '\\';
    copy_to(i);
    mask_to(end_of_value(quote, escaped, whole_line));
    return true;
  }

  std::size_t end_of_value(char quote, bool escaped, bool whole_line) const {
    std::size_t i = at_;
    while (i < text_.size()) {
      const char c = text_[i];
      if (quote != '\0') {
        if (c == '\\' && i + 1 < text_.size()) {
          if (escaped && text_[i + 1] == quote) break;
          i += 2;
          continue;
        }
        if (c == quote) break;
      } else if (c == '\n' || c == '\r' || is_quote(c)) {
        break;
      } else if (!whole_line &&
                 (is_blank(c) || std::string_view("&;,<>)}]|").find(c) != std::string_view::npos)) {
        break;
      }
      ++i;
    }
    return std::min(i, text_.size());
  }

  // --password VALUE
  void option_value() {
    if (at_ == text_.size() || !is_blank(text_[at_])) return;
    skip_blanks();
    if (at_ == text_.size() || text_[at_] == '-') return;
    const char quote = is_quote(text_[at_]) ? text_[at_] : '\0';
    if (quote != '\0') copy_to(at_ + 1);
    mask_to(end_of_value(quote, false, false));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

bool is_secret_name(std::string_view name) {
  static constexpr std::array<std::string_view, 16> kSuffixes{
      "password",  "passwd",    "passphrase",  "secret",     "token",      "api_key",
      "apikey",    "api-key",   "access_key",  "access-key", "secret_key", "secret-key",
      "secretkey", "accesskey", "private_key", "privatekey"};
  return is_secret_header(name) ||
         std::any_of(kSuffixes.begin(), kSuffixes.end(),
                     [&](std::string_view suffix) { return ends_with_any_case(name, suffix); });
}

std::string redact_secrets(std::string_view text) {
  return Redactor(text).run();
}

}  // namespace sharkcage::audit
