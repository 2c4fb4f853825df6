#!/usr/bin/env bash
# Builds the image from the static programs in dist/, which scripts/release.sh made for x86_64-unknown-linux-musl,
# aarch64-unknown-linux-musl or both.
#
#   scripts/image.sh                                              for this machine's processor, as proxymeter:VERSION
#   IMAGE=registry.example.com/proxymeter PUSH=1 scripts/image.sh  for all of dist/, and publishes it
#
# Needs docker with buildx.
#   IMAGE   name without a tag; proxymeter by default
#   PUSH    publishes the image. Its digest is then in dist/image.digest
#   DOCKER  docker by default
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }

image=${IMAGE:-proxymeter}
dist=${DIST:-dist}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

platforms=
for pair in x86_64=amd64 aarch64=arm64; do
    name=proxymeter-$version-${pair%=*}-unknown-linux-musl arch=${pair#*=}
    [ -e "$dist/$name.tar.gz" ] || continue
    # Only an image that is published can have several.
    [ -n "${PUSH:-}" ] || [ "$(uname -m)" = "${pair%=*}" ] || continue
    mkdir "$work/$arch"
    tar --extract --file="$dist/$name.tar.gz" --directory="$work/$arch" --strip-components=1 "$name/proxymeter"
    platforms+=${platforms:+,}linux/$arch
done
[ -n "$platforms" ] || fail "there is no static program in $dist: run scripts/release.sh x86_64-unknown-linux-musl"

"${DOCKER:-docker}" buildx build --file packaging/image/Dockerfile --platform "$platforms" \
    --build-arg VERSION="$version" --build-arg REVISION="$(git rev-parse --short HEAD)" \
    --tag "$image:$version" --metadata-file "$work/metadata.json" "$([ -n "${PUSH:-}" ] && echo --push || echo --load)" "$work"
if [ -n "${PUSH:-}" ]; then
    sed -n 's/.*"containerimage.digest": "\(sha256:[0-9a-f]*\)".*/\1/p' "$work/metadata.json" >"$dist/image.digest"
    [ -s "$dist/image.digest" ] || fail "the image has no digest"
fi
