#!/bin/sh
# NATS JetStream with file storage, as it comes: it syncs to disk every two minutes.
set -eu
. "$(dirname "$0")/install.sh"
case $1 in
install) apt nats-server nats-server ;;
version) nats-server --version ;;
serve) exec nats-server --addr 127.0.0.1 --port "$2" --jetstream --store_dir "$3" ;;
esac
