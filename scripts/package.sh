#!/bin/bash
# Builds what packages are made of, in target/package: the binary, completions, the manual page, and
# a bill of materials; with cargo-deb installed a Debian package too. The binary is built by the profile of
# a run (scripts/guided.sh), which takes ten minutes more; scripts/package.sh release does without.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-guided}
out=target/package
mkdir -p "$out"
if [ "$profile" = guided ]; then
    # With the laboratory, as when it was counted: without it dependencies have other features, and none of
    # what was counted in them is taken for theirs.
    scripts/guided.sh build --profile release --locked --bin pgweir --bench contest
    built="target/guided/$(rustc --print host-tuple)/release/pgweir"
else
    cargo build --profile "$profile" --locked --bin pgweir
    built="target/${profile/#dev/debug}/pgweir"
fi
install -m 0755 "$built" "$out/pgweir"
for shell in bash zsh fish; do "$built" completions "$shell" >"$out/pgweir.$shell"; done
"$built" man | gzip -9n >"$out/pgweir.1.gz"
scripts/sbom.py >"$out/pgweir.cdx.json"
if cargo deb --version >/dev/null 2>&1; then
    cargo deb --no-build --no-strip --output "$out/"
else
    echo "no Debian package: cargo install cargo-deb" >&2
fi
ls -l "$out"
