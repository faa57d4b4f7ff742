// Masks what is evidently a secret before it is written (invariant 10). A net, not a proof: whoever
// records something leaves secrets out in the first place.
#pragma once

#include <string>
#include <string_view>

namespace sharkcage::audit {

// `text` with these replaced by "[redacted]": the credentials after "Authorization:" or "Bearer";
// private key blocks (PEM); tokens of well-known shapes (sk-…, ghp_… and its kind, github_pat_…,
// xox?-…, AKIA…, ASIA…, AIza…, glpat-…, eyJ….….…); values assigned to names that end in password,
// passwd, secret, token, api_key and their kind; the password of a URL. Linear in the length of the
// text, for any bytes.
std::string redact_secrets(std::string_view text);

}  // namespace sharkcage::audit
