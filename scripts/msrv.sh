#!/usr/bin/env bash
# Builds with the oldest compiler that Cargo.toml allows. Needs rustup; installs that compiler if it is missing.
#   MSRV  "present" only says so where that compiler is missing
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if ! rustup run "$oldest" rustc --version 2>/dev/null; then
    if [ "${MSRV:-}" = present ]; then
        echo "Rust $oldest not tried: it is not installed here"
        exit
    fi
    rustup toolchain install "$oldest" --profile minimal
fi
rustup run "$oldest" cargo check --locked --target-dir target/msrv
