#!/bin/sh
# Holds our webhook body against a real Alertmanager's.
#
# Debian's Alertmanager is run on loopback, told of tests/fixtures/webhook/alerts.json, and what it posts must be,
# byte for byte, tests/golden/webhook.json, which the tests hold our own body against. `--update` writes it anew.
set -eu

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

alertmanager=$(command -v alertmanager || command -v prometheus-alertmanager || true)
if [ -z "$alertmanager" ]; then
    # Debian keeps the templates that it will not start without apart from the program, so unpacking is not enough.
    # No service is to be started: where one would be, that is what a runlevel of 1 tells Debian's scripts.
    RUNLEVEL=1 apt-get install --quiet --yes --no-install-recommends prometheus-alertmanager
    alertmanager=prometheus-alertmanager
fi

python3 scripts/alertmanager_e2e.py "$alertmanager" "$work" "$@"
