# Sourced by the scripts beside it: how a peer is installed where it is missing.
# Each script knows three words: `install`; `version`; `serve PORT FOLDER`, which becomes the server.

peers=$(cd "$(dirname "$0")" && pwd)

has() {
    command -v "$1" >/dev/null 2>&1
}

# apt PROGRAM PACKAGE...: Debian's packages, unless the program is there.
apt() {
    program=$1
    shift
    has "$program" && return
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    $as_root apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "$@"
}

# node_modules: what package-lock.json names, from npm.
node_modules() {
    apt node nodejs
    apt npm npm
    [ -d "$peers/node/node_modules/ws" ] || npm ci --silent --no-audit --no-fund --prefix "$peers/node"
}

# node_version PACKAGE
node_version() {
    echo "$1 $(node -p "require('$peers/node/node_modules/$1/package.json').version"), Node $(node --version)"
}

# As many connections as the machine allows.
ulimit -n "$(ulimit -Hn)"
