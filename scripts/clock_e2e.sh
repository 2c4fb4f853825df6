#!/bin/sh
# Runs the daemon with a wall clock that jumps, by Debian's libfaketime.
set -eu
cd "$(dirname "$0")/.."

LIBFAKETIME=$(find /usr/lib /usr/local/lib -name libfaketimeMT.so.1 2>/dev/null | head -n 1)
[ -n "$LIBFAKETIME" ] || { echo "libfaketime is missing: install faketime" >&2; exit 1; }
export LIBFAKETIME
cargo test --quiet --locked --test it -- --ignored --nocapture crash::clock::
