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

// "GIT~1": another name of a file whose own is too long for DOS. `name` is folded.
bool is_short_name(std::string_view name);

}  // namespace sharkcage::sandbox
