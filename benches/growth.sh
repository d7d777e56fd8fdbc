#!/bin/bash
# How cost grows with what there is: chats, members, messages, connections. Writes CSV (series,x,y) and plots them.
#
#   benches/growth.sh [--quick] [--out FOLDER] [PART…]     all parts into target/growth unless given
#
# CPU microseconds are those of the server, over the operations of the measured time; acks are paced, so that commits are
# as large where there is little as where there is much. Instructions are counted by benches/instructions.sh --growth.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=3 warmup=1 most=10000000 out=target/growth parts=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick) seconds=1 warmup=0.5 most=1000000 ;;
    --out) out=$2 && shift ;;
    *) parts+=("$1") ;;
    esac
    shift
done
mkdir -p "$out"
export CHAPPE_LIMITS_MEMBERS=20000
. benches/server.sh

# bench NAME [OPTION…]: a benchmark of the server that runs, its report on stdout
bench() {
    "$chappe" bench "$@" --server-pid "$server" --json
}

load() {
    bench "$@" --duration "${seconds}s" --warmup "${warmup}s"
}

acks() {
    load send --rate 20000 --no-verify "$@"
}

# number NAME: of what is on stdin
number() {
    grep -o "\"$1\":[0-9.]*" | head -n 1 | cut -d: -f2
}

cpu() {
    number server_cpu_us_per_op
}

# put FILE SERIES X Y
put() {
    echo "$2,$3,$4" >>"$out/$1.csv"
    printf '%-14s%-42s%12s%14s\n' "$1" "$2" "$3" "$4"
}

fresh() {
    rm -rf "$folder/data"
    start "$folder/data"
}

chats() {
    for chats in 10 100 1000 10000 100000; do
        [ $((chats * 100)) -le "$most" ] || break
        fresh
        before=$(resident)
        put acks "by chats" "$chats" "$(acks --chats "$chats" | cpu)"
        put memory "chats of a few messages" "$chats" $((($(resident) - before) / chats))
        stop
    done
}

members() {
    for members in 2 10 100 1000 10000; do
        fresh
        put acks "by members who are not there" "$members" "$(acks --chats 1 --members "$members" | cpu)"
        stop
    done
}

listeners() {
    for listeners in 2 10 100 1000 10000; do
        for door in tcp ws; do
            fresh
            put deliveries "in one chat, by listeners over $door" "$listeners" \
                "$(load fanout --door "$door" --listeners "$listeners" | cpu)"
            stop
        done
    done
}

rooms() {
    for users in 10 100 1000 10000; do
        fresh
        put deliveries "in chats of 10, by users who send" "$users" \
            "$(load rooms --chats "$users" --users "$users" --rate 5000 | cpu)"
        stop
    done
}

# One server that is filled more and more; half of a step's messages come with either measurement.
messages() {
    fresh
    had=0
    for messages in 1000 10000 100000 1000000 10000000; do
        [ "$messages" -le "$most" ] || break
        half=$(((messages - had) / 2))
        chats=$(((half + 9999) / 10000))
        each=$((half / chats))
        # Half of a chat ago: in the longer ones that is not in memory.
        page=$(((each + 99) / 100))
        put pages "half of a chat ago" "$messages" \
            "$(load history --chats "$chats" --messages "$each" --page "$page" | cpu)"
        put pages "the newest" "$messages" "$(load history --chats "$chats" --messages "$each" | cpu)"
        put acks "by messages" "$messages" "$(acks | cpu)"
        stop
        start "$folder/data"
        put start "milliseconds until ready" "$messages" "$(number started_in_ms <"$folder/log")"
        sleep "$warmup"
        put memory "messages, after a start" "$messages" "$(($(resident) / messages))"
        had=$messages
    done
    stop
}

connections() {
    for connections in 10 100 1000 10000; do
        for door in tcp ws; do
            fresh
            put memory "connections over $door" "$connections" \
                "$(bench connect --door "$door" --connections "$connections" --hold 1s |
                    number server_bytes_per_connection)"
            stop
        done
        fresh
        # Each a user of its own: who posts would be heard by all connections of the same user.
        "$chappe" bench connect --door tcp --connections "$connections" --users "$connections" --hold 30s >/dev/null 2>&1 &
        idle=$!
        until [ "$(find "/proc/$server/fd" | wc -l)" -gt "$connections" ]; do
            kill -0 "$idle"
            sleep 0.1
        done
        put acks "by idle connections" "$connections" "$(acks | cpu)"
        kill "$idle"
        wait "$idle" || true
        stop
    done
}

state() {
    benches/instructions.sh --growth | sort -t, -k1,1 -k2,2n | tee "$out/state.csv"
}

# plot FILE TITLE X Y [OPTION]
plot() {
    [ ! -s "$out/$1.csv" ] ||
        "$plotter" plot --title "$2" --x "$3" --y "$4" --log-x "${@:5}" "$out/$1.csv" "$out/$1.svg"
}

[ ${#parts[@]} -gt 0 ] || { parts=(chats members listeners rooms messages connections state) && rm -f "$out"/*.csv; }
for part in "${parts[@]}"; do
    "$part"
done
plotter=${PLOTTER:-target/release/chappe-compare}
[ -x "$plotter" ] || { echo "no plots: $plotter is not there" && exit 0; }
plot acks "What a durable ack costs" "how many there are" "µs of CPU"
plot deliveries "What a delivery costs" "listeners, or users" "µs of CPU" --log-y
plot pages "What a page of 50 costs" "messages on the server" "µs of CPU" --log-y
plot memory "What each takes" "how many there are" "bytes" --log-y
plot start "How long a start takes" "messages on the server" "ms" --log-y
plot state "What the state does" "members, messages, chats or users" "instructions" --log-y
