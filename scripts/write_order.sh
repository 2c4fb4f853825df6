#!/bin/sh
# Watches the system calls of a daemon with two receivers: each notification is on the disk before it is sent, and its
# delivery is on the disk before the next one is sent. Needs cargo, strace, and Python 3.11.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Some containers forbid ptrace.
strace -f -o "$work/probe" true || {
    echo "strace cannot trace here: the order of writes was NOT checked" >&2
    exit 1
}

cargo build --quiet --locked
python3 scripts/write_order.py "${CARGO_TARGET_DIR:-target}/debug/proxymeter" "$work"
