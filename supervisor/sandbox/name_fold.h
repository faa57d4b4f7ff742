// Names as file systems compare them that do not tell every difference.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sharkcage::sandbox {

// The parts of a path between slashes, each folded: ASCII letters are small, so are the letters
// that Unicode folds to ASCII; characters that nobody sees are left out, as are dots and spaces at
// the end, and what follows a colon (a stream of NTFS). "." and ".." stay.
std::vector<std::string> folded_components(std::string_view path);

// Whether a file that is called `name` may have `alias` as its name for DOS: "git~1" of ".git", by
// the rules of FAT, NTFS and Windows. Both are folded.
bool is_dos_name_of(std::string_view alias, std::string_view name);

}  // namespace sharkcage::sandbox
