// node-postgres: named statements, its pool, cursors by rows, COPY streams, cancel.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import pg from "pg";
import { from, to } from "pg-copy-streams";

const ssl = { ca: readFileSync(process.env.PGSSLROOTCERT) };
const client = new pg.Client({ ssl });
await client.connect();
await client.query("drop table if exists life_pg; create table life_pg (id int primary key, name text)");

for (let n = 0; n < 20; n++) {
  const named = await client.query({ name: "plus", text: "select $1::int + 1 as n", values: [n] });
  assert.equal(named.rows[0].n, n + 1);
  const unnamed = await client.query("select $1::text as t", [`x${n}`]);
  assert.equal(unnamed.rows[0].t, `x${n}`);
}
const all = await Promise.all([1, 2, 3].map((n) => client.query("select $1::int as n", [n])));
assert.deepEqual(all.map((r) => r.rows[0].n), [1, 2, 3]);
const two = await client.query("select 1 as a; select 2 as b");
assert.equal(two[1].rows[0].b, 2);

await client.query("begin");
await client.query("insert into life_pg values ($1, $2)", [1, "one"]);
await client.query("rollback");
await client.query("begin");
await client.query("insert into life_pg values ($1, $2)", [2, "two"]);
await client.query("commit");
assert.equal((await client.query("select count(*)::int as n from life_pg")).rows[0].n, 1);

await pipeline(Readable.from(["10\tten\n", "11\televen\n"]), client.query(from("copy life_pg from stdin")));
let out = "";
for await (const chunk of client.query(to("copy life_pg to stdout"))) out += chunk;
assert.equal(out.split("\n").length, 4);

await assert.rejects(client.query("select 1/0"), { code: "22012" });
await assert.rejects(client.query({ name: "bad", text: "selec" }), { code: "42601" });
await assert.rejects(client.query("insert into life_pg values (2, 'again')"), { code: "23505" });

const sleeping = assert.rejects(client.query("select pg_sleep(20)"), { code: "57014" });
const canceller = new pg.Client({ ssl: false });
await new Promise((resolve) => setTimeout(resolve, 300));
canceller.connection.once("connect", () => canceller.connection.cancel(client.processID, client.secretKey));
canceller.connection.on("error", () => {});
canceller.connection.connect(Number(process.env.PGPORT), process.env.PGHOST);
await sleeping;
assert.equal((await client.query("select 2 as n")).rows[0].n, 2);

const heard = new Promise((resolve) => client.once("notification", (m) => resolve(m.payload)));
await client.query("listen life_pg");
await client.query("notify life_pg, 'hello'");
assert.equal(await heard, "hello");
await client.query("drop table life_pg");
await client.end();

const pool = new pg.Pool({ ssl, max: 12 });
await Promise.all(
  Array.from({ length: 200 }, async (_, n) => {
    const result = await pool.query({ name: `many${n % 5}`, text: `select $1::text || '${n % 5}' as t`, values: [`${n}-`] });
    assert.equal(result.rows[0].t, `${n}-${n % 5}`);
  }),
);
await pool.end();
