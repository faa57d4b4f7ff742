# ./install.sh and ./install.sh --uninstall. Sourced by install.sh.
# shellcheck shell=sh

linked='sc sc-exec'

# set_places system|user: where things go. The programs stand together in one folder, because they
# find each other beside their own executable; links to sc and sc-exec, which the plugin runs, are on the PATH.
set_places() {
  scope=$1
  if [ "$scope" = system ]; then
    lib=/usr/local/lib/sharkcage
    bin=/usr/local/bin
    unit=/etc/systemd/system/sharkcage.service
    state='/var/lib/sharkcage /etc/sharkcage /run/sharkcage'
    systemctl='systemctl'
  else
    lib=$HOME/.local/lib/sharkcage
    bin=$HOME/.local/bin
    unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/sharkcage.service
    state="${XDG_STATE_HOME:-$HOME/.local/state}/sharkcage ${XDG_CONFIG_HOME:-$HOME/.config}/sharkcage"
    state="$state${XDG_RUNTIME_DIR:+ $XDG_RUNTIME_DIR/sharkcage}"
    systemctl='systemctl --user'
  fi
}

# Whether there is a systemd to talk to: it runs, and it answers us.
systemd_runs() {
  [ -d /run/systemd/system ] && $systemctl show-environment >/dev/null 2>&1
}

install_all() {
  headline "1. Packages"
  # shellcheck disable=SC2086
  need_packages $build_packages $(has npm || echo nodejs npm ca-certificates)
  headline "2. Build"
  # shellcheck disable=SC2086
  build release OFF $programs
  build_plugin
  headline "3. Install"
  was_running=no
  if "$bin/sc" status >/dev/null 2>&1; then was_running=yes; fi
  copy_files
  start_service
  say_what_next
}

# The plugin is TypeScript; its compiler comes from npm, pinned by the lock file.
build_plugin() {
  say "Building the OpenClaw plugin; npm fetches its compiler."
  log=$(mktemp)
  if ! { npm ci --no-audit --no-fund --prefix plugin && npm run --prefix plugin build; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "the plugin could not be built; what npm said is above. It needs the npm registry (check with: npm ping); behind a proxy or a certificate authority of your own, set HTTPS_PROXY or NODE_EXTRA_CA_CERTS"
  fi
  rm -f "$log"
}

copy_files() {
  mkdir -p "$lib" "$bin" "$lib/plugin"
  for program in $programs; do
    install -m 755 "build/release/bin/$program" "$lib/$program"
  done
  for program in $linked; do ln -sf "$lib/$program" "$bin/$program"; done
  rm -rf "$lib/plugin/dist"
  cp -r plugin/dist "$lib/plugin/dist"
  install -m 644 plugin/openclaw.plugin.json plugin/package.json "$lib/plugin/"
  say "Installed in $lib: $programs, plugin/"
  say "Linked in $bin: $linked"
}

# With systemd the unit starts the supervisor now and at every boot (system) or login (user).
start_service() {
  if ! systemd_runs; then
    say "No systemd answers here, so nothing is started by itself."
    if [ "$was_running" = yes ]; then
      "$bin/sc" stop && "$bin/sc" start
    fi
    return 0
  fi
  mkdir -p "$(dirname "$unit")"
  sed "s|@LIB@|$lib|" "packaging/sharkcage-$scope.service" >"$unit"
  say "Installed $unit"
  $systemctl daemon-reload
  $systemctl enable --quiet sharkcage.service
  if $systemctl restart sharkcage.service; then
    say "The supervisor runs."
  else
    warn "the supervisor did not start; see: $systemctl status sharkcage, and: sc doctor"
  fi
}

say_what_next() {
  headline "What next"
  case ":$PATH:" in
    *":$bin:"*) ;;
    *) say "  $bin is not on your PATH: export PATH=\"$bin:\$PATH\"" ;;
  esac
  systemd_runs || say "  sc start                            start the supervisor"
  say "  sc doctor                           check this machine"
  say "  sc skill add examples/skills/notes  register a skill; then: sc approve notes"
  say "  sc run --workspace examples -- ls   run a command in a sandbox"
  say "  OpenClaw: openclaw plugins install --link --force --accept-capabilities $lib/plugin"
  say "            and its sandbox setting: docs/openclaw.md"
}

uninstall_all() {
  purge=$1
  if [ ! -e "$lib" ] && [ ! -e "$unit" ]; then
    say "There is no $scope install here ($lib)."
  fi
  if [ -e "$unit" ]; then
    if systemd_runs; then $systemctl disable --quiet --now sharkcage.service || true; fi
    rm -f "$unit"
    if systemd_runs; then $systemctl daemon-reload; fi
    say "Removed $unit"
  fi
  if [ -x "$lib/sc" ]; then "$lib/sc" stop || true; fi
  for program in $linked; do
    [ "$(readlink "$bin/$program" 2>/dev/null)" = "$lib/$program" ] || continue
    rm -f "$bin/$program"
    say "Removed $bin/$program"
  done
  if [ -d "$lib" ]; then
    rm -rf "$lib"
    say "Removed $lib"
  fi
  for directory in $state; do
    [ -e "$directory" ] || continue
    if [ "$purge" = yes ]; then
      chmod -R u+rwX "$directory" # the stored copies of skills are read-only
      rm -rf "$directory"
      say "Removed $directory"
    else
      say "Kept $directory (--purge removes it)"
    fi
  done
}
