#!/bin/sh
# Sends one message over TCP and one beacon over UDP, with nothing but nc.
#
#   sh examples/netcat.sh [TCP_HOST:PORT [UDP_HOST:PORT]]      or with the addresses in CHAPPE_TCP and CHAPPE_UDP
set -eu

tcp=${1:-${CHAPPE_TCP:-127.0.0.1:8081}}
udp=${2:-${CHAPPE_UDP:-127.0.0.1:8082}}
client_id="netcat-$$-$(date +%s)"

fail() {
    echo "netcat.sh: $1" >&2
    exit 1
}
command -v nc >/dev/null || fail "nc is not installed"

# One packet a line. The pause leaves time for the answers before nc sees the end of its input.
answer=$({
    echo '{"packet_type":"Hello","version":1,"user_id":1}'
    echo '{"packet_type":"Subscribe","chat_ids":[1]}'
    echo '{"packet_type":"SendMessage","message":{"chat_id":1,"content":"Hello from netcat","client_id":"'"$client_id"'"}}'
    sleep 1
} | nc -w 2 "${tcp%:*}" "${tcp##*:}") || fail "cannot connect to $tcp"
echo "$answer"

case $answer in *'"success":false'*) fail "the server refused" ;; esac
echo "$answer" | grep -q '"packet_type":"Ack".*"'"$client_id"'"' || fail "no ack from $tcp"
echo "$answer" | grep -q '"packet_type":"Message".*"'"$client_id"'"' || fail "no event from $tcp"

# A status is never answered; the ping before it shows that somebody is there.
pong=$(echo '{"packet_type":"Ping","nonce":1}' | nc -u -w 1 "${udp%:*}" "${udp##*:}") || true
case $pong in *Pong*) echo "$pong" ;; *) fail "no pong from $udp" ;; esac
echo '{"packet_type":"Status","user_id":1,"status_data":"online"}' | nc -u -w 1 "${udp%:*}" "${udp##*:}" || true
echo '{"packet_type":"Status","user_id":1,"status_data":"offline"}' | nc -u -w 1 "${udp%:*}" "${udp##*:}" || true
