#!/bin/sh
# Shows what pgweir does on this machine: installs PostgreSQL if there is none (Debian), builds, and
# runs `pgweir demo`. Needs a Rust toolchain. Arguments go to the demo: scripts/demo.sh --rtt 150ms
set -eu
cd "$(dirname "$0")/.."

have_postgres() {
    command -v initdb >/dev/null && command -v postgres >/dev/null && return
    for initdb in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb; do
        [ -x "$initdb" ] && return
    done
    return 1
}

# apt as root, by way of sudo where that is needed.
install() {
    command -v apt-get >/dev/null || {
        echo "Please install $*, then run this again." >&2
        exit 1
    }
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    echo "Installing $* ..." >&2
    $root apt-get update -qq
    # Debian's package starts a server of its own, which the demo does not touch.
    $root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq --no-install-recommends "$@" >/dev/null
}

have_postgres || install postgresql openssl
command -v openssl >/dev/null || install openssl
command -v cargo >/dev/null || {
    echo "No cargo found: install a Rust toolchain, https://rustup.rs" >&2
    exit 1
}
# A linker is what a Rust toolchain from rustup does not bring.
command -v cc >/dev/null || install gcc libc6-dev

# Optimised, but built in half the time of a release.
cargo build --quiet --locked --profile fast --bin pgweir
exec "${CARGO_TARGET_DIR:-target}/fast/pgweir" demo "$@"
