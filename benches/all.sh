#!/bin/bash
# Every number of docs/performance.md, from one run on this machine: a fresh server for each, the load beside it.
#
#   benches/all.sh [SECONDS]        how long each measurement takes; 10 unless given
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
. benches/server.sh

megabytes() {
    resident | awk '{ printf "%.1f MB\n", $1 / 1048576 }'
}

bench() {
    echo
    echo "\$ chappe bench $*"
    "$chappe" bench "$@" --server-pid "$server"
}

measure() {
    start "$folder/$(date +%s%N)"
    bench "$@"
    stop
}

echo "# $(date -u +%F), $(nproc) cores, $(uname -sr), load $(cut -d' ' -f1 /proc/loadavg)"
start "$folder/empty"
echo "empty server: $(megabytes)"
stop
measure send --duration "${seconds}s"
measure send --duration "${seconds}s" --connections 1 --window 1
measure fanout --duration "${seconds}s"
measure fanout --duration "${seconds}s" --rate 100
measure history --duration "${seconds}s"
measure history --duration "${seconds}s" --rate 10000
measure history --messages 1000 --page 10 --duration "${seconds}s"
start "$folder/older"
echo
echo "# sends, alone and then beside pages that are older than the cache, 5,000 a second"
bench send --rate 1000 --duration "${seconds}s"
"$chappe" bench history --messages 1000 --page 10 --rate 5000 --duration "$((seconds + 6))s" &
older=$!
until [ "$(curl -sf "http://$CHAPPE_HTTP/metrics" | awk '/^chappe_cache_misses_total/ { print int($2) }')" -gt 5000 ]; do
    kill -0 "$older"
    sleep 0.1
done
bench send --rate 1000 --duration "${seconds}s" --no-verify
wait "$older"
stop
measure udp --duration "${seconds}s"
measure connect --door ws --connections 5000
measure connect --door tcp --connections 5000

echo
echo "# a million messages of 100 bytes in 10,000 chats: memory, and how long a start takes"
start "$folder/million"
bench send --chats 10000 --size 100 --rate 100000 --warmup 0s --duration 10s
stop
for _ in 1 2 3; do
    start "$folder/million"
    grep -o '"chats":[0-9]*,"messages":[0-9]*,"started_in_ms":[0-9]*' "$folder/log"
    # Until the allocator has given back what only the start needed.
    sleep 5
    echo "resident: $(megabytes)"
    stop
done
