// Masks what is evidently a secret before it is written (invariant 10). A net, not a proof: whoever
// records something leaves secrets out in the first place.
#pragma once

#include <string>
#include <string_view>

namespace sharkcage::audit {

inline constexpr char kRedacted[] = "[redacted]";

// `text` with these replaced by "[redacted]": what follows "Authorization:", "Cookie:" and
// "Bearer"; private key blocks (PEM); tokens of well-known shapes (sk-…, ghp_… and its kind,
// github_pat_…, xox?-…, AKIA…, ASIA…, AIza…, glpat-…, eyJ….….…); values assigned to names for which
// `is_secret_name` holds (name=value, "name": "value", --name value); the password in a URL. Linear
// in the length of the text, for any bytes.
std::string redact_secrets(std::string_view text);

// Names such as "password", "DB_PASSWORD", "x-api-key", "access_token", in any case.
bool is_secret_name(std::string_view name);

}  // namespace sharkcage::audit
