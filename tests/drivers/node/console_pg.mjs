// node-postgres at the console: plain and named texts, tables, actions, errors.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import pg from "pg";

const ssl = { ca: readFileSync(process.env.PGSSLROOTCERT) };
const client = new pg.Client({ ssl });
await client.connect();
await client.query("select 1");

const admin = new pg.Client({ ssl, database: "pgweir", application_name: "judge" });
await admin.connect();
for (const query of ["SHOW POOLS", { text: "SHOW POOLS", name: "pools" }, { text: "SHOW POOLS", name: "pools" }, { text: "SHOW POOLS", values: [] }]) {
  const { rows, command } = await admin.query(query);
  assert.equal(command, "SHOW");
  assert.ok(rows.some((pool) => pool.database === "postgres" && pool.cl_active === "1"), JSON.stringify(rows));
}
const clients = await admin.query("SHOW CLIENTS");
assert.ok(clients.rows.some((row) => row.application_name === "judge"));
assert.equal((await admin.query("PAUSE postgres")).command, "PAUSE");
const { rows } = await admin.query("SHOW DATABASES");
assert.equal(rows.find((row) => row.name === "postgres").paused, "1");
assert.equal((await admin.query({ text: "RESUME postgres", name: "resume" })).command, "RESUME");
assert.equal((await admin.query("RELOAD")).command, "RELOAD");
await assert.rejects(admin.query("SHOW NOTHING"), { code: "42601" });
await assert.rejects(admin.query("SHOW POOLS WHERE database = $1", ["x"]), (error) => error.code.length === 5);
assert.ok((await admin.query("SHOW LISTS")).rows.length > 5);
await admin.end();
await client.end();
