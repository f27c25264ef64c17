#!/bin/bash
# pgbench: every protocol, its own script and transactions, with a connection for each transaction, pipelined.
# A thread for each client: pgbench prepares in a blocking way, so that a client that waits for an upstream would
# keep its thread's other clients from ending the transactions that hold all of them.
set -euo pipefail
run() {
    out=$(pgbench -n "$@" 2>&1) || { echo "$out" >&2; exit 1; }
    grep -q "number of failed transactions: 0 " <<<"$out" || { echo "$out" >&2; exit 1; }
}
pgbench -i -q -s 1 >/dev/null 2>&1
for protocol in simple extended prepared; do
    run -M $protocol -c 12 -j 12 -t 100
    run -M $protocol -S -c 12 -j 12 -t 300
    run -M $protocol -N -C -c 6 -j 6 -t 10
done
script=$(mktemp)
trap 'rm -f "$script"' EXIT
cat >"$script" <<'SQL'
\set id random(1, 100000)
\startpipeline
begin;
select abalance from pgbench_accounts where aid = :id;
update pgbench_accounts set abalance = abalance + 1 where aid = :id;
commit;
\endpipeline
SQL
run -M extended -f "$script" -c 6 -j 6 -t 50
run -M prepared -f "$script" -c 6 -j 6 -t 50
psql -X -q -c "drop table pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers"
