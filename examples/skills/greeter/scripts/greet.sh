#!/bin/sh
# Prints a greeting for the name in $1. curl finds the proxy of the sandbox in its environment.
set -eu

if [ $# -ne 1 ] || [ -z "$1" ]; then
  echo "usage: greet.sh NAME" >&2
  exit 2
fi

curl --silent --show-error --fail --max-time 10 \
  --get --data-urlencode "name=$1" http://localhost:8123/greeting || {
  echo "greet.sh: the greeting service on localhost:8123 does not answer" >&2
  exit 1
}
