#!/bin/bash
# What a message and a delivery take of the server: CPU, system calls, wake-ups of threads, allocations.
#
#   sudo benches/profile.sh [SECONDS]     needs perf (Debian: linux-perf) and the kernel's trace points; 4 seconds each
#
# Operations are those that /metrics counted while it was looked at: acks in the first four rows, deliveries in the others.
# Wake-ups are the times a thread of the server went to sleep and was woken. Allocations are counted in a run of their own, for
# counting them makes the server slower. CHAPPE=path/to/chappe looks at that one, and BENCH=path/to/chappe
# makes the load with another.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-4}
. benches/server.sh
events=$folder/events counted=$folder/counted
probe=probe_profile

calls='sendto sendmsg writev write recvfrom recvmmsg read epoll_wait futex pwrite64 fdatasync fcntl'
list=raw_syscalls:sys_enter
for call in $calls; do list=$list,syscalls:sys_enter_$call; done

perf probe -q -d "$probe:*" 2>/dev/null || true
for function in mi_malloc_aligned mi_zalloc_aligned mi_realloc_aligned; do
    perf probe -q -x "$chappe" "$probe:$function=$function" >/dev/null
done
unprobe() {
    perf probe -q -d "$probe:*" >/dev/null 2>&1 || true
}
trap 'unprobe; [ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

# operations NAME: how many there were until now
operations() {
    curl -sf "http://$CHAPPE_HTTP/metrics" | awk -v name="$1" 'index($1, name) == 1 { sum += $2 } END { print sum + 0 }'
}

# now_at NAME: operations, wake-ups, and CPU in hundredths of a second, until now
now_at() {
    echo "$(operations "$1") $(cat "/proc/$server"/task/*/status | awk '/^voluntary/ { sum += $2 } END { print sum }')" \
        "$(awk '{ print $14 + $15 }' "/proc/$server/stat")"
}
export -f operations now_at

# look NAME OPERATIONS [OPTION…]: a load, and what the server does meanwhile
look() {
    name=$1 what=$2
    shift 2
    for round in calls allocations; do
        start "$folder/$name-$round"
        "${BENCH:-$chappe}" bench "$@" --duration "$((seconds + 4))s" --warmup 1s >"$folder/report" &
        load=$!
        before=$(operations "$what")
        # The load begins once its connections and chats are there.
        until [ "$(operations "$what")" -gt "$((before + 200))" ]; do sleep 0.1; done
        sleep 1
        [ "$round" = calls ] && counts=$list || counts=$probe:*
        # Looked at inside what is counted, or the operations would be those of a longer time.
        server=$server perf stat -x, -o "$events" -e "$counts" -p "$server" -- \
            bash -c "now_at $what; sleep $seconds; now_at $what" >"$counted"
        read -r count woken used < <(awk 'NR == 1 { split($0, from) } NR == 2 { print $1 - from[1], $2 - from[2], $3 - from[3] }' "$counted")
        awk -F, -v count="$count" -v name="$name" -v round="$round" -v woken="$woken" -v used="$used" '
            function each(n) { return n / count < 0.0005 ? "0" : sprintf("%.3g", n / count) }
            $3 ~ /sys_enter$/ { all = $1 }
            $3 ~ /sys_enter_/ { sub(/.*sys_enter_/, "", $3); if ($1 / count >= 0.005) kinds = kinds " " $3 " " each($1) }
            $3 ~ /mi_/ { allocations += $1 }
            END {
                if (round == "calls")
                    printf "%-22s%9d/s%9s µs  wake-ups %-8s system calls %-8s:%s\n", name, count / '"$seconds"', each(used * 1e4), each(woken), each(all), kinds
                else
                    printf "%-22s%9d/s  allocations %s\n", name, count / '"$seconds"', each(allocations)
            }' "$events"
        wait "$load" || cat "$folder/report"
        stop
    done
}

echo "# $("$chappe" --version), $(nproc) cores, $(uname -sr), $(date -u +%F)"
look acks chappe_acks_total send --no-verify
look acks-paced chappe_acks_total send --rate 10000 --no-verify
look acks-alone chappe_acks_total send --connections 1 --window 1 --no-verify
look rooms chappe_acks_total rooms --rate 5000
look fanout-tcp chappe_deliveries_total fanout --door tcp
look fanout-ws chappe_deliveries_total fanout
look fanout-ws-paced chappe_deliveries_total fanout --rate 100
