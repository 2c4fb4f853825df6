#!/usr/bin/env bash
# Measures the figures at the head of the calculation in docs/scaling.md: what a shard needs for each panel and user, and
# what Debian's Prometheus needs for each series. All panels are one simulated panel under several names.
# Everything listens on loopback, and ends with the script. Takes about five minutes.
#
#   TARGETS     50 by default
#   USERS       of each; 1000 by default
#   PROXYMETER  the program; target/release/proxymeter by default
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

proxymeter=${PROXYMETER:-target/release/proxymeter} users=${USERS:-1000}
for tool in prometheus python3 "$proxymeter"; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done

"$proxymeter" demo --panels-only --users="$users" --log.level=warn >"$work/demo.toml" 2>"$work/panels.log" &
started+=($!)
until_true 60 "the panels print their configuration" grep -q '^management_key = ' "$work/demo.toml"
python3 scripts/scaling_figures.py "$proxymeter" prometheus "$work" "${TARGETS:-50}" "$users" || fail "no figures"
