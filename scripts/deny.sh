#!/usr/bin/env bash
# Judges the crates that are compiled in by deny.toml: licenses, sources, crates that must not be there, and known holes.
#
# Needs cargo. Installs cargo-deny if it is missing. The database of known holes is on github.com.
#   ADVISORIES  "required" fails where the database cannot be reached; otherwise a line says that holes were not looked for
set -euo pipefail
cd "$(dirname "$0")/.."

# Unoptimised, because it runs for a second.
cargo deny --version >/dev/null 2>&1 || cargo install --quiet --locked --debug cargo-deny@0.20.2
cargo deny --version
cargo deny --locked check bans licenses sources
if timeout 120 cargo deny fetch db 2>/dev/null; then
    cargo deny --locked --offline check advisories
elif [ "${ADVISORIES:-}" = required ]; then
    echo "FAILED: the database of advisories cannot be reached" >&2
    exit 1
else
    echo "advisories not checked: their database cannot be reached"
fi
