#!/bin/sh
# Redis for Pub/Sub: nothing on disk. More clients than its default of 10,000, for the memory of 10,000 connections.
set -eu
. "$(dirname "$0")/install.sh"
case $1 in
install) apt redis-server redis-server ;;
version) redis-server --version ;;
serve) exec redis-server --bind 127.0.0.1 --port "$2" --dir "$3" --save '' --appendonly no --maxclients 15000 ;;
esac
