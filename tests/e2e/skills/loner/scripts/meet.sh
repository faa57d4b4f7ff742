#!/bin/sh
# meet.sh URL PEER SKILLS: waits in the workspace until PEER runs as well, then says what it can reach.
touch_file() { : > "$1"; }
touch_file "here-@NAME@"
tries=0
while [ ! -e "here-$2" ] && [ $tries -lt 1000 ]; do sleep 0.05; tries=$((tries + 1)); done
[ -e "here-$2" ] && echo "together with $2"
echo "network: $(curl -sS --max-time 5 "$1" 2>&1)"
if [ -e "$3/$2/secret.txt" ]; then echo "sees $2"; else echo "does not see $2"; fi
if [ -e "$3/@NAME@/secret.txt" ]; then echo "sees itself"; fi
