#!/bin/sh
# The bare `ws` in one process of Node.
set -eu
. "$(dirname "$0")/install.sh"
case $1 in
install) node_modules ;;
version) node_version ws ;;
serve) NODE_ENV=production exec node "$peers/node/ws.js" "$2" ;;
esac
