#!/usr/bin/env bash
# Measures the daemon on a simulated panel with many users: memory, size of the page, and the time of a scrape, compared
# with nginx serving the same bytes as a file. Exits with 1 if a limit below is exceeded.
#
# Needs curl, python3 and nginx, which is installed from Debian if it is missing.
#   USERS         50000 by default
#   MAX_PEAK_MB   120 by default
#   MAX_RATIO     3 by default: time of a scrape by time of nginx for the same bytes
#   PROXYMETER    the program; target/release/proxymeter by default, which is then built
set -euo pipefail
cd "$(dirname "$0")/.."

users=${USERS:-50000}
max_peak=${MAX_PEAK_MB:-120}
max_ratio=${MAX_RATIO:-3}
source scripts/lib.sh

if ! command -v nginx >/dev/null; then
    as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
    as_root apt-get update --quiet
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends nginx
    as_root service nginx stop || true # Debian starts it; this script runs its own.
fi
[ -n "${PROXYMETER:-}" ] || cargo build --release --locked
proxymeter=${PROXYMETER:-target/release/proxymeter}

echo "Simulating a panel with $users users …"
"$proxymeter" demo --panels-only --users="$users" --log.level=warn >"$work/demo.toml" 2>"$work/panels.log" &
started+=($!)
until_true 120 "the panels print their configuration" grep -q '^\[marzban\.edge\]' "$work/demo.toml"
# Only the larger panel, whose users are read again and again, as fast as possible.
awk '/^\[marzban\.edge\]/ { exit }
    !/^(load|interval|users_interval) *=/ { print }
    /^\[poll\]/ { print "interval = \"5s\"\nload = \"100%\"\nusers_interval = \"15s\"" }' \
    "$work/demo.toml" >"$work/exporter.toml"

# As the unit and the image run it.
MALLOC_ARENA_MAX=1 "$proxymeter" --config.file="$work/exporter.toml" --web.listen-address=127.0.0.1:0 >"$work/daemon.log" 2>&1 &
daemon=$!
started+=("$daemon")
address() { grep -o 'listening on http://[0-9.:]*' "$work/daemon.log" >"$work/address"; }
until_true 10 "the daemon listens" address
url=$(sed 's/listening on //' "$work/address")/metrics
status_of() { awk -v key="$1:" '$1 == key { printf "%.1f", $2 / 1024 }' "/proc/$daemon/status"; }
last_walk=
walked() {
    local before=$last_walk
    get "$url" >"$work/metrics"
    last_walk=$(grep '^proxymeter_target_part_last_success_timestamp_seconds{.*part="users"' "$work/metrics" || true)
    [ "$last_walk" != "$before" ]
}
echo "Reading the users …"
until_true 600 "the first walk ends" walked
shown=$(grep -c '^proxymeter_user_status{' "$work/metrics" || true)
[ "$shown" = "$users" ] || fail "$shown users are exported instead of $users"
walk=$(awk '/^proxymeter_target_part_poll_duration_seconds{.*part="users"/ { printf "%.2f", $2 }' "$work/metrics")

port=$(free_port)
cat >"$work/nginx.conf" <<CONF
daemon off;
worker_processes 1;
pid $work/nginx.pid;
events {}
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    gzip off;
    default_type text/plain;
    client_body_temp_path $work; proxy_temp_path $work; fastcgi_temp_path $work; uwsgi_temp_path $work; scgi_temp_path $work;
    server { listen 127.0.0.1:$port; root $work; }
}
CONF
chmod 755 "$work" # nginx's worker is another user.
nginx -e stderr -p "$work" -c "$work/nginx.conf" 2>"$work/nginx.log" &
started+=($!)
file=http://127.0.0.1:$port/metrics
head_of() { get --head "$1" >/dev/null 2>&1; }
until_true 10 "nginx answers" head_of "$file"

# timed FILE CURL-ARGUMENTS…: adds the seconds of one request.
timed() { local to=$1; shift; get --output /dev/null --write-out '%{time_total}\n' "$@" >>"$work/$to"; }
median() { sort -n "$work/$1" | awk '{ t[NR] = $1 } END { printf "%.4f", (t[int((NR + 1) / 2)] + t[int(NR / 2) + 1]) / 2 }'; }
size() { get --output /dev/null --write-out '%{size_download}' "$@"; }

echo "Scraping …"
for _ in 1 2 3 4 5; do
    sleep 6 # Longer than the poll interval, so that the page is written again.
    timed fresh "$url"
    timed fresh_gzip --header 'Accept-Encoding: gzip' "$url"
done
# Right after a walk, so that the page stays the same, also as nginx's file.
until_true 60 "another walk ends" walked
for _ in {1..20}; do
    timed ours "$url"
    timed nginx "$file"
    timed ours_gzip --header 'Accept-Encoding: gzip' "$url"
done

bytes=$(size "$url")
bytes_gzip=$(size --header 'Accept-Encoding: gzip' "$url")
series=$(grep -vc '^#' "$work/metrics")
of_users=$(grep -c '^proxymeter_user_' "$work/metrics")
peak=$(status_of VmHWM)
ratio() { awk -v ours="$(median "$1")" -v nginx="$(median nginx)" 'BEGIN { printf "%.2f", ours / nginx }'; }
per_user() { awk -v n="$1" -v users="$users" 'BEGIN { printf "%.1f", n / users }'; }
row() { printf '%-48s %12s %s\n' "$@"; }

echo
row "users" "$users" ""
row "series" "$series" "$(per_user "$of_users") per user"
row "page" "$bytes" "bytes, $(per_user "$bytes") per user"
row "page, gzip" "$bytes_gzip" "bytes"
row "first walk of the user list" "$walk" "s, without rests"
row "peak memory of the daemon (VmHWM)" "$peak" "MB, at most $max_peak"
row "memory of the daemon now (VmRSS)" "$(status_of VmRSS)" "MB"
row "scrape right after a poll, median of 5" "$(median fresh)" "s"
row "scrape right after a poll, gzip, median of 5" "$(median fresh_gzip)" "s"
row "scrape, median of 20" "$(median ours)" "s"
row "scrape, gzip, median of 20" "$(median ours_gzip)" "s"
row "nginx, the same bytes, median of 20" "$(median nginx)" "s"
row "RATIO of a scrape to nginx" "$(ratio ours)" "at most $max_ratio"
row "RATIO of a scrape right after a poll to nginx" "$(ratio fresh)" "at most $max_ratio"

at_most() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a <= b) }'; }
at_most "$peak" "$max_peak" || fail "the daemon needs more than $max_peak MB"
for kind in ours fresh; do
    at_most "$(ratio "$kind")" "$max_ratio" || fail "a scrape takes more than $max_ratio times as long as nginx"
done
