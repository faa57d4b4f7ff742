# ./install.sh --try: the main job in a throwaway instance. Sourced by install.sh. POSIX sh.
# shellcheck shell=sh

# The greeter example speaks HTTP with curl, to a service that python3 serves.
try_packages="$build_packages curl python3"
greeting_port=8123

# Every path of the instance lies below this directory, which goes away at the end.
place=
server=
wrong=0

tidy_up() {
  trap - EXIT INT TERM HUP
  if [ -n "$place" ]; then
    "$sc" stop >/dev/null 2>&1 || true
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    chmod -R u+rwX "$place" 2>/dev/null || true # the stored copies of skills are read-only
    rm -rf "$place"
  fi
}

# Root's sandboxes reach the workspace through an idmapped mount, which overlayfs (containers) lacks.
throwaway_directory() {
  for parent in "${TMPDIR:-/tmp}" /var/tmp; do
    if [ "$(id -u)" = 0 ] && [ "$(stat -f -c %T "$parent" 2>/dev/null)" = overlayfs ]; then continue; fi
    mktemp -d "$parent/sharkcage-try.XXXXXX" && return 0
  done
  return 1
}

set_up_instance() {
  place=$(throwaway_directory) ||
    fail "root's sandboxes cannot use overlayfs, which /tmp and /var/tmp are on: set TMPDIR to a directory on ext4, xfs or btrfs, or run this as an ordinary user"
  place=$(CDPATH='' cd -- "$place" && pwd -P)
  export SHARKCAGE_HOME="$place/instance" HOME="$place/home"
  unset XDG_CONFIG_HOME XDG_STATE_HOME XDG_RUNTIME_DIR
  mkdir -p "$SHARKCAGE_HOME" "$HOME/.ssh" "$place/workspace"
  printf 'a private key that nobody should read\n' >"$HOME/.ssh/id_rsa"
  printf '# Shopping\n\n#home bread, milk\n' >"$place/workspace/shopping.md"
  cp -r examples/skills "$place/skills"
}

start_greeting_service() {
  # python3 says "ready" once it listens; without that line the port is taken.
  mkfifo "$place/ready"
  python3 packaging/greeting_server.py "$greeting_port" >"$place/ready" 2>"$place/server.log" &
  server=$!
  line=
  read -r line <"$place/ready" || true
  if [ "$line" != ready ]; then
    tail -n 1 "$place/server.log" >&2
    fail "the greeting service cannot listen on port $greeting_port; what else uses it?"
  fi
}

# expect STATUS TEXT COMMAND…: runs the command in the workspace and shows it. It must end with STATUS ("refused": any
# but 0) and its output must hold TEXT.
expect() {
  expected=$1
  text=$2
  shift 2
  say "  \$ $(echo "$*" | sed "s|$sc|sc|; s|$place/||g")"
  status=0
  (cd "$place/workspace" && "$@") >"$place/output" 2>&1 </dev/null || status=$?
  sed 's/^/    /' "$place/output"
  case $expected in
    refused) [ "$status" != 0 ] || not_as_told "it should have been refused, and was not" ;;
    *) [ "$status" = "$expected" ] || not_as_told "it ended with $status instead of $expected" ;;
  esac
  grep -qF -- "$text" "$place/output" || not_as_told "\"$text\" is not in what it printed"
}

not_as_told() {
  wrong=$((wrong + 1))
  say "    !! NOT AS TOLD: $*"
}

try() {
  sc=$root/build/release/bin/sc
  headline "Packages"
  # shellcheck disable=SC2086
  need_packages $try_packages
  headline "Build"
  # shellcheck disable=SC2086
  build release OFF $programs
  trap tidy_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  set_up_instance
  start_greeting_service
  show_main_job
  if [ "$wrong" != 0 ]; then fail "$wrong things were not as told; see above"; fi
  say ""
  say "Everything was as told. The instance is removed; what stays is build/ and the packages."
  say "Next: ./install.sh, then INSTALL.md."
}

show_main_job() {
  greeter=$place/skills/greeter/scripts/greet.sh
  notes=$place/skills/notes/scripts/notes.sh

  headline "1. Start the supervisor, in a throwaway instance ($place)"
  expect 0 "supervisor runs" "$sc" start

  headline "2. Add two skills. Adding approves nothing: each shows what it asks for"
  expect 0 "greeter" "$sc" skill add "$place/skills/greeter"
  expect 0 "notes" "$sc" skill add "$place/skills/notes"

  headline "3. Approve one of them; the approval holds for exactly these files"
  expect 0 "Approved" "$sc" approve greeter --yes

  headline "4. ALLOWED: the approved skill asks the one service that it may reach"
  expect 0 "Good day, Ada!" "$sc" run --skill greeter -- "$greeter" Ada

  headline "5. ALLOWED: without a skill a command has the workspace, and nothing else"
  expect 0 "bread" "$sc" run -- cat shopping.md

  headline "6. REFUSED: a credential file. Inside the sandbox it does not exist"
  expect refused "No such file" "$sc" run -- cat "$HOME/.ssh/id_rsa"

  headline "7. REFUSED: a host that nobody approved. The proxy says no before anything is dialled"
  expect refused "" "$sc" run --skill greeter -- curl -sS --max-time 10 https://evil.example/

  headline "8. REFUSED: a program that nobody approved. It can be neither run nor read"
  expect refused "" "$sc" run --skill greeter -- /usr/bin/sort shopping.md

  headline "9. REFUSED: a skill that nobody approved. The request waits for a person"
  expect 126 "" "$sc" run --skill notes -- "$notes" count
  expect 0 "notes" "$sc" approve --pending

  headline "10. REFUSED: the approved skill after a change of one byte. What was approved is bound to its content"
  say "  \$ printf '#' >> skills/greeter/scripts/greet.sh"
  printf '#' >>"$greeter"
  expect 126 "" "$sc" run --skill greeter -- "$greeter" Ada

  headline "11. The audit log: every verdict was in it before its command ran"
  expect 0 "greeter" "$sc" audit --all

  headline "12. Of it, what was refused: calls, hosts, files, programs"
  told="tried to read ~/.ssh/id_rsa (cat)"
  # What is not shown is recorded by a file system of ours, where the user may make one.
  [ -r /dev/fuse ] && [ -w /dev/fuse ] || told=evil.example
  expect 0 "$told" "$sc" audit --blocked --all

  headline "13. And the log is what was written: the chain is whole and matches its seal"
  expect 0 "intact" "$sc" audit verify
}
