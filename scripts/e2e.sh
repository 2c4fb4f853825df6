#!/usr/bin/env bash
# Runs the demo and checks what it serves with promtool, the OpenMetrics reference parser, and a Prometheus server that
# scrapes it for a minute. Everything listens on loopback, and ends with the script.
#
# Needs curl, promtool, prometheus, and a Python with prometheus_client.
#   PROXYMETER  the program; target/debug/proxymeter by default
#   PYTHON      the Python; python3 by default
#   SAMPLES     a folder that the tests have filled (MUTATION_SAMPLES) with what is exported of panels whose answers are
#               wrong; without it, only the demo is checked
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
proxymeter=${PROXYMETER:-$here/target/debug/proxymeter}
python=${PYTHON:-python3}
scrapes_for=65
source "$here/scripts/lib.sh"

step() { printf '\n== %s\n' "$*"; }
quiet_get() { get "$@" >/dev/null 2>&1; }

for tool in curl promtool prometheus "$python" "$proxymeter"; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done
"$python" -c 'import prometheus_client' 2>/dev/null || fail "$python has no prometheus_client"

step "proxymeter demo"
"$proxymeter" --version
"$proxymeter" demo --web.listen-address=127.0.0.1:0 >"$work/demo-says.log" 2>"$work/demo.log" &
started+=($!)
demo=$!
until_true 30 "the demo prints its address" grep -q 'http://.*/metrics' "$work/demo-says.log"
metrics=$(grep -o 'http://[^ ]*/metrics' "$work/demo-says.log" | head -n 1)
base=${metrics%/metrics}
until_true 60 "$base/-/ready answers 200" quiet_get "$base/-/ready"
# Once both user lists are read to the end, the page is complete.
users_read() { [ "$(get "$metrics" | grep -c '^proxymeter_target_part_last_success_timestamp_seconds{.*part="users"')" -ge 2 ]; }
until_true 60 "the demo's panels are read" users_read
echo "$metrics has $(get "$metrics" | grep -vc '^#') series"

step "promtool check metrics"
get "$metrics" >"$work/classic.txt"
promtool check metrics <"$work/classic.txt" >"$work/promtool.log" 2>&1 || fail "promtool refuses the text"
[ ! -s "$work/promtool.log" ] || fail "promtool complains about the text"
echo "no complaints"

if [ -n "${SAMPLES:-}" ]; then
    step "promtool check metrics, of panels whose answers are wrong"
    for sample in "$SAMPLES"/*.prom; do
        promtool check metrics <"$sample" >"$work/promtool.log" 2>&1 || fail "promtool refuses $sample"
        [ ! -s "$work/promtool.log" ] || fail "promtool complains about $sample"
        # Not every version of promtool looks for series that come twice.
        grep -av '^#' "$sample" | LC_ALL=C sed 's/ [^ ]*$//' | LC_ALL=C sort | uniq -d >"$work/twice.log"
        [ ! -s "$work/twice.log" ] || fail "a series comes twice in $sample"
    done
    echo "no complaints about $(ls "$SAMPLES" | wc -l) samples"
fi

step "OpenMetrics, read by prometheus_client"
get --header 'Accept: application/openmetrics-text;version=1.0.0' --dump-header "$work/headers.log" "$metrics" >"$work/open.txt"
grep -qi '^content-type: application/openmetrics-text; *version=1\.0\.0' "$work/headers.log" ||
    fail "not sent as OpenMetrics"
"$python" "$here/scripts/check_openmetrics.py" <"$work/open.txt" 2>"$work/parser.log" ||
    fail "the OpenMetrics text is refused"
get --compressed --header 'Accept-Encoding: gzip' "$metrics" | tail -c 1 | od -An -c | grep -q '\\n' ||
    fail "the compressed answer does not unpack to whole lines"

step "Prometheus, scraping every 5 s for $scrapes_for s"
cat >"$work/prometheus.yml" <<YAML
global: { scrape_interval: 5s, scrape_timeout: 4s }
scrape_configs:
  - job_name: proxymeter
    static_configs: [{ targets: ["${base#http://}"] }]
YAML
promtool check config "$work/prometheus.yml" >"$work/promtool.log" 2>&1 || fail "the scrape configuration is refused"
prometheus --version 2>&1 | head -n 1
port=$(free_port)
server=http://127.0.0.1:$port
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/tsdb" --log.level=warn \
    --web.listen-address="127.0.0.1:$port" >"$work/prometheus.log" 2>&1 &
started+=($!)
until_true 30 "Prometheus is ready" quiet_get "$server/-/ready"

# holds EXPRESSION: whether it selects anything.
holds() {
    get --get --data-urlencode "query=$1" "$server/api/v1/query" |
        "$python" -c 'import json, sys; sys.exit(not json.load(sys.stdin)["data"]["result"])'
}
until_true 15 "Prometheus has scraped" holds 'up == 1'
for ((second = 0; second < scrapes_for; second++)); do
    kill -0 "$demo" 2>/dev/null || fail "the demo ended"
    sleep 1
done
for claim in \
    'up == 1' \
    'scrape_samples_scraped > 0' \
    'count_over_time(up[60s]) >= 10' \
    'min_over_time(up[60s]) == 1' \
    'min_over_time(proxymeter_up[60s]) == 1' \
    'count(proxymeter_up == 1) == 4' \
    'sum(proxymeter_target_poll_failures_total) == 0' \
    'sum(rate(proxymeter_user_traffic_bytes_total[60s])) > 0' \
    'sum(rate(proxymeter_llm_requests_total[60s])) > 0' \
    'sum(rate(proxymeter_llm_cost_usd_total[60s])) > 0' \
    'sum(proxymeter_llm_usage_gaps_total) + sum(proxymeter_llm_usage_bypassed_total) == 0' \
    'count(proxymeter_llm_budget_used_ratio) > 0' \
    'proxymeter_llm_usage_mode{mode="queue"} == 1' \
    'proxymeter_build_info == 1' \
    'sum(proxymeter_alert_firing) > 0' \
    'proxymeter_notifications_total{receiver="ops"} > 0' \
    'sum(proxymeter_notification_failures_total{receiver!="late"}) == 0' \
    'proxymeter_store_up == 1' \
    'process_resident_memory_bytes > 0'; do
    holds "$claim" || fail "does not hold in Prometheus: $claim"
    echo "holds: $claim"
done
! grep -E 'ingesting|append' "$work/prometheus.log" || fail "Prometheus could not take some samples"

step "the demo ends on SIGTERM"
kill -TERM "$demo"
wait "$demo" || fail "the demo exited with $?"
echo "exit code 0"
