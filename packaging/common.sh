# Shared by install.sh and what it sources: messages, packages, the build. POSIX sh.
# shellcheck shell=sh

# What the build needs, as Debian and Ubuntu name it.
build_packages='g++ cmake ninja-build pkg-config libseccomp-dev nlohmann-json3-dev libssl-dev
  libsqlite3-dev libsqlitecpp-dev libspdlog-dev libasio-dev libcli11-dev libidn2-dev musl-tools'
programs='sc sharkcaged sc-exec sc-attend sharkcage-launcher sharkcage-egress'

say() { printf '%s\n' "$*"; }
warn() { printf 'install.sh: %s\n' "$*" >&2; }
fail() {
  warn "$*"
  exit 1
}

# Bold on a terminal.
headline() {
  if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    printf '\n\033[1m%s\033[0m\n' "$*"
  else
    printf '\n%s\n' "$*"
  fi
}

has() { command -v "$1" >/dev/null 2>&1; }

# Runs its arguments as root.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif has sudo; then
    sudo "$@"
  else
    fail "this needs root and there is no sudo. As root, run: $*"
  fi
}

is_debian_like() {
  [ -r /etc/os-release ] || return 1
  # shellcheck source=/dev/null
  case " $(. /etc/os-release && echo "${ID:-} ${ID_LIKE:-}") " in
    *" debian "* | *" ubuntu "*) has apt-get ;;
    *) return 1 ;;
  esac
}

# Those of the arguments that are not installed.
missing_packages() {
  for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || printf '%s ' "$package"
  done
}

# need_packages PACKAGE…: installs what is missing, saying so in one line.
need_packages() {
  if ! is_debian_like; then
    warn "this system is not Debian or Ubuntu, so nothing is installed for you. Needed, in Debian's words:"
    warn "  $*"
    return 0
  fi
  # shellcheck disable=SC2046
  set -- $(missing_packages "$@")
  if [ $# = 0 ]; then
    say "All packages that are needed are installed."
    return 0
  fi
  say "Installing from $(. /etc/os-release && echo "$NAME"): $*"
  log=$(mktemp)
  if ! {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
  } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "the packages could not be installed; what apt-get said is above"
  fi
  rm -f "$log"
}

# How many compilers at once: one a processor, and 1.5 GB of memory for each.
jobs_that_fit() {
  processors=$(nproc)
  by_memory=$(awk '/^MemAvailable:/ { n = int($2 / 1500000); print n < 1 ? 1 : n }' /proc/meminfo)
  if [ "$by_memory" -lt "$processors" ]; then echo "$by_memory"; else echo "$processors"; fi
}

# Passes on every tenth of ninja's steps, and all else. Not awk: Debian's waits for a full buffer.
every_tenth_step() {
  step=0
  while IFS= read -r line; do
    case $line in
      '  ['*)
        step=$((step + 1))
        [ $((step % 10)) = 1 ] || continue
        ;;
    esac
    say "$line"
  done
}

# build PRESET TESTS(ON|OFF) [TARGET…]
build() {
  preset=$1
  tests=$2
  shift 2
  say "Building ($preset) in build/$preset; the first time takes some minutes."
  log=$(mktemp)
  if ! cmake --preset "$preset" -DSHARKCAGE_TESTS="$tests" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    fail "the build could not be configured; what cmake said is above. If this folder was moved or copied, begin anew: rm -r build/$preset"
  fi
  rm -f "$log"
  # On a terminal ninja shows its progress on one line; elsewhere every tenth step is enough.
  if [ -t 1 ]; then
    NINJA_STATUS='  %p ' ninja -C "build/$preset" -j "$(jobs_that_fit)" "$@"
  else
    build_log=$(mktemp)
    { NINJA_STATUS='  [%f/%t] ' ninja -C "build/$preset" -j "$(jobs_that_fit)" "$@" 2>&1 && echo built >"$build_log"; } |
      every_tenth_step
    grep -q built "$build_log" || { rm -f "$build_log"; fail "the build failed; see above"; }
    rm -f "$build_log"
  fi
}
