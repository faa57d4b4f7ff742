#include "supervisor/sandbox/name_fold.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace sharkcage::sandbox {
namespace {

struct Folding {
  char32_t from;
  std::string_view to;
};
// CaseFolding.txt, full folding, of what becomes ASCII; all else of it does not matter here.
constexpr Folding kFoldings[] = {{0x00df, "ss"},  {0x017f, "s"},  {0x1e9e, "ss"}, {0x212a, "k"},
                                 {0xfb00, "ff"},  {0xfb01, "fi"}, {0xfb02, "fl"}, {0xfb03, "ffi"},
                                 {0xfb04, "ffl"}, {0xfb05, "st"}, {0xfb06, "st"}};

struct Range {
  char32_t first, last;
};
// Default_Ignorable_Code_Point, which Linux leaves out when it folds (utf8 of ext4, f2fs, tmpfs).
constexpr Range kInvisible[] = {
    {0x00ad, 0x00ad},   {0x034f, 0x034f},  {0x061c, 0x061c}, {0x115f, 0x1160}, {0x17b4, 0x17b5},
    {0x180b, 0x180f},   {0x200b, 0x200f},  {0x202a, 0x202e}, {0x2060, 0x206f}, {0x3164, 0x3164},
    {0xfe00, 0xfe0f},   {0xfeff, 0xfeff},  {0xffa0, 0xffa0}, {0xfff0, 0xfff8}, {0x1bca0, 0x1bca3},
    {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};

// The code point at `at` and its length; what is no UTF-8 stands for itself, a byte at a time.
struct Read {
  char32_t code;
  std::size_t size;
};
Read read_code(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const std::size_t size = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (size == 1 || at + size > text.size()) return {first, 1};
  char32_t code = first & (0xffu >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return {first, 1};
    code = (code << 6) | (byte(at + i) & 0x3fu);
  }
  return {code, size};
}

void append_folded(std::string& out, std::string_view text, const Read& read) {
  if (read.size == 1) {
    const char c = static_cast<char>(read.code);
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return;
  }
  for (const Range& range : kInvisible) {
    if (read.code >= range.first && read.code <= range.last) return;
  }
  for (const Folding& folding : kFoldings) {
    if (read.code != folding.from) continue;
    out += folding.to;
    return;
  }
  out += text;
}

std::string folded(std::string_view name) {
  std::string out;
  for (std::size_t at = 0; at < name.size();) {
    const Read read = read_code(name, at);
    append_folded(out, name.substr(at, read.size), read);
    at += read.size;
  }
  if (out == "." || out == "..") return out;
  if (const std::size_t colon = out.find(':'); colon != std::string::npos && colon > 0) {
    out.resize(colon);
  }
  const std::size_t end = out.find_last_not_of(". ");
  if (end != std::string::npos) out.resize(end + 1);
  return out;
}

}  // namespace

std::vector<std::string> folded_components(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start < path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (end > start) parts.push_back(folded(path.substr(start, end - start)));
    start = end + 1;
  }
  return parts;
}

// Six characters of the name and a number; after some that are alike two, a hash and a number.
bool is_dos_name_of(std::string_view alias, std::string_view name) {
  constexpr std::size_t kMaxStem = 6;
  constexpr std::size_t kMaxAlias = 8;
  const std::string_view first = alias.substr(0, alias.find('.'));
  const std::size_t tilde = first.find('~');
  if (tilde == std::string_view::npos || tilde < 2 || tilde + 1 == first.size() ||
      tilde > kMaxStem || first.size() > kMaxAlias) {
    return false;
  }
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_hex = [&](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); };
  const auto at = [&](std::size_t i) { return first.begin() + static_cast<std::ptrdiff_t>(i); };
  if (!std::all_of(at(tilde + 1), first.end(), is_digit)) return false;
  name.remove_prefix(std::min(name.find_first_not_of('.'), name.size()));
  return name.starts_with(first.substr(0, tilde)) ||
         (tilde == kMaxStem && name.starts_with(first.substr(0, 2)) &&
          std::all_of(at(2), at(tilde), is_hex));
}

}  // namespace sharkcage::sandbox
