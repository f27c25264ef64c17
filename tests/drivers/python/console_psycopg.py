"""psycopg 3 at the console: tables, actions and errors, in each way it sends a text."""
import os

import psycopg
from psycopg.rows import dict_row


def check(conn):
    pools = conn.execute("SHOW POOLS").fetchall()
    assert {"database", "user", "cl_active", "sv_idle", "maxwait"} <= set(pools[0]), pools
    assert all(type(pool["cl_active"]) is int for pool in pools), pools
    binary = conn.execute("SHOW STATS", binary=True).fetchall()
    assert binary and all(type(row["total_query_count"]) is int for row in binary), binary
    prepared = conn.execute("SHOW CONFIG", prepare=True).fetchall()
    assert any(row["key"] == "pool.size_max" and row["value"] == "3" for row in prepared)
    clients = conn.execute("SHOW CLIENTS").fetchall()
    assert any(client["application_name"] == "judge" for client in clients), clients
    done = conn.execute("PAUSE postgres")
    assert done.statusmessage == "PAUSE" and done.description is None
    (state,) = [row for row in conn.execute("SHOW DATABASES") if row["name"] == "postgres"]
    assert state["paused"] == 1, state
    assert conn.execute("RESUME postgres").statusmessage == "RESUME"
    assert conn.execute("RELOAD").statusmessage == "RELOAD"
    for text, code in (("SHOW NOTHING", "42601"), ("PAUSE nowhere", "3D000"), ("SELECT * FROM t", None)):
        try:
            conn.execute(text)
            raise SystemExit(f"no error: {text}")
        except psycopg.Error as error:
            assert code is None or error.sqlstate == code, (text, error.sqlstate)


# Who works in front of it, so that there is something to show.
with psycopg.connect() as client:
    client.execute("select 1")
    client.commit()
    with psycopg.connect(dbname="pgweir", autocommit=True, row_factory=dict_row, application_name="judge") as conn:
        check(conn)
    # Without autocommit it begins a transaction first, and takes it back.
    with psycopg.connect(dbname=os.environ["CONSOLE"], row_factory=dict_row) as conn:
        assert conn.execute("SHOW POOLS").fetchall()
        assert conn.execute("RELOAD").statusmessage == "RELOAD"
        conn.rollback()
        assert conn.execute("SHOW VERSION").fetchone()["version"].startswith("pgweir")
