#!/usr/bin/env bash
# Runs the demo, a Prometheus that scrapes it and loads alerts/*.yml, and an Alertmanager. Asks every query of every
# dashboard: each returns data, with all targets and with each single one. Then compares the alerts of the demo with those of
# Prometheus and Alertmanager, and stops the demo: no panel may be green.
#
# Needs curl, prometheus, prometheus-alertmanager and Python.
#   PROXYMETER  the program; target/debug/proxymeter by default
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
proxymeter=${PROXYMETER:-$here/target/debug/proxymeter}
source "$here/scripts/lib.sh"

for tool in curl prometheus prometheus-alertmanager python3 "$proxymeter"; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done

"$proxymeter" demo --web.listen-address=127.0.0.1:0 >"$work/demo-says.log" 2>"$work/demo.log" &
demo=$!
started+=("$demo")
until_true 30 "the demo prints its address" grep -qs 'http://.*/metrics' "$work/demo-says.log"
metrics=$(grep -o 'http://[^ ]*/metrics' "$work/demo-says.log" | head -n 1)

# Rules that are evaluated once an hour are evaluated all the time, so that there is data.
mkdir "$work/rules"
for rules in "$here"/alerts/*.yml; do
    sed -E 's/^( *)interval: .*/\1interval: 5s/' "$rules" >"$work/rules/${rules##*/}"
done
start_alertmanager

address=${metrics#http://}
cat >"$work/prometheus.yml" <<YAML
global: { scrape_interval: 5s, scrape_timeout: 4s, evaluation_interval: 5s }
rule_files: ["rules/*.yml"]
alerting: { alertmanagers: [{ static_configs: [{ targets: ["$alertmanager"] }] }] }
scrape_configs:
  - job_name: proxymeter
    static_configs: [{ targets: ["${address%/metrics}"] }]
YAML
port=$(free_port)
server=http://127.0.0.1:$port
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" --log.level=warn \
    --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
started+=($!)
until_true 30 "Prometheus is ready" is_ready "$server"

cd "$here"
python3 scripts/dashboards_e2e.py "$server" data || fail "not every query returns data"
python3 scripts/alerts_e2e.py "$server" "http://$alertmanager" || fail "the alerts differ"
kill -TERM "$demo"
wait "$demo" || fail "the demo exited with $?"
python3 scripts/dashboards_e2e.py "$server" stopped || fail "a dead exporter is not seen"
