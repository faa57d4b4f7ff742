#!/bin/sh
# fetch.sh URL: through the proxy that the environment names, then past it.
echo "proxied: $(curl -sS --max-time 5 "$1" 2>&1)"
echo "direct: $(curl -sS --max-time 5 --noproxy '*' "$1" 2>&1)"
