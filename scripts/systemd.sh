#!/usr/bin/env bash
# Holds the systemd unit to what it promises: that it is valid, that it leaves the daemon little to do harm with, and
# that the daemon lives with what is left. As a service manager may not be there, the unit's system call filter is put
# into force by scripts/under_filter.py, and a daemon polls simulated panels and writes to its storage under it.
#
# Needs curl, systemd-analyze, and Debian's python3-seccomp.
#   PROXYMETER  the program; target/debug/proxymeter by default
set -euo pipefail
cd "$(dirname "$0")/.."

proxymeter=$(realpath "${PROXYMETER:-target/debug/proxymeter}")
unit=packaging/systemd/proxymeter.service
work=$(mktemp -d)
# The configuration below has passwords in it, and the daemon warns of one that all may read.
umask 077
started=()

fail() {
    printf '\nFAILED: %s\n' "$*" >&2
    for log in "$work"/*.log; do printf -- '--- %s\n' "${log##*/}"; tail -n 20 "$log"; done >&2
    exit 1
}

clean_up() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# until_true SECONDS COMMAND…: tries twice a second.
until_true() {
    local tries=$(($1 * 2))
    shift
    while ! "$@"; do
        [ $((tries -= 1)) -gt 0 ] || return 1
        sleep 0.5
    done
}

echo "The unit is valid"
# The program is not where the package puts it.
sed "s#/usr/bin/proxymeter#$proxymeter#" $unit >"$work/proxymeter.service"
said=$(systemd-analyze verify "$work/proxymeter.service" 2>&1) || fail "$said"
[ -z "$said" ] || fail "$said"

echo "It leaves the daemon little to do harm with: an exposure of 2.0 at most"
security=$(systemd-analyze security --no-pager --offline=true --threshold=20 "$work/proxymeter.service") || fail "$security"
tail -n 1 <<<"$security"

echo "The daemon lives under its system call filter"
"$proxymeter" demo --panels-only --users=20 --web.listen-address=127.0.0.1:0 >"$work/exporter.toml" 2>"$work/panels.log" &
started+=($!)
until_true 20 grep -q '^password' "$work/exporter.toml" || fail "there are no panels"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
/usr/bin/python3 scripts/under_filter.py $unit "$proxymeter" --config.file="$work/exporter.toml" \
    --storage.path="$work/storage" --web.listen-address="127.0.0.1:$port" 2>"$work/daemon.log" &
daemon=$!
started+=("$daemon")
until_true 5 grep -q '^Seccomp:.*2$' "/proc/$daemon/status" || fail "no filter is in force"
is_well() {
    curl --silent --max-time 5 "http://127.0.0.1:$port/metrics" >"$work/metrics" || return 1
    for series in 'proxymeter_up{target="[a-z]*"} 1' 'proxymeter_user_info{.*} 1' 'proxymeter_store_up 1' \
        'process_start_time_seconds [0-9.e+]*' 'process_open_fds [0-9]*'; do
        grep -qx "$series" "$work/metrics" || return 1
    done
    [ -s "$work/storage/proxymeter.db" ]
}
until_true 60 is_well || fail "the daemon does not do its work"
! grep -E 'WARN|ERROR' "$work/daemon.log" || fail "the daemon complains"
kill "$daemon"
wait "$daemon" || fail "the daemon does not end well"
echo "It does"
