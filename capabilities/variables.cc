#include "capabilities/variables.h"

#include <algorithm>
#include <array>

namespace sharkcage {
namespace {

constexpr std::size_t kMaxVariableName = 128;

// Families, by prefix: loaders, interpreters, tools whose variables name programs or options.
constexpr std::array kCodePrefixes = {
    std::string_view("LD_"),      std::string_view("DYLD_"),   std::string_view("GLIBC_"),
    std::string_view("MALLOC_"),  std::string_view("GCONV_"),  std::string_view("GIT_"),
    std::string_view("BASH_"),    std::string_view("PYTHON"),  std::string_view("PERL"),
    std::string_view("RUBY"),     std::string_view("LUA_"),    std::string_view("NODE_"),
    std::string_view("NPM_"),     std::string_view("npm_"),    std::string_view("DENO_"),
    std::string_view("BUN_"),     std::string_view("JAVA_"),   std::string_view("PHP"),
    std::string_view("OPENSSL_"), std::string_view("GTK_"),    std::string_view("QT_"),
    std::string_view("GEM_"),     std::string_view("BUNDLE_"), std::string_view("CARGO_"),
    std::string_view("RUSTC"),    std::string_view("CMAKE_"),  std::string_view("SUDO_"),
    std::string_view("PIP_"),     std::string_view("UV_"),     std::string_view("R_"),
    std::string_view("GUILE_"),   std::string_view("TCL"),     std::string_view("ZDOTDIR")};

constexpr std::array kCodeNames = {std::string_view("ENV"),
                                   std::string_view("IFS"),
                                   std::string_view("SHELLOPTS"),
                                   std::string_view("BASHOPTS"),
                                   std::string_view("PS4"),
                                   std::string_view("PROMPT_COMMAND"),
                                   std::string_view("CDPATH"),
                                   std::string_view("FPATH"),
                                   std::string_view("JDK_JAVA_OPTIONS"),
                                   std::string_view("CLASSPATH"),
                                   std::string_view("GOFLAGS"),
                                   std::string_view("MAKEFLAGS"),
                                   std::string_view("MAKEFILES"),
                                   std::string_view("CC"),
                                   std::string_view("CXX"),
                                   std::string_view("EDITOR"),
                                   std::string_view("VISUAL"),
                                   std::string_view("PAGER"),
                                   std::string_view("MANPAGER"),
                                   std::string_view("LESSOPEN"),
                                   std::string_view("LESSCLOSE"),
                                   std::string_view("LESS"),
                                   std::string_view("BROWSER"),
                                   std::string_view("SSH_ASKPASS"),
                                   std::string_view("SSH_AUTH_SOCK"),
                                   std::string_view("GPG_AGENT_INFO"),
                                   std::string_view("DBUS_SESSION_BUS_ADDRESS"),
                                   std::string_view("DOCKER_HOST"),
                                   std::string_view("CURL_HOME"),
                                   std::string_view("WGETRC"),
                                   std::string_view("INPUTRC"),
                                   std::string_view("TERMINFO"),
                                   std::string_view("TERMCAP"),
                                   std::string_view("LOCPATH"),
                                   std::string_view("NLSPATH"),
                                   std::string_view("HOSTALIASES"),
                                   std::string_view("RES_OPTIONS"),
                                   std::string_view("LOCALDOMAIN"),
                                   std::string_view("GETCONF_DIR"),
                                   std::string_view("TZDIR"),
                                   std::string_view("RESOLV_HOST_CONF"),
                                   std::string_view("AWKPATH"),
                                   std::string_view("AWKLIBPATH"),
                                   std::string_view("EXINIT"),
                                   std::string_view("VIMINIT"),
                                   std::string_view("RIPGREP_CONFIG_PATH"),
                                   std::string_view("EMACSLOADPATH"),
                                   std::string_view("XDG_CONFIG_HOME"),
                                   std::string_view("XDG_DATA_DIRS"),
                                   std::string_view("XDG_CONFIG_DIRS")};

constexpr std::array kReservedNames = {
    std::string_view("PATH"),           std::string_view("HOME"),
    std::string_view("USER"),           std::string_view("LOGNAME"),
    std::string_view("SHELL"),          std::string_view("PWD"),
    std::string_view("OLDPWD"),         std::string_view("TMPDIR"),
    std::string_view("HTTP_PROXY"),     std::string_view("HTTPS_PROXY"),
    std::string_view("ALL_PROXY"),      std::string_view("NO_PROXY"),
    std::string_view("FTP_PROXY"),      std::string_view("http_proxy"),
    std::string_view("https_proxy"),    std::string_view("all_proxy"),
    std::string_view("no_proxy"),       std::string_view("ftp_proxy"),
    std::string_view("XDG_RUNTIME_DIR")};

bool starts(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

}  // namespace

bool is_variable_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxVariableName && starts(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return starts(c) || (c >= '0' && c <= '9'); });
}

bool is_code_variable(std::string_view name) {
  return std::find(kCodeNames.begin(), kCodeNames.end(), name) != kCodeNames.end() ||
         std::any_of(kCodePrefixes.begin(), kCodePrefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

bool is_reserved_variable(std::string_view name) {
  return name.starts_with("SHARKCAGE_") ||
         std::find(kReservedNames.begin(), kReservedNames.end(), name) != kReservedNames.end();
}

}  // namespace sharkcage
