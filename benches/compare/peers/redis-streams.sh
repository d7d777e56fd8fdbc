#!/bin/sh
# Redis for Streams: an fsync before every answer.
set -eu
. "$(dirname "$0")/install.sh"
case $1 in
install) apt redis-server redis-server ;;
version) redis-server --version ;;
serve) exec redis-server --bind 127.0.0.1 --port "$2" --dir "$3" --save '' --appendonly yes --appendfsync always ;;
esac
