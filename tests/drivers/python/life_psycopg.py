"""psycopg 3, blocking and asynchronous."""
import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg


def statements(conn):
    conn.prepare_threshold = 0
    for n in range(20):
        assert conn.execute("select %s::int + 1, %t", (n, "x")).fetchone() == (n + 1, "x")
        assert conn.execute("select %b::int8", (n,), binary=True).fetchone() == (n,)
    conn.commit()
    with conn.pipeline():
        cursors = [conn.execute("select %s::int", (n,)) for n in range(50)]
    assert [c.fetchone() for c in cursors] == [(n,) for n in range(50)]
    conn.commit()


def transaction(conn):
    conn.execute("insert into life_psycopg values (1, 'one')")
    conn.rollback()
    with conn.transaction():
        conn.execute("insert into life_psycopg values (2, 'two')")
        try:
            with conn.transaction():
                conn.execute("insert into life_psycopg values (2, 'again')")
        except psycopg.errors.UniqueViolation:
            pass
    assert conn.execute("select * from life_psycopg").fetchall() == [(2, "two")]
    with conn.cursor(name="c") as cursor:
        cursor.itersize = 10
        cursor.execute("select g from generate_series(1, 95) g")
        assert len(list(cursor)) == 95
    conn.commit()


def copy(conn):
    cursor = conn.cursor()
    with cursor.copy("copy life_psycopg from stdin") as out:
        for n in range(10, 2010):
            out.write_row((n, f"row {n}"))
    with cursor.copy("copy life_psycopg to stdout (format binary)") as rows:
        rows.set_types(["int4", "text"])
        assert len(list(rows.rows())) == 2001
    conn.commit()
    try:
        with cursor.copy("copy life_psycopg from stdin") as out:
            out.write_row((5000, "x"))
            raise KeyError("the program fails midway")
    except KeyError:
        conn.rollback()
    assert conn.execute("select count(*) from life_psycopg").fetchone() == (2001,)
    conn.commit()


def error_and_cancel(conn):
    try:
        conn.execute("select 1/0")
        raise SystemExit("no error")
    except psycopg.errors.DivisionByZero:
        conn.rollback()
    conn.execute("select 1")
    timer = threading.Timer(0.3, conn.cancel_safe)
    timer.start()
    try:
        conn.execute("select pg_sleep(20)")
        raise SystemExit("not cancelled")
    except psycopg.errors.QueryCanceled:
        conn.rollback()
    timer.join()
    assert conn.execute("select 2").fetchone() == (2,)
    conn.rollback()


def one_of_many(n):
    with psycopg.connect(autocommit=True, prepare_threshold=1) as conn:
        conn.execute("select set_config('app.me', %s, false)", (str(n),))
        for k in range(30):
            assert conn.execute("select %s::text", (f"{n}-{k}",)).fetchone() == (f"{n}-{k}",)
        assert conn.execute("select current_setting('app.me')").fetchone() == (str(n),)


async def asynchronous():
    conn = await psycopg.AsyncConnection.connect(autocommit=True)
    async with conn, conn.cursor() as cursor:
        await cursor.execute("listen life_psycopg")
        await cursor.execute("notify life_psycopg, 'hello'")
        async for notify in conn.notifies(timeout=10, stop_after=1):
            assert notify.payload == "hello"
        await cursor.executemany("insert into life_psycopg values (%s, 'many')", [(n,) for n in range(9000, 9100)])


with psycopg.connect() as conn:
    conn.execute("drop table if exists life_psycopg")
    conn.execute("create table life_psycopg (id int primary key, name text)")
    conn.commit()
    statements(conn)
    transaction(conn)
    copy(conn)
    error_and_cancel(conn)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(one_of_many, range(24)))
    asyncio.run(asynchronous())
    conn.execute("drop table life_psycopg")
