"""asyncpg at the console: it prepares everything, and its pool resets what comes back."""
import asyncio
import os
import ssl

import asyncpg


async def main():
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    client = await asyncpg.connect(ssl=context)
    await client.fetchval("select 1")
    pool = await asyncpg.create_pool(database="pgweir", ssl=context, min_size=2, max_size=2)
    for _ in range(5):
        async with pool.acquire() as conn:
            pools = await conn.fetch("SHOW POOLS")
            assert any(row["database"] == "postgres" and row["sv_login"] == 0 for row in pools), pools
    async with pool.acquire() as conn:
        totals = await conn.fetch("SHOW STATS_TOTALS")
        assert all(isinstance(row["query_count"], int) for row in totals), totals
        clients = await conn.fetch("SHOW CLIENTS")
        assert all(row["xact_age"] is None or row["xact_age"] >= 0 for row in clients), clients
        assert await conn.execute("PAUSE postgres") == "PAUSE"
        assert await conn.execute("RESUME postgres") == "RESUME"
        assert await conn.fetch("RELOAD") == []
        try:
            await conn.fetch("SHOW NOTHING")
            raise SystemExit("no error")
        except asyncpg.PostgresSyntaxError as error:
            assert "SHOW HELP" in error.hint, error.hint
        async with conn.transaction():
            assert await conn.fetch("SHOW LISTS")
    await pool.close()
    await client.close()


asyncio.run(main())
