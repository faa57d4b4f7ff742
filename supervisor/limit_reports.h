// The limits that a call ran into: for its record, and in words for the person who asked for it.
#pragma once

#include <string>

#include "common/json.h"
#include "common/limits.h"
#include "supervisor/sandbox/launcher_client.h"

namespace sharkcage {

// Adds them to the record's `payload` ("refused", "limits" in words, and `command`, the command in
// short) and to the notification exec.exit ("message"). `event` is kReturned; nothing is added when
// it ran into none.
void report_limits(const sandbox::Event& event, const Limits& limits, const std::string& command,
                   Json& payload, Json& notification);

// One sentence for each: what happened and what the limit is.
std::string limits_message(const sandbox::Event& event, const Limits& limits);

}  // namespace sharkcage
