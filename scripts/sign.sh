#!/usr/bin/env bash
# Signs what scripts/release.sh and scripts/image.sh made, by cosign without a key: the signature names the identity of the
# caller, which is the workflow's on GitHub, and is written to a public log. docs/install.md says how to verify it.
#
# Needs cosign, and a login at the image's registry.
#   IMAGE  name without a tag, of an image that was published; without it, only the sums are signed
set -euo pipefail
cd "$(dirname "$0")/.."

dist=${DIST:-dist}
cosign sign-blob --yes --bundle "$dist/SHA256SUMS.sigstore.json" "$dist/SHA256SUMS"
if [ -n "${IMAGE:-}" ]; then
    cosign sign --yes "$IMAGE@$(cat "$dist/image.digest")"
fi
