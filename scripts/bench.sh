#!/bin/bash
# The laboratory: Postgres alone, a canned responder, a bare relay, pgweir, PgBouncer and whoever else is named,
# side by side. Installs what is missing (Debian). Ten minutes; scripts/bench.sh --quick takes less than one,
# scripts/bench.sh --help says what else can be chosen, benches/README.md what it means.
#   PROFILE=release         without the profile of a run (scripts/guided.sh): five to ten minutes faster to build
#   PROFILE=fast            faster still; measures a little slower
#   PEER_PGBOUNCER=FILE     compares with that PgBouncer
#   PEER_PG_DOORMAN=FILE    and with that pg_doorman,
#   PEER_PGDOG=FILE         that PgDog,
#   PEER_ODYSSEY=FILE       that Odyssey,
#   PEER_OTHER='NAME=COMMAND with {port} {upstream}'   or anything else (benches/README.md)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh
need_postgres
packages openssl openssl
packages pgbench postgresql-contrib
[ -n "${PEER_PGBOUNCER:-}" ] || packages /usr/sbin/pgbouncer pgbouncer

with=(cargo)
[ -n "${PROFILE:-}" ] || with=(scripts/guided.sh)
exec "${with[@]}" bench --quiet --locked --profile "${PROFILE:-release}" --bench contest -- "$@"
