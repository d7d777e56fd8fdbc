#!/bin/sh
# chappe: HTTP and WebSocket on PORT, TCP on the next. Its rates are raised, not off: what they cost is in the numbers.
set -eu
. "$(dirname "$0")/install.sh"
chappe=${CHAPPE:-$peers/../../../target/release/chappe}
case $1 in
install) [ -x "$chappe" ] || { echo "no $chappe: cargo build --release, or CHAPPE=..." >&2; exit 1; } ;;
version) "$chappe" --version ;;
serve)
    for rate in CONNECTION USER CHAT IP_REQUEST IP_CONNECTION; do
        export "CHAPPE_LIMITS_${rate}_RATE=1000000/s burst 1000000"
    done
    export CHAPPE_LIMITS_CONNECTIONS=50000 CHAPPE_LIMITS_CONNECTIONS_PER_USER=50000
    exec "$chappe" serve --data "$3" --http "127.0.0.1:$2" --tcp "127.0.0.1:$(($2 + 1))" --udp off
    ;;
esac
