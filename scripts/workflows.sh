#!/usr/bin/env bash
# Checks .github/workflows by actionlint, which is taken as it is or installed by go. Says so if there is neither.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
actionlint=$(command -v actionlint || true)
if [ -z "$actionlint" ] && command -v go >/dev/null; then
    GOBIN=$work GOFLAGS=-modcacherw go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 2>"$work/go.log" ||
        { cat "$work/go.log" >&2; exit 1; }
    actionlint=$work/actionlint
fi
if [ -z "$actionlint" ]; then
    echo "workflows not checked: there is neither actionlint nor go"
else
    "$actionlint" -shellcheck= -pyflakes=
    echo "workflows ok"
fi
