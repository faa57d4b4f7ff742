#!/bin/sh
# Reads the Markdown notes below the working directory. What it may run is in ../sharkcage.json.
set -eu

usage() {
  echo "usage: notes.sh find WORD | count | tags" >&2
  exit 2
}

# grep says with 1 that nothing was found, which is an answer.
search() {
  grep -r --include='*.md' "$@" . || [ $? -eq 1 ]
}

case "${1-}" in
  find)
    [ $# -eq 2 ] && [ -n "$2" ] || usage
    search --line-number --ignore-case --fixed-strings -e "$2"
    ;;
  count)
    search --files-with-matches --null -e '' | sort -z | xargs -0 -r wc
    ;;
  tags)
    search --no-filename --only-matching -E -e '#[[:alnum:]_-]+' | sort | uniq -c | sort -k1,1nr -k2
    ;;
  *)
    usage
    ;;
esac
