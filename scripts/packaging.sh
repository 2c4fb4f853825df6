#!/usr/bin/env bash
# Checks the packaging without a container runtime: compose.yaml mounts only files that exist, the resources for Kubernetes
# fit its schema, the dashboards and the rules of the Prometheus Operator are as they are generated, Prometheus accepts its configuration, every query of the dashboards and the rules that proxymeter prints,
# proxymeter accepts its own configuration, and the files that the image's build gets compile.
#
# Needs cargo, promtool, amtool, and a Python with PyYAML and kubernetes-validate.
#   PROXYMETER  the program; target/debug/proxymeter by default
#   PYTHON      the Python; python3 by default
set -euo pipefail
cd "$(dirname "$0")/.."

proxymeter=${PROXYMETER:-target/debug/proxymeter}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }

"${PYTHON:-python3}" grafana/src/generate.py --check
"${PYTHON:-python3}" scripts/prometheus_rule.py --check
compose=packaging/compose
kubernetes=packaging/kubernetes
"${PYTHON:-python3}" scripts/check_packaging.py "$work"

# The rules are mounted beside it.
cp -r "$compose/prometheus.yml" alerts "$work"
promtool check config "$work/prometheus.yml"
amtool check-config "$compose/alertmanager.yml"
promtool check rules "$work/queries.yml"

# In the containers secrets are elsewhere.
mkdir "$work/secrets"
(umask 077 && echo swordfish >"$work/secrets/marzban")
for example in "$kubernetes/example/exporter.toml" "$compose/proxymeter/exporter.example.toml"; do
    sed -E "s#/run/secrets/(proxymeter/)?#$work/secrets/#" "$example" >"$work/exporter.toml"
    "$proxymeter" check-config --config.file="$work/exporter.toml"
done
"$proxymeter" rules --users --config.file="$work/exporter.toml" >"$work/own.rules.yml"
promtool check rules "$work/own.rules.yml"

# The files that .dockerignore lets in. Folder and times stay the same, so that only changes are compiled.
image=target/image
rm -rf "$image"
mkdir -p "$image"
grep "^!" .dockerignore | cut -c2- | xargs -I{} cp -r --parents --preserve=timestamps {} "$image"
cargo check --manifest-path="$image/Cargo.toml" --locked --target-dir=target ||
    fail "the files that the image's build gets do not compile"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
grep -qF "org.opencontainers.image.version=\"$version\"" Dockerfile || fail "the Dockerfile is not of version $version"
grep -qF "image: \${PROXYMETER_IMAGE:-proxymeter:$version}" "$compose/compose.yaml" || fail "compose.yaml is not of version $version"
grep -qF "image: proxymeter:$version" "$kubernetes/base/statefulset.yaml" || fail "statefulset.yaml is not of version $version"
grep -qF "newTag: $version" "$kubernetes/example/kustomization.yaml" || fail "kustomization.yaml is not of version $version"
