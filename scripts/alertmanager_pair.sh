#!/usr/bin/env bash
# Runs two exporters that watch one simulated panel and post their alerts to a clustered pair of Debian's Alertmanagers.
# Each firing and each end must cause one notification, while exporters and Alertmanagers are killed and come back.
# Everything listens on loopback, and ends with the script. Takes about five minutes, as panels that were down are polled less often.
#
#   PROXYMETER  the program; target/debug/proxymeter by default
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

proxymeter=${PROXYMETER:-target/debug/proxymeter}
for tool in prometheus-alertmanager python3 "$proxymeter"; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done

"$proxymeter" demo --panels-only --users=20 --log.level=warn >"$work/demo.toml" 2>"$work/panels.log" &
started+=($!)
until_true 60 "the panels print their configuration" grep -q '^api_key = ' "$work/demo.toml"
python3 scripts/alertmanager_pair.py "$proxymeter" prometheus-alertmanager "$work" || fail "not each alert was notified once"
