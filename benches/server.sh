# For the other scripts here, which source it: a fresh server for each measurement, on ports of its own.
#
# CHAPPE is the program; target/release/chappe unless given, and built then.
chappe=${CHAPPE:-target/release/chappe}
[ -n "${CHAPPE:-}" ] || cargo build --release --quiet
# The server is measured, not its limits: raised, and not off, so that what they cost is in the numbers.
for rate in CONNECTION USER CHAT IP_REQUEST IP_CONNECTION; do
    export "CHAPPE_LIMITS_${rate}_RATE=1000000/s burst 1000000"
done
export CHAPPE_LIMITS_CONNECTIONS=${CHAPPE_LIMITS_CONNECTIONS:-50000} CHAPPE_LIMITS_CONNECTIONS_PER_USER=50000
ulimit -n "$(ulimit -Hn)"
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT

# start FOLDER: a server with its data there
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

# resident: the server's memory in bytes
resident() {
    awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$server/status"
}
