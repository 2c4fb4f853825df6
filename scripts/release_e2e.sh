#!/usr/bin/env bash
# Tries a release as an operator gets it: the sums, the tarball as it is unpacked, and the package in a fresh Debian with
# nothing else, where the program checks a configuration and reads simulated panels.
#
# Needs root on Debian, mmdebstrap, objdump, and what release.sh needs. Debian comes from where this machine's does.
#   DIST   folder with a release; without it, one is built
#   SUITE  the Debian; this machine's by default
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/lib.sh

target=$(uname -m)-unknown-linux-gnu
if [ -z "${DIST:-}" ]; then
    DIST=$work/dist scripts/release.sh "$target"
fi
dist=$(realpath "${DIST:-$work/dist}")
(cd "$dist" && sha256sum --check --quiet SHA256SUMS) || fail "the sums"

echo "The tarball"
mkdir "$work/tarball"
tar --extract --file="$dist/$(basename "$dist"/proxymeter-*-"$target".tar.gz)" --directory="$work/tarball" --strip-components=1
program=$work/tarball/proxymeter
env --ignore-environment "$program" --version
for file in README.md LICENSE-MIT exporter.example.toml man/proxymeter-scrape.1 completions/_proxymeter grafana/fleet.json \
    alerts/targets.rules.yml packaging/systemd/proxymeter.service packaging/compose/compose.yaml; do
    [ -s "$work/tarball/$file" ] || fail "the tarball has no $file"
done
newest=$(objdump -T "$program" | grep -o 'GLIBC_[0-9.]*' | sort --unique --version-sort | tail -n 1)
echo "It needs ${newest/_/ }"
[ "$(printf '%s\n' "$newest" GLIBC_2.28 | sort --version-sort | tail -n 1)" = GLIBC_2.28 ] || fail "glibc is too new"
for folder in "$PWD" "$HOME"; do
    ! grep --quiet --text --fixed-strings "$folder/" "$program" "$dist"/*.cdx.json || fail "$folder is in the release"
done

# Where this machine gets its own Debian from, without updates and security.
own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Release: $own" | head -n 1)
suite=${SUITE:-$own}
echo "The package in a fresh Debian: $suite"
root=$work/debian
mmdebstrap --quiet --variant=apt "$suite" "$root" "$mirror" >"$work/mmdebstrap.log" 2>&1 || fail "mmdebstrap"
inside() { chroot "$root" env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
cp "$dist"/proxymeter_*_"$(dpkg --print-architecture)".deb "$root/tmp/proxymeter.deb"
cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
inside apt-get update >"$work/update.log" 2>&1 || fail "apt-get update"
inside apt-get install --yes --no-install-recommends /tmp/proxymeter.deb >"$work/install.log" 2>&1 || fail "apt-get install"
inside proxymeter --version
for file in usr/share/man/man1/proxymeter.1.gz usr/share/bash-completion/completions/proxymeter etc/proxymeter/exporter.toml \
    usr/share/proxymeter/alerts/targets.rules.yml usr/share/proxymeter/grafana/fleet.json; do
    [ -s "$root/$file" ] || fail "the package has no $file"
done
[ -s "$root/usr/lib/systemd/system/proxymeter.service" ] || [ -s "$root/lib/systemd/system/proxymeter.service" ] || fail "no unit"

# The panels are outside, on loopback.
"$program" demo --panels-only --users=20 --web.listen-address=127.0.0.1:0 >"$work/exporter.toml" 2>"$work/panels.log" &
started+=($!)
until_true 20 "the panels print their configuration" grep -q '^password' "$work/exporter.toml"
install --owner=65534 --mode=600 "$work/exporter.toml" "$root/tmp/exporter.toml"
as_nobody() { chroot --userspec=65534:65534 "$root" /usr/bin/proxymeter "$@" --config.file=/tmp/exporter.toml; }
as_nobody check-config
as_nobody scrape >"$work/metrics" 2>"$work/scrape.log" || fail "scrape"
tail -n 4 "$work/scrape.log"
targets=$(grep -c '^\[\(marzban\|xui\|cliproxy\)\.[^.]*]' "$work/exporter.toml")
[ "$(grep -c '^proxymeter_up{.*} 1$' "$work/metrics")" = "$targets" ] || fail "not all of $targets targets are up"
grep -q '^proxymeter_user_info{' "$work/metrics" || fail "there are no users"

inside apt-get purge --yes proxymeter >"$work/purge.log" 2>&1 || fail "apt-get purge"
left=$(find "$root/etc" "$root/usr" -path '*proxymeter*')
[ -z "$left" ] || fail "a purge leaves $left"
echo "It installs, works and goes"
