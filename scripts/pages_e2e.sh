#!/usr/bin/env bash
# Runs the demo and checks its status page with a headless Chromium: light, dark, on a tablet and on phones. Nothing
# may stick out, be hard to read or run a script. Everything listens on loopback, and ends with the script.
#
# A test writes the pages that the demo never has (hostile names, targets and receivers that fail).
#
# Needs cargo, chromium, curl and Python.
#   PROXYMETER  the program; target/debug/proxymeter by default
#   USERS       of the simulated panel; 4213 by default
#   SHOTS       a folder that keeps the screenshots; by default they go with the rest
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
proxymeter=${PROXYMETER:-$here/target/debug/proxymeter}
source "$here/scripts/lib.sh"

for tool in cargo chromium curl python3 "$proxymeter"; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done

mkdir "$work/pages"
(cd "$here" && PROXYMETER_PAGES=$work/pages cargo test --quiet --locked --lib pages_to_look_at >"$work/demo.log" 2>&1) ||
    fail "the pages are not written"
"$proxymeter" demo --users="${USERS:-4213}" --web.listen-address=127.0.0.1:0 >"$work/demo-says.log" 2>"$work/demo.log" &
demo=$!
started+=("$demo")
until_true 60 "the demo prints its address" grep -qs 'http://.*/metrics' "$work/demo-says.log"
metrics=$(grep -o 'http://[^ ]*/metrics' "$work/demo-says.log" | head -n 1)
base=${metrics%/metrics}

# Both lists are read, a node failed, and both receivers got the alert.
lists_are_read() { [ "$(get "$base/" 2>/dev/null | grep -c 'Showing 10 of')" -ge 3 ]; }
node_is_down() { get "$base/api/v1/alerts" | grep -q ProxymeterNodeDown; }
both_are_notified() { [ "$(get "$metrics" | grep -c '^proxymeter_notification_last_success_timestamp_seconds')" = 2 ]; }
until_true 120 "the lists are read" lists_are_read
until_true 150 "a node fails" node_is_down
until_true 60 "both receivers get the alert" both_are_notified

python3 "$here/scripts/pages_e2e.py" "$base" "${SHOTS:-$work/shots}" "$work"/pages/*.html || fail "the status page is not as it should be"
kill -TERM "$demo"
wait "$demo" || fail "the demo exited with $?"
