#!/usr/bin/env bash
# Builds with the oldest compiler that Cargo.toml allows. Needs rustup, and installs that compiler if it is
# missing.
set -euo pipefail
cd "$(dirname "$0")/.."

oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
rustup run "$oldest" rustc --version 2>/dev/null || rustup toolchain install "$oldest" --profile minimal
rustup run "$oldest" cargo check --locked --target-dir target/msrv
