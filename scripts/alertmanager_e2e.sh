#!/bin/sh
# Compares our webhook body with a real Alertmanager's.
#
# Debian's Alertmanager runs on loopback and gets tests/fixtures/webhook/alerts.json. Its webhook body must equal
# tests/golden/webhook.json, with which the tests compare our own body. `--update` overwrites that file.
set -eu

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

alertmanager=prometheus-alertmanager
if ! command -v "$alertmanager" >/dev/null; then
    # A runlevel of 1 keeps Debian's scripts from starting the service.
    apt-get update --quiet
    RUNLEVEL=1 apt-get install --quiet --yes --no-install-recommends "$alertmanager"
fi

python3 scripts/alertmanager_e2e.py "$alertmanager" "$work" "$@"
