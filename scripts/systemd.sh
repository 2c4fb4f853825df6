#!/usr/bin/env bash
# Checks the systemd unit: it is valid, it restricts the daemon, and the daemon works within these restrictions. Because
# there may be no service manager, scripts/under_filter.py applies the unit's system call filter to a daemon that polls
# simulated panels and writes to its storage.
#
# Needs curl, systemd-analyze, and Debian's python3-seccomp.
#   PROXYMETER  the program; target/debug/proxymeter by default
set -euo pipefail
cd "$(dirname "$0")/.."

proxymeter=$(realpath "${PROXYMETER:-target/debug/proxymeter}")
unit=packaging/systemd/proxymeter.service
# The configuration below contains passwords, and the daemon warns if others can read it.
umask 077
source scripts/lib.sh

echo "The unit is valid"
# The program is not where the package puts it.
sed "s#/usr/bin/proxymeter#$proxymeter#" $unit >"$work/proxymeter.service"
said=$(systemd-analyze verify --man=no "$work/proxymeter.service" 2>&1) || fail "$said"
[ -z "$said" ] || fail "$said"

echo "It restricts the daemon: an exposure of 2.0 at most"
security=$(systemd-analyze security --no-pager --offline=true --threshold=20 "$work/proxymeter.service") || fail "$security"
tail -n 1 <<<"$security"

echo "The daemon works under its system call filter"
"$proxymeter" demo --panels-only --users=20 --web.listen-address=127.0.0.1:0 >"$work/exporter.toml" 2>"$work/panels.log" &
started+=($!)
until_true 20 "the panels print their configuration" grep -q '^password' "$work/exporter.toml"
port=$(free_port)
/usr/bin/python3 scripts/under_filter.py $unit "$proxymeter" --config.file="$work/exporter.toml" \
    --storage.path="$work/storage" --web.listen-address="127.0.0.1:$port" 2>"$work/daemon.log" &
daemon=$!
started+=("$daemon")
until_true 5 "the filter is in force" grep -qs '^Seccomp:.*2$' "/proc/$daemon/status"
is_well() {
    curl --silent --max-time 5 "http://127.0.0.1:$port/metrics" >"$work/metrics" || return 1
    for series in 'proxymeter_up{target="[a-z]*"} 1' 'proxymeter_user_info{.*} 1' 'proxymeter_store_up 1' \
        'process_start_time_seconds [0-9.e+]*' 'process_open_fds [0-9]*'; do
        grep -qx "$series" "$work/metrics" || return 1
    done
    [ -s "$work/storage/proxymeter.db" ]
}
until_true 60 "the daemon works" is_well
# The panels' configuration has no receiver, and the test may run as root: two warnings say so.
! grep -E 'WARN|ERROR' "$work/daemon.log" | grep -vE 'there is no receiver|running as root' || fail "the daemon complains"
kill "$daemon"
wait "$daemon" || fail "the daemon exited with $?"
echo "It works"
