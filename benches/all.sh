#!/bin/bash
# Every number of docs/performance.md, from one run on this machine: a fresh server for each, the load beside it.
#
#   benches/all.sh [SECONDS]        how long each measurement takes; 10 unless given
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-10}
chappe=${CHAPPE:-target/release/chappe}
[ -n "${CHAPPE:-}" ] || cargo build --release --quiet
# The server is measured, not its limits: raised, and not off, so that what they cost is in the numbers.
for rate in CONNECTION USER CHAT IP_REQUEST IP_CONNECTION; do
    export "CHAPPE_LIMITS_${rate}_RATE=1000000/s burst 1000000"
done
export CHAPPE_LIMITS_CONNECTIONS=${CHAPPE_LIMITS_CONNECTIONS:-50000} CHAPPE_LIMITS_CONNECTIONS_PER_USER=50000
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

start() {
    : >"$folder/addresses"
    "$chappe" serve --data "$1" --http 127.0.0.1:0 --tcp 127.0.0.1:0 --udp 127.0.0.1:0 --print-addresses \
        >"$folder/addresses" 2>"$folder/log" &
    server=$!
    until [ -s "$folder/addresses" ]; do
        kill -0 "$server" || { cat "$folder/log"; exit 1; }
        sleep 0.05
    done
    read -r CHAPPE_HTTP CHAPPE_TCP CHAPPE_UDP < <(tr -d '{}"' <"$folder/addresses" |
        awk -F, '{ for (i = 1; i <= 3; i++) sub(/^[a-z]*:/, "", $i); print $1, $2, $3 }')
    export CHAPPE_HTTP CHAPPE_TCP CHAPPE_UDP
}

stop() {
    kill "$server"
    wait "$server" || true
    server=
}

resident() {
    awk '/^VmRSS/ { printf "%.1f MB\n", $2 / 1024 }' "/proc/$server/status"
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
echo "empty server: $(resident)"
stop
measure send --duration "${seconds}s"
measure send --duration "${seconds}s" --connections 1 --window 1
measure fanout --duration "${seconds}s"
measure fanout --duration "${seconds}s" --rate 100
measure history --duration "${seconds}s"
measure history --duration "${seconds}s" --rate 10000
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
    echo "resident: $(resident)"
    stop
done
