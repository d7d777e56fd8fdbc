#!/bin/sh
# Counts the instructions of what chappe does most, and compares them with benches/instructions.toml.
#
#   benches/instructions.sh             all of it: what ./check does
#   benches/instructions.sh post        those with "post" in their names
#   benches/instructions.sh --store     the figures are as they should be: store them
#   benches/instructions.sh --growth    how they grow with the number of members, chats …: series,x,y
#
# What is counted is compiled as for a release, but for linking it whole; the libraries beneath are those of the tests, which
# are there already.
set -eu
cd "$(dirname "$0")/.."
options=
for package in proto actors instructions; do
    for setting in opt-level=3 debug-assertions=false incremental=false codegen-units=1; do
        options="$options --config profile.dev.package.chappe-$package.$setting"
    done
done
# shellcheck disable=SC2086 # a list of options
cargo build --quiet --locked --workspace --bin chappe-instructions $options
exec "${CARGO_TARGET_DIR:-target}/debug/chappe-instructions" "$@"
