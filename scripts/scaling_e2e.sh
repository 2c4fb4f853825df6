#!/usr/bin/env bash
# Runs three shards of the exporter on twelve simulated panels, two of Debian's Prometheus that scrape all shards with the
# bundled rules, and clustered pairs of Alertmanagers. One shard is killed, the others take over its panels, and it comes
# back. Each alert must be notified once. Prints how long the panels that moved had no samples.
# Everything listens on loopback, and ends with the script. Takes about four minutes.
#
#   PROXYMETER  the program; target/debug/proxymeter by default
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

proxymeter=${PROXYMETER:-target/debug/proxymeter}
for tool in prometheus prometheus-alertmanager python3 "$proxymeter"; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done

"$proxymeter" demo --panels-only --users=20 --log.level=warn >"$work/demo.toml" 2>"$work/panels.log" &
started+=($!)
until_true 60 "the panels print their configuration" grep -q '^management_key = ' "$work/demo.toml"
python3 scripts/scaling_e2e.py "$proxymeter" prometheus prometheus-alertmanager "$work" || fail "not each alert was notified once"
