// Files of this folder that the build puts into the library.
#pragma once

#include <string_view>

namespace sharkcage {

extern const std::string_view kCatalogueText;  // capabilities/catalogue.json

}  // namespace sharkcage
