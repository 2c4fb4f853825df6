#!/usr/bin/env bash
# Runs the demo and looks at its status page with a headless Chromium: light, dark, on a tablet and on phones. Nothing
# may stick out, be hard to read or run a script. Everything listens on loopback and ends with it.
#
# Pages that the demo never has (hostile names, targets and receivers that fail) are written by a test.
#
# Needs cargo, chromium, curl and Python.
#   PROXYMETER  the program; target/debug/proxymeter by default
#   USERS       of the simulated panel; 4213 by default
#   SHOTS       a folder that keeps the screenshots; by default they go with the rest
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
proxymeter=${PROXYMETER:-$here/target/debug/proxymeter}
work=$(mktemp -d)
demo=

fail() {
    printf '\nFAILED: %s\n' "$*" >&2
    tail -n 20 "$work/demo.log" >&2 || true
    exit 1
}
clean_up() {
    if [ -n "$demo" ]; then kill "$demo" 2>/dev/null || true; wait "$demo" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# until_true SECONDS WHAT COMMAND…: tries twice a second.
until_true() {
    local tries=$(($1 * 2)) what=$2
    shift 2
    while ! "$@"; do
        kill -0 "$demo" 2>/dev/null || fail "the demo ended before $what"
        [ $((tries -= 1)) -gt 0 ] || fail "waited too long: $what"
        sleep 0.5
    done
}
get() { curl --silent --show-error --fail --max-time 10 "$@"; }

for tool in cargo chromium curl python3 "$proxymeter"; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done

mkdir "$work/pages"
(cd "$here" && PROXYMETER_PAGES=$work/pages cargo test --quiet --locked --lib pages_to_look_at >"$work/demo.log" 2>&1) ||
    fail "the pages are not written"
"$proxymeter" demo --users="${USERS:-4213}" --web.listen-address=127.0.0.1:0 >"$work/demo-says.log" 2>"$work/demo.log" &
demo=$!
until_true 60 "the demo tells its address" grep -qs 'http://.*/metrics' "$work/demo-says.log"
metrics=$(grep -o 'http://[^ ]*/metrics' "$work/demo-says.log" | head -n 1)
base=${metrics%/metrics}

# Both lists read, a node that failed, and both receivers told of it.
lists_are_read() { [ "$(get "$base/" 2>/dev/null | grep -c 'Showing 10 of')" -ge 3 ]; }
node_is_down() { get "$base/api/v1/alerts" | grep -q ProxymeterNodeDown; }
both_are_told() { [ "$(get "$metrics" | grep -c '^proxymeter_notification_last_success_timestamp_seconds')" = 2 ]; }
until_true 120 "the lists are read" lists_are_read
until_true 150 "a node fails" node_is_down
until_true 60 "both receivers are told" both_are_told

python3 "$here/scripts/pages_e2e.py" "$base" "${SHOTS:-$work/shots}" "$work"/pages/*.html || fail "the status page is not as it should be"
kill -TERM "$demo"
wait "$demo" || fail "the demo exited with $?"
demo=
