# Sourced by scripts that start processes. Sets $work, a temporary folder. At the end of the script, every process in
# the array `started` is stopped and the folder removed.

work=$(mktemp -d)
started=()

# fail WHAT…: exits with 1 and prints the ends of the logs in $work.
fail() {
    printf '\nFAILED: %s\n' "$*" >&2
    for log in "$work"/*.log; do
        [ ! -s "$log" ] || { printf -- '--- end of %s\n' "${log##*/}"; tail -n 20 "$log"; } >&2
    done
    exit 1
}

clean_up() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# until_true SECONDS WHAT COMMAND…: runs the command once a second until it succeeds. Fails after so many seconds, and
# if a process in `started` ends.
until_true() {
    local tries=$1 what=$2
    shift 2
    until "$@"; do
        for pid in "${started[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a process ended before: $what"; done
        [ $((tries -= 1)) -gt 0 ] || fail "waited too long: $what"
        sleep 1
    done
}

get() { curl --silent --show-error --fail --max-time 60 "$@"; }

free_port() { "${PYTHON:-python3}" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# start_alertmanager: starts an Alertmanager with the example's configuration and sets $alertmanager, its address. Nothing is
# sent: the receivers are on a closed port of this machine.
start_alertmanager() {
    alertmanager=127.0.0.1:$(free_port)
    sed -e 's#https://hooks.example.com#http://127.0.0.1:9#' -e 's/smtp.example.com:587/127.0.0.1:9/' \
        "$(dirname "${BASH_SOURCE[0]}")/../packaging/prometheus/alertmanager.yml" >"$work/alertmanager.yml"
    prometheus-alertmanager --config.file="$work/alertmanager.yml" --storage.path="$work/alertmanager" --log.level=error \
        --web.listen-address="$alertmanager" --cluster.listen-address= >"$work/alertmanager.log" 2>&1 &
    started+=($!)
    until_true 30 "Alertmanager is ready" is_ready "http://$alertmanager"
}

# is_ready URL: whether a server of the Prometheus family is.
is_ready() { get "$1/-/ready" >/dev/null 2>&1; }
