// What is known of the host's tools by name.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace sharkcage {

// Tools that work in the session's sandbox.
inline constexpr std::array<std::string_view, 7> kSandboxedTools = {
    "exec", "process", "read", "write", "edit", "apply_patch", "ls"};

// Of these, the ones whose parameter "path" names what they touch.
inline constexpr std::array<std::string_view, 2> kReadingTools = {"read", "ls"};
inline constexpr std::array<std::string_view, 2> kWritingTools = {"write", "edit"};

// Tools of the host that reach nothing beyond the agent's own session: finding tools, ending a
// turn.
inline constexpr std::array<std::string_view, 6> kHarmlessTools = {
    "tool_search", "tool_describe", "tool_call", "sessions_yield", "session_status", "update_plan"};

// Tools of the host that fetch a URL given in the parameter "url".
inline constexpr std::array<std::string_view, 1> kFetchingTools = {"web_fetch"};

template <std::size_t N>
bool is_one_of(std::string_view name, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace sharkcage
