#!/bin/sh
# NATS core, as it comes.
set -eu
. "$(dirname "$0")/install.sh"
case $1 in
install) apt nats-server nats-server ;;
version) nats-server --version ;;
serve) exec nats-server --addr 127.0.0.1 --port "$2" ;;
esac
