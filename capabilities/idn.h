// International names in the form in which name servers know them.
#pragma once

#include <optional>
#include <string>

namespace sharkcage {

// The ASCII form of a name in UTF-8 ("bücher.example": "xn--bcher-kva.example"), as browsers make
// it (IDNA2008 with the mappings of UTS 46, non-transitional): lower case, the ideographic full
// stop a dot. It may hold characters that no name has. Nothing when there is none; `why` says why.
std::optional<std::string> ascii_name(const std::string& name, std::string& why);

}  // namespace sharkcage
