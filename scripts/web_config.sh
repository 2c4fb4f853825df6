#!/usr/bin/env bash
# Checks the same web configuration files with promtool and proxymeter: both accept the good ones and refuse the bad
# ones, except for the two lists below.
#
# PROXYMETER is the binary. Needs promtool, 2.42 or newer.
set -euo pipefail
cd "$(dirname "$0")/.."
proxymeter=${PROXYMETER:-target/debug/proxymeter}
fixtures=tests/fixtures/web-config

# Keys of exporter-toolkit 0.17 that promtool 2.42 (toolkit 0.8) does not know yet: inline certificates, names of
# clients, and the rate limit. A newer promtool may accept them.
newer=(client-auth-inline client-names rate-limit rate-limit-fraction rate-limit-off tls-inline tls-inline-and-file)

# Files that the toolkit accepts and we refuse, each with the reason in the message:
stricter=(
    # rustls has neither TLS below 1.2, nor suites without forward secrecy and AEAD, nor the curve P-521.
    version-10 version-11 cipher-old curve-p521
    # No client could connect: no version is left, or no authority.
    max-below-min client-ca-junk
    # Would accept every certificate of any public authority.
    verify-without-ca
    # YAML that is not needed here. promtool reads only the first document.
    merge tag second-document
)

listed() { local name=$1 known; shift; for known in "$@"; do [ "$known" != "$name" ] || return 0; done; return 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0 wrong=0
for folder in good bad; do
    for file in "$fixtures/$folder"/*.yml; do
        name=$(basename "$file" .yml)
        count=$((count + 1))
        printf '[web]\nconfig_file = "%s"\n' "$PWD/$file" >"$work/exporter.toml"
        ours=good theirs=good expected=$folder
        "$proxymeter" check-config --config.file="$work/exporter.toml" >"$work/ours" 2>&1 || ours=bad
        promtool check web-config "$file" >"$work/theirs" 2>&1 || theirs=bad
        if listed "$name" "${newer[@]}"; then expected=$theirs; fi
        if listed "$name" "${stricter[@]}"; then expected=good; fi
        if [ "$ours" != "$folder" ] || [ "$theirs" != "$expected" ]; then
            printf '%s: %s for proxymeter, %s for promtool\n' "$file" "$ours" "$theirs" >&2
            cat "$work/ours" "$work/theirs" >&2
            wrong=$((wrong + 1))
        fi
    done
done
[ "$count" -ge 90 ] || { echo "only $count files" >&2; exit 1; }
[ "$wrong" = 0 ] || { echo "$wrong of $count files are judged otherwise than expected" >&2; exit 1; }
echo "$count web configuration files: as expected, ${#newer[@]} newer than promtool 2.42, ${#stricter[@]} refused by us alone"
