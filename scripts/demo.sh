#!/bin/bash
# Shows what pgweir does on this machine: installs PostgreSQL if there is none (Debian), builds, and
# runs `pgweir demo`. Needs a Rust toolchain. Arguments go to the demo: scripts/demo.sh --rtt 150ms
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh

command -v cargo >/dev/null || {
    echo "No cargo found: install a Rust toolchain, https://rustup.rs" >&2
    exit 1
}
# Debian's package starts a server of its own, which the demo does not touch.
ls /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb >/dev/null 2>&1 || packages initdb postgresql
packages openssl openssl
# A linker is what a Rust toolchain from rustup does not bring.
packages cc gcc libc6-dev

# Optimised, but built in half the time of a release.
cargo build --quiet --locked --profile fast --bin pgweir
exec "${CARGO_TARGET_DIR:-target}/fast/pgweir" demo "$@"
