#!/bin/sh
# Socket.IO in one process of Node.
set -eu
. "$(dirname "$0")/install.sh"
case $1 in
install) node_modules ;;
version) node_version socket.io ;;
serve) NODE_ENV=production exec node "$peers/node/socketio.js" "$2" ;;
esac
