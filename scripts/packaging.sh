#!/usr/bin/env bash
# Holds what comes with the program to what can be known without a container runtime: that compose.yaml mounts what is
# there, that Prometheus takes its configuration and every query of the dashboards, that proxymeter takes its own, and
# that what the image's build sees compiles.
#
# Needs cargo, promtool, and a Python with PyYAML.
#   PROXYMETER  the program; target/debug/proxymeter by default
#   PYTHON      the Python; python3 by default
set -euo pipefail
cd "$(dirname "$0")/.."

proxymeter=${PROXYMETER:-target/debug/proxymeter}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }

compose=packaging/compose
"${PYTHON:-python3}" scripts/packaging.py "$work"

promtool check config "$compose/prometheus.yml"
promtool check rules "$work/queries.yml"

# In the containers secrets are elsewhere.
mkdir "$work/secrets"
(umask 077 && echo swordfish >"$work/secrets/marzban")
sed "s#/run/secrets/#$work/secrets/#" "$compose/proxymeter/exporter.example.toml" >"$work/exporter.toml"
"$proxymeter" check-config --config.file="$work/exporter.toml"

# What .dockerignore lets in. The folder is always the same one, and times are kept, so that only changes are compiled.
image=target/image
rm -rf "$image"
mkdir -p "$image"
grep '^!' .dockerignore | cut -c2- | xargs -I{} cp -r --preserve=timestamps {} "$image"
cargo check --manifest-path="$image/Cargo.toml" --locked --target-dir=target ||
    fail "what the image's build sees does not compile"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
grep -qF "org.opencontainers.image.version=\"$version\"" Dockerfile || fail "the Dockerfile is not of version $version"
grep -qF "image: proxymeter:$version" "$compose/compose.yaml" || fail "compose.yaml is not of version $version"
