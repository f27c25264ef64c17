#!/bin/sh
# Compares what a query costs directly, through a bare relay, through pgweir and through PgBouncer.
# Installs what is missing (Debian). Three minutes; scripts/bench.sh --quick takes 40 seconds,
# scripts/bench.sh --help says what else can be chosen, benches/README.md what it means.
#   PROFILE=fast          builds faster, measures a little slower
#   PEER_PGBOUNCER=FILE   compares with that PgBouncer
set -eu
cd "$(dirname "$0")/.."

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
    $root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq --no-install-recommends "$@" >/dev/null
}

command -v pgbench >/dev/null || install postgresql openssl
[ -n "${PEER_PGBOUNCER:-}" ] || [ -x /usr/sbin/pgbouncer ] || install pgbouncer

exec cargo bench --quiet --locked --profile "${PROFILE:-release}" --bench contest -- "$@"
