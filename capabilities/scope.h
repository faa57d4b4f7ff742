// The words of a scope: what each kind of capability takes, and their normal form.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "capabilities/catalogue.h"

namespace sharkcage {

// Absolute and without ".", "..", empty parts or a slash at the end. "/" is.
bool is_normal_path(std::string_view path);

// `word` in normal form. Throws UserError naming `place` and the remedy. Reads no file.
std::string normal_scope_word(const std::string& word, const CatalogueEntry& entry,
                              const std::string& place);

// "a list of hosts such as [\"example.com:443\"]", for an error.
std::string scope_example(const CatalogueEntry& entry);

// Remarks on a valid scope, or with `notes` those on what is usual (hosts.h); `entry` may be null.
std::vector<std::string> scope_hints(const std::vector<std::string>& scope,
                                     const CatalogueEntry* entry, bool notes);

}  // namespace sharkcage
