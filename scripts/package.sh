#!/bin/bash
# Builds what packages are made of, in target/package: the binary, completions, the manual page, and
# a bill of materials; with cargo-deb installed a Debian package too.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-release}
out=target/package
mkdir -p "$out"
cargo build --profile "$profile" --locked --bin pgweir
built="target/${profile/#dev/debug}/pgweir"
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
