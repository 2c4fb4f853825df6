#!/usr/bin/env bash
# Checks alerts/ and packaging/prometheus: the rules and their tests, the configurations of Prometheus and Alertmanager,
# which receivers get an alert, which alerts inhibit others, and which labels are dropped on the way. The last two are asked
# of a real Alertmanager and Prometheus on loopback, which end with the script.
#
# Needs amtool, curl, promtool, prometheus, prometheus-alertmanager, and a Python with PyYAML.
#   PYTHON      the Python; python3 by default
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
source scripts/lib.sh
for tool in amtool curl promtool prometheus prometheus-alertmanager "$python"; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done

promtool check rules alerts/*.rules.yml
promtool test rules alerts/tests/*.test.yml
"$python" scripts/prometheus_examples.py lint

cp -r packaging/prometheus "$work/etc"
cp -r alerts "$work/etc/"
for config in prometheus both-sources; do promtool check config "$work/etc/$config.yml"; done
amtool check-config packaging/prometheus/alertmanager.yml

# receivers EXPECTED LABEL=VALUE…
receivers() {
    local expected=$1 got
    shift
    got=$(amtool config routes test --config.file=packaging/prometheus/alertmanager.yml "$@" 2>/dev/null)
    [ "$got" = "$expected" ] || fail "$* goes to $got, not to $expected"
}
receivers oncall,ops severity=critical alertname=ProxymeterTargetDown target=home
receivers ops severity=warning alertname=ProxymeterHostDisk target=home
receivers ops severity=warning alertname=ProxymeterUserQuota target=home
receivers ops severity=info alertname=ProxymeterUserExpiry target=edge

start_alertmanager
"$python" scripts/prometheus_examples.py inhibit "http://$alertmanager"

cat >"$work/etc/alerts/targets.rules.yml" <<'YAML'
groups:
  - name: relabelled
    rules:
      - alert: ProxymeterRelabelled
        expr: vector(1)
        labels: { severity: info, job: proxymeter, target: home, kind: user, subject: ann, step: 80%, system: marzban }
      - alert: Other
        expr: vector(1)
        labels: { severity: info, job: node, target: home }
YAML
port=$(free_port)
sed -i -e "s/127.0.0.1:9093/$alertmanager/" -e 's/127.0.0.1:10057/127.0.0.1:9/' \
    -e 's/evaluation_interval: .*/evaluation_interval: 1s/' "$work/etc/both-sources.yml"
prometheus --config.file="$work/etc/both-sources.yml" --storage.tsdb.path="$work/tsdb" --log.level=warn \
    --web.listen-address="127.0.0.1:$port" --rules.alert.resend-delay=1s >"$work/prometheus.log" 2>&1 &
started+=($!)
has_alert() { get "http://$alertmanager/api/v2/alerts?filter=alertname=$1" | grep -q "\"$1\""; }
until_true 60 "Alertmanager has the alerts of Prometheus" has_alert ProxymeterRelabelled
until_true 60 "Alertmanager has the alerts of Prometheus" has_alert Other
"$python" scripts/prometheus_examples.py labels "http://$alertmanager"
