#!/bin/sh
# Watches the system calls of a daemon that tells two receivers of a simulated panel: what is told is on the disk before
# anybody is asked to take it, and that it was taken is on the disk before the next is sent. Needs cargo, strace, and
# Python 3.11.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Some containers forbid ptrace, without which there is nothing to see.
strace -f -o "$work/probe" true || {
    echo "strace cannot trace here: the order of writes was NOT looked at" >&2
    exit 1
}

cargo build --quiet --locked
python3 scripts/write_order.py "${CARGO_TARGET_DIR:-target}/debug/proxymeter" "$work"
