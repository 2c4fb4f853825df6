#!/usr/bin/env bash
# Builds what a release consists of, for one target or several, in dist/:
#
#   proxymeter-VERSION-TARGET.tar.gz    program, unit, example, man pages, completions, dashboards, rules, documents
#   proxymeter_VERSION_ARCH.deb         the same as a package, for targets with glibc
#   proxymeter-VERSION-TARGET.cdx.json  what is in the program (SBOM), in CycloneDX
#   SHA256SUMS                          sums of all files in dist/
#
#   scripts/release.sh                              for this machine
#   scripts/release.sh x86_64-unknown-linux-musl    static, for any Linux
#   scripts/release.sh aarch64-unknown-linux-gnu    for glibc 2.28 and later
#
# Zig links, so that one machine builds for all. The same commit, compiler and folder give the same files.
#
# Needs cargo, git, dpkg-deb, and a Python with venv. The other tools are installed in target/tools once. A target that is
# not this machine's needs its standard library: rustup adds it, if there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

fail() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
host=$(rustc -vV | sed -n 's/^host: //p')
[ $# -gt 0 ] || set -- "$host"

# Of the commit, so that two builds are the same.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
# No folder of this machine gets into the program, neither from Rust nor from C.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)
remap="$PWD=. $cargo_home=cargo $sysroot=rust"
export RUSTFLAGS=${RUSTFLAGS:-} CFLAGS=${CFLAGS:-}
for pair in $remap; do
    RUSTFLAGS+=" --remap-path-prefix=$pair"
    CFLAGS+=" -ffile-prefix-map=$pair"
done

target_dir=${CARGO_TARGET_DIR:-target}
tools=$(realpath -m "${TOOLS:-target/tools}")
# tool NAME VERSION: installs a tool of cargo once. Unoptimised, because it runs for a moment.
tool() {
    [ -e "$tools/bin/$1-$2" ] && return
    env -u RUSTFLAGS -u CFLAGS -u CARGO_TARGET_DIR \
        cargo install --quiet --locked --debug --force --root "$tools" "$1@$2"
    touch "$tools/bin/$1-$2"
}
zig=(cargo-zigbuild==0.24.1 ziglang==0.17.1)
if [ "$(cat "$tools/zig" 2>/dev/null)" != "${zig[*]}" ]; then
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" install --quiet "${zig[@]}"
    echo "${zig[*]}" >"$tools/zig"
fi
tool cargo-cyclonedx 0.5.9
tool cargo-deb 3.8.0
PATH=$tools/venv/bin:$tools/bin:$PATH

# Man pages and completions, by a program that runs here.
pages=target/packaging
write_pages() {
    rm -rf "$pages"
    mkdir -p "$pages/completions"
    "$1" man "$pages/man"
    "$1" completions bash >"$pages/completions/proxymeter"
    "$1" completions zsh >"$pages/completions/_proxymeter"
    "$1" completions fish >"$pages/completions/proxymeter.fish"
}

build() {
    local target=$1 name=proxymeter-$version-$1 libc='' built
    printf '\n=== %s\n' "$target"
    case $target in *-gnu) libc=.2.28 ;; esac
    # Where the compiler was not installed by rustup, the library must be there.
    [ -d "$sysroot/lib/rustlib/$target" ] || rustup target add "$target" ||
        fail "there is no standard library of Rust for $target"
    cargo zigbuild --release --locked --target "$target$libc"
    built=$target_dir/$target/release/proxymeter
    case $target in
        "${host%-*}"-*) write_pages "$built" ;;
        *)
            env -u RUSTFLAGS -u CFLAGS cargo build --locked
            write_pages "$target_dir/debug/proxymeter"
            ;;
    esac

    # Only what git knows: a checkout in use may have secrets in packaging/compose.
    mkdir "$work/$name"
    git ls-files -z README.md README.zh-CN.md SECURITY.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE exporter.example.toml alerts \
        docs grafana/*.json grafana/provisioning packaging ':!packaging/image' |
        xargs -0 cp --parents --target-directory="$work/$name"
    cp -r "$built" "$pages/man" "$pages/completions" "$work/$name"
    tar --create --directory="$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
        --mode=u+rw,go=u,go-w "$name" | gzip --no-name --best >"$dist/$name.tar.gz"

    cargo cyclonedx -qq --format json --spec-version 1.5 --target "$target" --override-filename "$name.cdx"
    # It names this folder and gives every run a number of its own.
    sed -e "s#path+file://$PWD##" -e '/"serialNumber":/d' "$name.cdx.json" >"$dist/$name.cdx.json"
    rm "$name.cdx.json"

    case $target in
        *-gnu)
            cargo deb --quiet --no-build --locked --variant=release --target "$target" --output "$dist/"
            ;;
    esac
}

dist=$(realpath -m "${DIST:-dist}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$dist"
for target in "$@"; do build "$target"; done
cd "$dist"
rm -f SHA256SUMS
find . -maxdepth 1 -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" .
printf '\n'
cat SHA256SUMS
