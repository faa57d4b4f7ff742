#!/bin/sh
# Installs Sharkcage, or shows it (--try), or tests it (--test). See ./install.sh --help.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
. "$root/packaging/common.sh"

usage() {
  cat <<'END'
Usage: ./install.sh [--system | --user]     build and install; run it again to upgrade
       ./install.sh --uninstall [--system | --user] [--purge]
                                            remove; keeps the audit log and the approvals unless --purge
       ./install.sh --try                   build and show the main job in a throwaway instance
       ./install.sh --test                  build and run all tests
       ./install.sh --help

--system is the default for root, --user for everyone else. Packages of the distribution that the build
needs are installed when they are missing (as root, or with sudo).
END
}

main() {
  job=install
  scope=
  purge=no
  for argument in "$@"; do
    case $argument in
      --try | --test | --uninstall)
        if [ "$job" != install ]; then fail "--$job and $argument do not go together"; fi
        job=${argument#--}
        ;;
      --system | --user) scope=${argument#--} ;;
      --purge) purge=yes ;;
      --help | -h)
        usage
        return 0
        ;;
      *)
        usage >&2
        fail "unknown option: $argument"
        ;;
    esac
  done
  if [ "$purge" = yes ] && [ "$job" != uninstall ]; then fail "--purge goes with --uninstall only"; fi
  if [ -n "$scope" ] && { [ "$job" = try ] || [ "$job" = test ]; }; then
    fail "--$job installs nothing, so --$scope does not go with it"
  fi
  if [ -z "$scope" ]; then
    if [ "$(id -u)" = 0 ]; then scope=system; else scope=user; fi
  fi
  if [ "$scope" = system ] && [ "$(id -u)" != 0 ] && [ "$job" != try ] && [ "$job" != test ]; then
    fail "a system install needs root: sudo ./install.sh --system"
  fi
  # For root the programs look in the places of a system install.
  if [ "$scope" = user ] && [ "$(id -u)" = 0 ] && [ "$job" != try ] && [ "$job" != test ]; then
    fail "a user install belongs to an ordinary user: run ./install.sh --user as that user, without sudo"
  fi
  cd "$root"
  case $job in
    try) . packaging/try.sh && try ;;
    test) . packaging/test.sh && run_all_tests ;;
    install) . packaging/setup.sh && set_places "$scope" && install_all ;;
    uninstall) . packaging/setup.sh && set_places "$scope" && uninstall_all "$purge" ;;
  esac
}

main "$@"
