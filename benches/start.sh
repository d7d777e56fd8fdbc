#!/bin/bash
# How long a start takes, what it takes in memory, and what lies on disk: with ten million messages in 100,000 chats.
#
#   benches/start.sh [MESSAGES [CHATS]]     takes some minutes, and 3 GB of disk
#
# After a clean stop, after kill -9 behind it, and (as root) with nothing of the files in the kernel's memory.
set -euo pipefail
cd "$(dirname "$0")/.."
messages=${1:-10000000} chats=${2:-100000} per_second=200000 size=128
. benches/server.sh
data=$folder/data

metric() {
    curl -sf "http://$CHAPPE_HTTP/metrics" | awk -v name="chappe_$1" '$1 == name { print $2 }'
}

caught_up() {
    until [ "$(metric projector_lag)" = 0 ]; do sleep 1; done
}

# timed WHAT: a start, and how long it took
timed() {
    start "$data"
    printf '%-40s%s\n' "$1" "$(grep -o '"chats":[0-9]*,"messages":[0-9]*,"started_in_ms":[0-9]*' "$folder/log")"
}

start "$data"
"$chappe" bench send --chats "$chats" --size "$size" --rate "$per_second" --warmup 0s --duration "$((messages / per_second))s" \
    --no-verify --server-pid "$server"
echo "resident when all is written: $(resident)"
began=$SECONDS
stop
echo "clean stop with the tables behind: $((SECONDS - began)) s"
timed "start with the tables behind"
caught_up
stop
for _ in 1 2 3; do
    timed "after a clean stop"
    stop
done
timed "before a kill"
"$chappe" bench send --rate 1000 --warmup 0s --duration 2s --no-verify >/dev/null
caught_up
kill -9 "$server"
wait "$server" || true
timed "after kill -9"
stop
if [ "$(id -u)" = 0 ]; then
    sync
    echo 3 >/proc/sys/vm/drop_caches
    timed "with nothing in the kernel's memory"
    stop
fi
kept=$(du -sb --exclude='*-wal' --exclude='*-shm' "$data" | cut -f1)
awk -v kept="$kept" -v messages="$messages" -v each="$((size + 64))" \
    'BEGIN { printf "on disk: %d bytes, %.2f of (content + 64)\n", kept, kept / messages / each }'
ls -l "$data"
