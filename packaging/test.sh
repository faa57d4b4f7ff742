# ./install.sh --test: the same set-up as --try, then all tests. Sourced by install.sh. POSIX sh.
# shellcheck shell=sh

test_packages="$build_packages libgtest-dev libgmock-dev curl python3"
# Programs that must work in a sandbox (fzf because it is written in Go).
test_packages="$test_packages git make sqlite3 jq ripgrep tmux fzf rsync xz-utils zip unzip patch file procps"
# And those that reach the network there without knowing a proxy.
test_packages="$test_packages wget busybox openssl openssh-client postgresql-client default-jdk-headless"
# libFuzzer.
test_packages="$test_packages clang libclang-rt-dev"
# A test that takes longer hangs.
test_timeout=300

passed=0
failed=0
# The ordinary user of this run, and what it needs removed at the end.
other_user=
logs=

clean_up_tests() {
  trap - EXIT INT TERM HUP
  [ -z "$other_user" ] || userdel -rf "$other_user" >/dev/null 2>&1 || true
  [ -z "$logs" ] || rm -rf "$logs"
}

# add_counts LOG: adds what ctest or node --test says at its end. A log without such an end is a failure.
add_counts() {
  counts=$(awk '
    /% tests passed, [0-9]+ tests? failed out of [0-9]+/ { f = $4; p = $NF - $4; found = 1 }
    $2 == "pass" && ($1 == "#" || $1 == "ℹ") { p = $3; found = 1 }
    $2 == "fail" && ($1 == "#" || $1 == "ℹ") { f = $3 }
    END { if (found) print p + 0, f + 0; else print 0, 1 }' "$1")
  passed=$((passed + ${counts% *}))
  failed=$((failed + ${counts#* }))
  say "-> ${counts% *} passed, ${counts#* } failed"
  if [ "${counts#* }" = 0 ] && [ "$2" != 0 ]; then
    say "-> but it ended with status $2"
    failed=$((failed + 1))
  fi
}

# suite NAME COMMAND…: a group of tests with its output shown as it comes.
suite() {
  headline "$1"
  name=$1
  log=$logs/log
  shift
  rm -f "$logs/status"
  { "$@" 2>&1 && echo 0 >"$logs/status" || echo $? >"$logs/status"; } | tee "$log"
  before=$failed
  add_counts "$log" "$(cat "$logs/status")"
  [ "$failed" = "$before" ] || keep_failures "$name" "$log" >>"$logs/failures"
}

# keep_failures NAME LOG: for the end of a long output, what failed and how.
keep_failures() {
  printf '\nFailed in: %s\n' "$1"
  grep -a -A 12 -E '\*\*\*(Failed|Timeout|Exception)|: Failure$|^not ok|^FAILED|^ *✖' "$2" | head -n 150
  printf '…\n'
  tail -n 30 "$2"
}

# run_ctest PRESET [OPTION…]
run_ctest() {
  preset=$1
  shift
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --timeout "$test_timeout" \
    -j "$(nproc)" --progress "$@"
}

run_all_tests() {
  logs=$(mktemp -d)
  trap clean_up_tests EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  headline "Packages"
  # shellcheck disable=SC2086
  need_packages $test_packages $(has npm || echo nodejs npm ca-certificates)

  headline "Release build"
  build release ON
  suite "Unit and integration tests" run_ctest release
  if [ "$(id -u)" = 0 ]; then
    # Here and not in a suite: what runs behind a pipe cannot tell clean_up_tests the name.
    add_other_user
    suite "Unit and integration tests as an ordinary user" run_ctest_as_user
    suite "Recorded refusals as an ordinary user" in_tree_as_other_user "$root/tests/refusals/run"
  fi
  suite "Recorded refusals, and programs that leave none" tests/refusals/run
  suite "Ways out of a sandbox" run_escape
  suite "Ways out of a sandbox that lacks a layer" run_escape --weakened

  headline "Build with AddressSanitizer and UndefinedBehaviorSanitizer"
  build asan ON
  suite "Unit and integration tests with the sanitizers" run_ctest asan

  headline "Build of the parsers with libFuzzer"
  if has_libfuzzer; then
    build fuzz ON fuzzers
    suite "Fuzzing, some seconds a target" run_ctest fuzz -R '^Fuzz\.'
  else
    say "-> skipped: there is no clang++ with libFuzzer (Debian: clang, libclang-rt-dev)"
  fi

  install_test_packages_of_npm
  suite "Plugin" run_plugin_tests
  suite "End to end, with the real OpenClaw" tests/e2e/run

  [ ! -s "$logs/failures" ] || cat "$logs/failures"
  say ""
  say "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}

has_libfuzzer() {
  echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    clang++ -x c++ -fsanitize=fuzzer,address,undefined -o "$logs/fuzzer" - >"$logs/clang" 2>&1
}

# As root for both kinds of install.
run_escape() {
  tests/escape/run ${other_user:+--user "$other_user"} "$@"
}

# An ordinary user that exists for this run only.
add_other_user() {
  other_user=sctest$$
  useradd --create-home --shell /bin/sh "$other_user"
}

as_other_user() {
  setpriv --reuid "$other_user" --regid "$other_user" --init-groups -- \
    env -i PATH="$PATH" HOME="$(getent passwd "$other_user" | cut -d: -f6)" USER="$other_user" \
    LANG="${LANG:-C.UTF-8}" "$@"
}

# The release build's tests. ctest writes its log into the build, so that place is the user's meanwhile.
run_ctest_as_user() {
  mkdir -p build/release/Testing
  chown -R "$other_user" build/release/Testing
  status=0
  in_tree_as_other_user ctest --test-dir "$root/build/release" --output-on-failure --no-tests=error \
    --timeout "$test_timeout" -j "$(nproc)" --progress || status=$?
  chown -R root build/release/Testing
  return $status
}

# in_tree_as_other_user COMMAND…: where the user can read the tree and open /dev/fuse, if need be in a mount namespace of
# its own.
in_tree_as_other_user() {
  closed=
  if ! as_other_user test -r "$root/build/release/CTestTestfile.cmake"; then
    closed=$root
    while ! as_other_user test -x "$(dirname "$closed")"; do closed=$(dirname "$closed"); done
  fi
  # udev gives everybody the device; a container or a small machine may have none.
  fuse=
  if [ -c /dev/fuse ] && ! as_other_user test -w /dev/fuse; then
    fuse=$logs/fuse
    [ -c "$fuse" ] || mknod -m 666 "$fuse" c 10 229
  fi
  if [ -z "$closed$fuse" ]; then
    as_other_user "$@"
    return
  fi
  export root closed fuse OTHER_USER="$other_user"
  # shellcheck disable=SC2016
  unshare --mount sh -euc '
    [ -z "$fuse" ] || mount --bind "$fuse" /dev/fuse
    if [ -n "$closed" ]; then
      # A directory that the user may not enter (/root) holds the tree and nothing else.
      mount --bind "$root" /mnt
      mount -t tmpfs -o mode=755 tmpfs "$closed"
      mkdir -p "$root"
      mount --move /mnt "$root"
    fi
    cd "$root"
    . packaging/common.sh
    . packaging/test.sh
    other_user=$OTHER_USER
    as_other_user "$@"' sh "$@"
}

# The pinned host with its own Node, and the plugin's compiler. Both from npm, both pinned by lock files.
install_test_packages_of_npm() {
  headline "npm packages of the plugin and of the end-to-end tests"
  for folder in tests/e2e plugin; do
    if ! npm ci --no-audit --no-fund --prefix "$folder" >"$logs/npm" 2>&1; then
      tail -n 20 "$logs/npm"
      say "-> npm ci failed in $folder"
      failed=$((failed + 1))
    fi
  done
}

run_plugin_tests() {
  node=$(echo "$root"/tests/e2e/node_modules/node-linux-*/bin)
  (cd plugin && PATH="$node:$PATH" && npm run lint && npm run build && npm test)
}
