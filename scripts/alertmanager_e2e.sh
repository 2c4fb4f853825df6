#!/bin/sh
# Holds our webhook body against a real Alertmanager's.
#
# Debian's Alertmanager is run on loopback, told of tests/fixtures/webhook/alerts.json, and what it posts must be,
# byte for byte, tests/golden/webhook.json, which the tests hold our own body against. `--update` writes it anew.
set -eu

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

alertmanager=prometheus-alertmanager
if ! command -v "$alertmanager" >/dev/null; then
    # No service is to be started: where one would be, a runlevel of 1 keeps Debian's scripts from it.
    apt-get update --quiet
    RUNLEVEL=1 apt-get install --quiet --yes --no-install-recommends "$alertmanager"
fi

python3 scripts/alertmanager_e2e.py "$alertmanager" "$work" "$@"
