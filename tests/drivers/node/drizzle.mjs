// Drizzle over both node drivers.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { eq, sql } from "drizzle-orm";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { drizzle as overPg } from "drizzle-orm/node-postgres";
import { drizzle as overPostgres } from "drizzle-orm/postgres-js";
import pg from "pg";
import postgres from "postgres";

const ca = readFileSync(process.env.PGSSLROOTCERT);
const item = pgTable("life_drizzle", { id: integer("id").primaryKey(), name: text("name").notNull() });

async function life(db) {
  await db.execute(sql`drop table if exists life_drizzle`);
  await db.execute(sql`create table life_drizzle (id int primary key, name text not null)`);
  await db.insert(item).values([{ id: 1, name: "one" }, { id: 2, name: "two" }]);
  assert.deepEqual(await db.select().from(item).where(eq(item.id, 2)), [{ id: 2, name: "two" }]);

  const byId = db.select().from(item).where(eq(item.id, sql.placeholder("id"))).prepare("by_id");
  for (let n = 0; n < 20; n++) assert.equal((await byId.execute({ id: 1 }))[0].name, "one");

  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.update(item).set({ name: "gone" });
      await tx.transaction(async (inner) => inner.delete(item));
      tx.rollback();
    }),
  );
  assert.equal((await db.select().from(item).where(eq(item.name, "gone"))).length, 0);
  await assert.rejects(db.insert(item).values({ id: 1, name: "again" }));
  await assert.rejects(db.transaction(async (tx) => {
    await tx.execute(sql`set local statement_timeout = 100`);
    await tx.execute(sql`select pg_sleep(20)`);
  }));

  await Promise.all(
    Array.from({ length: 100 }, async (_, n) => {
      await db.insert(item).values({ id: 100 + n, name: `n${n}` });
      const [row] = await db.select().from(item).where(eq(item.id, 100 + n));
      assert.equal(row.name, `n${n}`);
    }),
  );
  await db.execute(sql`drop table life_drizzle`);
}

const pool = new pg.Pool({ ssl: { ca }, max: 12 });
await life(overPg(pool));
await pool.end();
const client = postgres({ ssl: { ca, servername: "localhost" }, max: 12, onnotice: () => {} });
await life(overPostgres(client));
await client.end();
