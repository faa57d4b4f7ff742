# install.sh --test: the same set-up as --try, then all tests. POSIX sh, sourced.
# shellcheck shell=sh

test_packages="$build_packages libgtest-dev libgmock-dev"

# The plain closing line of a ctest run: "N passed, N failed".
count_tests() {
  awk '/tests passed, .* tests failed out of/ { failed = $4; total = $NF }
       END { printf "%d passed, %d failed\n", total - failed, failed }' "$1"
}

run_all_tests() {
  # shellcheck disable=SC2086
  need_packages $test_packages
  build release ON
  log=$(mktemp)
  status=0
  ctest --test-dir build/release --output-on-failure -j "$(nproc)" >"$log" 2>&1 || status=$?
  cat "$log"
  count_tests "$log"
  rm -f "$log"
  return "$status"
}
