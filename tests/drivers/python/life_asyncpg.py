"""asyncpg: it prepares everything, asks for types by itself, and resets connections it gives back to its pool."""
import asyncio
import os
import ssl

import asyncpg


def connect():
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    return asyncpg.connect(ssl=context)


async def statements(conn):
    statement = await conn.prepare("select $1::int + 1 as n, $2::text[] as words")
    for n in range(20):
        assert await statement.fetchval(n, ["a", "b"]) == n + 1
    await conn.execute("create type mood as enum ('sad', 'glad')")
    assert await conn.fetchval("select 'glad'::mood") == "glad"
    assert await conn.fetchval("select row(1, 'x')") == (1, "x")
    await conn.execute("drop type mood")


async def transaction(conn):
    await conn.execute("create table life_asyncpg (id int primary key, name text)")
    async with conn.transaction():
        await conn.execute("insert into life_asyncpg values ($1, $2)", 1, "one")
        try:
            async with conn.transaction():
                await conn.execute("insert into life_asyncpg values (1, 'again')")
        except asyncpg.UniqueViolationError:
            pass
        numbers = [r["g"] async for r in conn.cursor("select g from generate_series(1, 120) g")]
        assert len(numbers) == 120
    async with conn.transaction(isolation="serializable", readonly=True):
        assert await conn.fetchval("select count(*) from life_asyncpg") == 1


async def copy(conn):
    rows = [(n, f"row {n}") for n in range(10, 2010)]
    assert await conn.copy_records_to_table("life_asyncpg", records=rows) == "COPY 2000"
    parts = []

    async def keep(data):
        parts.append(data)

    await conn.copy_from_query("select * from life_asyncpg where id > $1", 9, output=keep)
    assert b"".join(parts).count(b"\n") == 2000
    await conn.executemany("insert into life_asyncpg values ($1, 'many')", [(n,) for n in range(5000, 5100)])
    await conn.execute("drop table life_asyncpg")


async def error_and_cancel(conn):
    try:
        await conn.fetch("select 1/0")
        raise SystemExit("no error")
    except asyncpg.DivisionByZeroError:
        pass
    try:
        await conn.fetch("select pg_sleep(20)", timeout=0.3)
        raise SystemExit("not cancelled")
    except asyncio.TimeoutError:
        pass
    assert await conn.fetchval("select 2") == 2


async def one_of_many(pool, n):
    async with pool.acquire() as conn:
        await conn.execute("select set_config('app.me', $1, false)", str(n))
        for k in range(20):
            assert await conn.fetchval("select $1::text", f"{n}-{k}") == f"{n}-{k}"
        assert await conn.fetchval("select current_setting('app.me')") == str(n)


async def listening(conn):
    heard = asyncio.get_running_loop().create_future()
    await conn.add_listener("life", lambda *a: heard.done() or heard.set_result(a[3]))
    await conn.execute("notify life, 'hello'")
    assert await asyncio.wait_for(heard, 10) == "hello"


async def main():
    conn = await connect()
    await conn.execute("drop table if exists life_asyncpg; drop type if exists mood")
    for step in (statements, transaction, copy, error_and_cancel, listening):
        await step(conn)
    await conn.close()
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    async with asyncpg.create_pool(ssl=context, min_size=12, max_size=12) as pool:
        await asyncio.gather(*(one_of_many(pool, n) for n in range(48)))


asyncio.run(main())
