// postgres.js: it prepares and pipelines everything.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { Readable } from "node:stream";
import postgres from "postgres";

const ssl = { ca: readFileSync(process.env.PGSSLROOTCERT), servername: "localhost" };
const sql = postgres({ ssl, max: 12, onnotice: () => {} });
await sql`drop table if exists life_postgres_js`;
await sql`create table life_postgres_js (id int primary key, name text, data jsonb)`;

for (let n = 0; n < 20; n++) {
  const [row] = await sql`select ${n}::int + 1 as n, ${["a", "b"]}::text[] as words`;
  assert.deepEqual(row, { n: n + 1, words: ["a", "b"] });
}
const rows = Array.from({ length: 100 }, (_, n) => ({ id: n, name: `row ${n}`, data: { n } }));
await sql`insert into life_postgres_js ${sql(rows)}`;
const found = await sql`select * from life_postgres_js where id in ${sql([1, 2, 3])} order by id`;
assert.deepEqual(found.map((r) => r.data.n), [1, 2, 3]);

await assert.rejects(
  sql.begin(async (tx) => {
    await tx`delete from life_postgres_js`;
    await tx.savepoint((sp) => sp`select 1/0`).catch(() => {});
    assert.equal((await tx`select count(*)::int as n from life_postgres_js`)[0].n, 0);
    throw new Error("never mind");
  }),
  /never mind/,
);
const [, [{ n }]] = await sql.begin((tx) => [
  tx`update life_postgres_js set name = 'x'`,
  tx`select count(*)::int as n from life_postgres_js where name = 'x'`,
]);
assert.equal(n, 100);

await pipeline(Readable.from(["500\tcopied\t{}\n"]), await sql`copy life_postgres_js from stdin`.writable());
let out = "";
for await (const chunk of await sql`copy (select id from life_postgres_js) to stdout`.readable()) out += chunk;
assert.equal(out.trim().split("\n").length, 101);

let seen = 0;
for await (const part of sql`select g from generate_series(1, 95) g`.cursor(10)) seen += part.length;
assert.equal(seen, 95);
await sql`select g from generate_series(1, 10) g`.forEach(() => seen++);
assert.equal(seen, 105);
assert.equal((await sql`select 1 as a; select 2 as b`.simple())[1][0].b, 2);

await assert.rejects(sql`select 1/0`, { code: "22012" });
const sleeping = sql`select pg_sleep(20)`;
const cancelled = assert.rejects(sleeping, { code: "57014" });
setTimeout(() => sleeping.cancel(), 300);
await cancelled;

const heard = new Promise((resolve) => sql.listen("life_postgres_js", resolve));
const again = setInterval(() => sql.notify("life_postgres_js", "hello"), 50);
assert.equal(await heard, "hello");
clearInterval(again);

await Promise.all(
  Array.from({ length: 300 }, async (_, n) => {
    const [row] = await sql`select ${`client ${n}`}::text as t`;
    assert.equal(row.t, `client ${n}`);
  }),
);
await sql`drop table life_postgres_js`;
await sql.end();
