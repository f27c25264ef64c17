// The page: figures come as events each second, lists are fetched while the page is looked at.
// Whatever comes from outside is put in as text, never as markup.
"use strict";

const LISTS_EVERY = 2000;
const HISTORY_EVERY = 10000;
const RETRY_AFTER = 5000;

const by = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const count = (n) => whole.format(n);

function put(id, text) {
  const node = by(id);
  if (node.textContent !== text) node.textContent = text;
}

function tag(name, options, ...children) {
  const { text, className, ...attributes } = options || {};
  const node = document.createElement(name);
  if (className) node.className = className;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  node.append(...children);
  return node;
}

function short(n) {
  if (n >= 1e6) return `${+(n / 1e6).toPrecision(3)}M`;
  if (n >= 1e4) return `${+(n / 1e3).toPrecision(3)}k`;
  return `${n >= 100 ? Math.round(n) : +n.toPrecision(3)}`;
}

function seconds(s) {
  if (s === null || s === undefined) return "none yet";
  if (s === 0) return "0 s";
  if (s < 0.001) return `${+(s * 1e6).toPrecision(3)} µs`;
  if (s < 1) return `${+(s * 1e3).toPrecision(3)} ms`;
  if (s < 120) return `${+s.toPrecision(3)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} days`;
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (n >= 1024 && at < units.length - 1) { n /= 1024; at += 1; }
  return `${+n.toPrecision(3)} ${units[at]}`;
}

// A share of a whole; never 100 % when something is missing.
function percent(part, all) {
  if (!all) return "none yet";
  const share = Math.floor((part / all) * 1000) / 10;
  return `${share} %`;
}

// A bar of parts [share of one, colour's letter].
function bar(parts, label) {
  const node = tag("div", { className: "bar", role: "img", "aria-label": label });
  for (const [share, colour] of parts) {
    const part = tag("i", { className: `of-${colour}` });
    part.style.width = `${Math.min(1, share) * 100}%`;
    node.append(part);
  }
  return node;
}

// A table: columns [name, is a number], rows of texts or nodes. The roles are said again because a
// phone shows rows as blocks, and a browser takes a block for no row.
function table(id, label, columns, rows, empty) {
  const place = by(id);
  if (!rows.length) {
    place.replaceChildren(tag("p", { className: "empty", text: empty }));
    return;
  }
  const cell = (value, at) => {
    const [name, number] = columns[at];
    const options = { "data-of": name, role: at ? "cell" : "rowheader" };
    if (number) options.className = "number";
    const node = tag(at ? "td" : "th", options);
    if (!at) node.scope = "row";
    node.append(value);
    return node;
  };
  const head = columns.map(([name, number]) =>
    tag("th", { text: name, scope: "col", role: "columnheader", className: number ? "number" : "" }));
  const lines = rows.map((row) => tag("tr", { role: "row" }, ...row.map(cell)));
  place.replaceChildren(tag("table", { role: "table", "aria-label": label },
    tag("thead", { role: "rowgroup" }, tag("tr", { role: "row" }, ...head)),
    tag("tbody", { role: "rowgroup" }, ...lines)));
}

// A table that is not there at all when it has nothing to say.
function few(id, label, columns, rows) {
  if (rows.length) table(id, label, columns, rows, "");
  else by(id).replaceChildren();
}

const SPLIT = [["memory", "from memory", "a"], ["queue", "waiting for an upstream", "b"],
  ["upstream", "the database at work", "c"], ["client", "upstream waiting for its client", "d"]];

// ---- each second

const recent = [];

function overview(now) {
  const { total, upstreams, clients, cache } = now;
  recent.push([now.at, total.queries]);
  if (recent.length > 6) recent.shift();
  const [then, before] = recent[0];
  put("now-rate", now.at > then ? short((total.queries - before) / (now.at - then)) : "0");
  for (const key of ["queries", "hits", "misses", "bypasses"]) put(key, count(total[key]));
  put("now-ratio", percent(total.hits, total.queries));
  put("now-p95", seconds(total.times.last_byte.p95));
  put("p50", seconds(total.times.last_byte.p50));
  put("p99", seconds(total.times.last_byte.p99));
  put("clients", count(clients.connected));
  put("clients-max", count(clients.max));
  put("active", count(upstreams.active));
  put("live", count(upstreams.live));
  put("waiting", count(upstreams.waiting));
  put("entries", cache ? bytes(cache.bytes) : "off");
  put("cache-about", cache
    ? `${count(cache.entries)} results, at most ${bytes(cache.bytes_max)}; level ${cache.level}${cache.mode === "shadow" ? ", only watched" : ""}`
    : "nothing is kept");
  put("about", `version ${now.version}, up for ${seconds(now.uptime_seconds)}`);
  by("forget").hidden = !now.changeable || !cache;
  const why = now.ready.reasons.map((reason) => reason.message).join("; ");
  by("unready").hidden = now.ready.ready;
  put("unready", why && `Not ready: ${why}.`);
  state(now.ready.ready ? "ready, live" : "not ready", now.ready.ready ? "good" : "bad");
  split(total.seconds);
}

function state(text, kind) {
  put("state", text);
  by("state").className = `pill ${kind}`;
}

function split(spent) {
  const all = SPLIT.reduce((sum, [key]) => sum + spent[key], 0);
  if (!all) {
    by("split").replaceChildren(tag("p", { className: "empty", text: "No time was spent yet." }));
    return;
  }
  const label = SPLIT.map(([key, name]) => `${name} ${percent(spent[key], all)}`).join(", ");
  const keys = SPLIT.map(([key, name, colour]) => tag("span",
    { className: `key of-${colour}`, text: `${name}: ${seconds(spent[key])}, ${percent(spent[key], all)}` }));
  by("split").replaceChildren(tag("div", { className: "card" },
    bar(SPLIT.map(([key, , colour]) => [spent[key] / all, colour]), label),
    tag("div", { className: "keys" }, ...keys)));
}

// ---- lists

function lists(of) {
  pools(of.pools);
  shapes(of.shapes);
  why(of.bypasses);
  table("tables", "Tables by invalidation", [["Table"], ["Database"], ["Reads", 1], ["Hits", 1], ["Writes", 1], ["Results made stale", 1]],
    of.tables.map((t) => [t.table, t.database, ...[t.reads, t.hits, t.writes, t.invalidations].map(count)]),
    "No table was read or written yet.");
  const pinning = of.pools.filter((p) => p.counts.pins || (p.upstreams && p.upstreams.pinned));
  few("pin-pools", "Pins by pool", [["Pool"], ["Now", 1], ["At most", 1], ["Since the start", 1]],
    pinning.map((p) => [name(p), ...(p.upstreams ? [p.upstreams.pinned, p.upstreams.pins_max] : [0, 0]).map(count), count(p.counts.pins)]));
  errors(of);
}

const name = (pool) => `${pool.database} / ${pool.user}`;

function pools(list) {
  table("pools", "Pools", [["Pool"], ["In use"], ["At work", 1], ["Idle", 1], ["Clients wait", 1], ["Queries", 1], ["From memory", 1]],
    list.map((pool) => {
      const { upstreams: up, counts } = pool;
      const own = [count(counts.queries), percent(counts.hits, counts.queries)];
      if (!up) return [name(pool), "closed", "0", "0", "0", ...own];
      const label = `${up.active} of ${up.size_max} upstreams are at work, ${up.idle} are idle`;
      const full = up.active >= up.size_max ? "d" : "a";
      const use = up.failure ? tag("span", { className: "pill bad", text: up.failure })
        : bar([[up.active / up.size_max, full], [up.idle / up.size_max, "c"]], label);
      return [name(pool), use, `${count(up.active)} of ${count(up.size_max)}`, count(up.idle), count(up.waiting), ...own];
    }), "No client has come yet. Connect with psql or an application, and its pool appears here.");
}

// What is to be said of a shape in a word.
function status(shape) {
  if (!shape.hits && !shape.misses) return ["not cached", "warn"];
  const share = shape.hits / shape.calls;
  return share >= 0.5 ? ["cached", "good"] : ["cached, few hits", ""];
}

let shown = "";

function shapes(list) {
  by("no-shapes").hidden = list.length > 0;
  // What has not changed is left alone: whoever scrolls or selects in it is not disturbed.
  const text = JSON.stringify(list);
  if (text === shown) return;
  shown = text;
  const place = by("shapes");
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.shape : null;
  place.replaceChildren(...list.map(shape));
  const again = focused && [...place.querySelectorAll("pre")].find((pre) => pre.dataset.shape === focused);
  if (again) again.focus({ preventScroll: true });
}

function shape(of) {
  const [word, kind] = status(of);
  const head = tag("div", { className: "head" },
    tag("span", { className: `pill ${kind}`, text: word }),
    tag("strong", { text: `${seconds(of.seconds.upstream)} of the database's time` }),
    tag("span", { className: "quiet", text: `${of.database}, ${of.shape}` }));
  const text = tag("pre", { text: of.text, tabindex: "0", role: "region", "aria-label": "The query" });
  text.dataset.shape = `${of.database} ${of.shape}`;
  const p95 = of.last_byte_seconds ? `, p95 ${seconds(of.last_byte_seconds.p95)}` : "";
  const figures = tag("p", { className: "quiet", text:
    `${count(of.calls)} calls, ${count(of.hits)} hits, ${count(of.misses)} misses, ${count(of.bypasses)} not looked up${p95}` });
  const item = tag("li", {}, head, text, figures);
  if (of.last_meaning) {
    const after = of.invalidated_by && (of.last_reason || "").startsWith("stale") ? ` (${of.invalidated_by})` : "";
    item.append(tag("p", { text: `Last time the database was asked because ${of.last_meaning}${after}. ${of.remedy}` }));
  }
  return item;
}

function why(list) {
  const all = list.reduce((sum, one) => sum + one.queries, 0);
  table("why", "Why the database was asked", [["Reason"], ["Share"], ["Queries", 1], ["What it means"], ["What helps"]],
    list.map((one) => [one.reason, bar([[one.queries / all, "b"]], percent(one.queries, all)), count(one.queries), one.meaning, one.remedy]),
    "No query went to the database yet.");
}

function errors(of) {
  table("errors", "Last errors", [["Last"], ["SQLSTATE"], ["What it means"], ["Pool"], ["Times", 1]],
    of.last_errors.map((e) => [new Date(e.at * 1000).toLocaleTimeString(), sqlstate(e), meaning(e), name(e), count(e.times)]),
    "No client was told of an error.");
  table("error-classes", "Errors by class since the start", [["Class"], ["Pool"], ["Errors", 1]],
    of.errors.map((e) => [e.class, name(e), count(e.errors)]), "None.");
  table("logins", "Failed logins by reason", [["Reason"], ["What it means"], ["Times", 1]],
    of.logins.map((l) => [l.reason, l.meaning, count(l.failures)]), "Every client that came got in.");
}

// Fatal is what ended the session.
function sqlstate(error) {
  const ends = error.severity !== "ERROR";
  return ends ? tag("span", { className: "pill bad", text: `${error.sqlstate} ${error.severity}` }) : error.sqlstate;
}

// One of our own says what to do about it.
function meaning(error) {
  if (!error.code) return error.what;
  return tag("span", {}, tag("strong", { text: error.code }), ` ${error.what}. `, tag("span", { className: "quiet", text: error.hint }));
}

// ---- who is there

const since = (s) => seconds(+s.toPrecision(s < 10 ? 2 : 3));

// How many there are besides those that are shown.
function shownOf(id, sentence, list, all) {
  put(id, all > list.length ? `${sentence} ${count(list.length)} of ${count(all)} are shown.` : sentence);
}

function people({ clients, pins }) {
  shownOf("people-about", "Those who wait come first, then those whose transactions are oldest.", clients.clients, clients.count);
  table("people", "Clients", [["Client"], ["Pool"], ["What it does"], ["From"], ["TLS"]],
    clients.clients.map((c) => [who(c), name(c), doing(c), place(c), c.tls || "no"]),
    "No client is connected.");
  shownOf("pins-about", "A session that keeps an upstream to itself takes it from the others.", pins.pins, pins.count);
  table("pins", "Pins", [["Client"], ["Pool"], ["Why it keeps an upstream"], ["For"], ["Postgres's process", 1]],
    pins.pins.map((p) => [who({ ...p, id: p.client }), name(p), p.reasons, since(p.age), `${p.remote_pid}`]),
    "No session keeps an upstream.");
}

const who = (client) => (client.application_name ? `${client.application_name} (${client.id})` : `client ${client.id}`);
const place = (client) => (client.port ? `${client.addr}, port ${client.port}` : client.addr);

// Who waits is what an operator looks for; who holds a transaction open and does nothing comes next.
function doing(client) {
  const pill = (kind, text) => tag("span", { className: `pill ${kind}`, text });
  if (client.state === "waiting") return pill("bad", `waits for ${since(client.wait + client.wait_us / 1e6)}`);
  if (client.xact_age === null) return client.state === "active" ? "keeps an upstream" : "idle";
  const open = `in a transaction for ${since(client.xact_age)}`;
  return client.xact_idle === null ? pill("good", open) : pill("warn", `${open}, idle in it for ${since(client.xact_idle)}`);
}

// ---- the last hour

const rate = (n) => short(n);
const charts = {
  queries: new Chart(by("c-queries"), [["from memory", "a"], ["misses", "b"], ["not looked up", "c"]],
    { title: "Queries a second", stacked: true, format: rate }),
  ratio: new Chart(by("c-ratio"), [["from memory", "a"]],
    { title: "Hit ratio", top: 1, format: (n) => `${Math.round(n * 100)} %` }),
  latency: new Chart(by("c-latency"), [["memory p95", "a"], ["database p50", "c"], ["p95", "b"], ["p99", "d"]],
    { title: "Latency", format: seconds }),
  time: new Chart(by("c-time"), SPLIT.map(([, text, colour]) => [text, colour]),
    { title: "Where time goes, at once", stacked: true, format: short }),
};

function history(of) {
  const { at, counters, times, seconds: spent, step_seconds: step } = of;
  const per = (list) => list.map((n) => n / step);
  charts.queries.show(at, [per(counters.hits), per(counters.misses), per(counters.bypasses)]);
  charts.ratio.show(at, [counters.queries.map((n, i) => (n ? counters.hits[i] / n : null))]);
  charts.latency.show(at, [times.memory.p95, times.last_byte.p50, times.last_byte.p95, times.last_byte.p99]);
  charts.time.show(at, SPLIT.map(([key]) => per(spent[key])));
}

// ---- how it comes

let answered = true;

async function fetched(path, use) {
  try {
    const answer = await fetch(path, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    use(await answer.json());
    answered = true;
  } catch (error) {
    if (answered) state("not reached", "bad");
    answered = false;
  }
}

// Again and again while somebody looks, never two at a time.
function again(path, use, every) {
  let under_way = false;
  const run = async () => {
    if (document.hidden || under_way) return;
    under_way = true;
    await fetched(path, use);
    under_way = false;
  };
  run();
  setInterval(run, every);
  document.addEventListener("visibilitychange", run);
}

// The browser connects again by itself, unless it was told that there is no place.
function listen() {
  const events = new EventSource("/api/v1/events");
  events.addEventListener("overview", (event) => overview(JSON.parse(event.data)));
  events.addEventListener("people", (event) => people(JSON.parse(event.data)));
  events.addEventListener("error", () => {
    state("not reached", "bad");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_AFTER);
  });
}

by("forget-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = by("forget-table").value.trim();
  const answer = await fetch("/api/v1/purge", {
    method: "POST",
    headers: { Authorization: `Bearer ${by("token").value}` },
    body: JSON.stringify(wanted ? { table: wanted } : {}),
  }).then((answer) => answer.json()).catch(() => ({ error: "the proxy was not reached" }));
  put("forgot", answer.error || `${count(answer.purged)} results forgotten`);
});

fetched("/api/v1/overview", overview);
again("/api/v1/dashboard", lists, LISTS_EVERY);
again("/api/v1/history", history, HISTORY_EVERY);
listen();
