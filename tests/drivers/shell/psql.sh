#!/bin/bash
# psql: meta-commands, \copy, \bind, errors, \gset, single transaction, cancel, many at once.
set -euo pipefail
export PGOPTIONS= PSQLRC=/dev/null PGCONNECT_TIMEOUT=20
q() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
is() { [ "$1" = "$2" ] || { echo "wanted '$2', got '$1'" >&2; exit 1; }; }
table="psql_life_$$"

q -c "create table $table (id int primary key, name text)"
trap 'q -c "drop table if exists $table"' EXIT
printf '1\tone\n2\ttwo\n' | q -c "\\copy $table from stdin"
is "$(q -c "\\copy (select * from $table order by id) to stdout")" $'1\tone\n2\ttwo'
is "$(q -c "select name from $table where id = 2")" two
is "$(q -1 -c "insert into $table values (3, 'three')" -c "select count(*) from $table")" 3
q -1 -c "delete from $table" -c "select 1/0" 2>/dev/null && exit 1
is "$(q -c "select count(*) from $table")" 3
q -c "\\d $table" | grep -q name
q -c "\\dt" | grep -q "$table"
is "$(printf 'prepare p(int) as select $1 + 1;\nexecute p(41);\ndeallocate p;\n' | q)" 42
is "$(printf 'set timezone = '"'Asia/Tokyo'"';\nselect 1 as x \\gset\nshow timezone;\nselect :x;\n' | q)" $'Asia/Tokyo\n1'
is "$(printf '\\set FETCH_COUNT 100\nselect g from generate_series(1, 1000) g;\n' | q | tail -n 1)" 1000
is "$(printf 'begin;\nsavepoint a;\nselect 1/0;\nrollback to a;\nselect 7;\ncommit;\n' | psql -X -q -A -t 2>/dev/null)" 7
q -c "select case when ssl then 'tls' end from pg_stat_ssl where pid = pg_backend_pid()" >/dev/null

# Ctrl-C cancels the query, not the session.
psql -X -q -A -t -c "select pg_sleep(30) /* $table */" 2>"/tmp/$table.err" & sleeper=$!
until [ "$(q -c "select count(*) from pg_stat_activity where query like '%pg_sleep(30) /* $table%' and pid <> pg_backend_pid() and state = 'active'")" = 1 ]; do
    kill -0 $sleeper
done
kill -INT $sleeper
wait $sleeper && exit 1
grep -q "canceling statement due to user request" "/tmp/$table.err"
rm -f "/tmp/$table.err"

for n in $(seq 12); do
    (is "$(q -c "begin" -c "select 'client $n'" -c "select pg_sleep(0.05)" -c commit | head -n 1)" "client $n") &
    pids[n]=$!
done
for pid in "${pids[@]}"; do wait "$pid"; done
