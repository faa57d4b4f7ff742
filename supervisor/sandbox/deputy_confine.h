// What the deputy can ask of the kernel once it serves.
#pragma once

namespace sharkcage::sandbox {

// For good; see call_list.h. Throws system_error.
void confine_deputy();

}  // namespace sharkcage::sandbox
