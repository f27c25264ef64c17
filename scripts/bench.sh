#!/bin/bash
# Compares what a query costs directly, through a bare relay, through pgweir and through PgBouncer.
# Installs what is missing (Debian). Three minutes; scripts/bench.sh --quick takes 40 seconds,
# scripts/bench.sh --help says what else can be chosen, benches/README.md what it means.
#   PROFILE=fast          builds faster, measures a little slower
#   PEER_PGBOUNCER=FILE   compares with that PgBouncer
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh
need_postgres
packages openssl openssl
packages pgbench postgresql-contrib
[ -n "${PEER_PGBOUNCER:-}" ] || packages /usr/sbin/pgbouncer pgbouncer

exec cargo bench --quiet --locked --profile "${PROFILE:-release}" --bench contest -- "$@"
