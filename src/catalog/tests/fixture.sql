
CREATE SCHEMA app; CREATE SCHEMA other; CREATE SCHEMA third;
CREATE EXTENSION citext; CREATE EXTENSION pg_trgm; CREATE EXTENSION pgcrypto; CREATE EXTENSION hstore;
CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION tablefunc; CREATE EXTENSION file_fdw; CREATE EXTENSION moddatetime;

CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN short AS text CHECK (length(VALUE) < 10);
CREATE FUNCTION f_log(text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (what) VALUES ($1); RETURN true; END';
CREATE DOMAIN logged AS text CHECK (f_log(VALUE));
CREATE DOMAIN logged_twice AS logged;
CREATE TYPE pair AS (a int, b int);
CREATE TYPE dated AS (d date);

CREATE TABLE log (id bigserial PRIMARY KEY, what text);
CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, email citext, m mood,
  nick short, tags text[], data jsonb, uid uuid DEFAULT gen_random_uuid(), other uuid DEFAULT uuid_generate_v4(),
  born date, seen timestamptz DEFAULT now(), search tsvector, attrs hstore,
  shout text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE orders (id serial PRIMARY KEY, user_id int REFERENCES users ON DELETE CASCADE, total numeric, at timestamptz);
CREATE TABLE items (id serial PRIMARY KEY, order_id int REFERENCES orders ON DELETE SET NULL ON UPDATE CASCADE, n int);
CREATE TABLE notes (id serial PRIMARY KEY, item_id int REFERENCES items, body text);
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON DELETE CASCADE, user_id int REFERENCES users ON DELETE NO ACTION);
CREATE TABLE ring_a (id int PRIMARY KEY, b int);
CREATE TABLE ring_b (id int PRIMARY KEY, a int REFERENCES ring_a ON UPDATE CASCADE ON DELETE CASCADE);
ALTER TABLE ring_a ADD FOREIGN KEY (b) REFERENCES ring_b ON UPDATE SET NULL ON DELETE SET DEFAULT;

-- partitions two deep, inheritance
CREATE TABLE events (id int, at date) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (at);
CREATE TABLE events_1a PARTITION OF events_1 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE events_1b PARTITION OF events_1 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM (100) TO (200);
CREATE TABLE animals (id int, name text);
CREATE TABLE cats (lives int) INHERITS (animals);
CREATE TABLE kittens () INHERITS (cats);

-- views
CREATE VIEW v_users AS SELECT id, name FROM users WHERE id > 0;
CREATE VIEW v_again AS SELECT name FROM v_users;
CREATE VIEW v_join AS SELECT u.name, sum(o.total) AS total, json_agg(o.id ORDER BY o.id) AS ids FROM users u JOIN orders o ON o.user_id = u.id GROUP BY u.name;
CREATE VIEW v_clock AS SELECT clock_timestamp() AS at, count(*) AS n FROM users;
CREATE VIEW v_over_clock AS SELECT n FROM v_clock;
CREATE VIEW v_today AS SELECT * FROM events WHERE at = current_date;
CREATE VIEW v_me AS SELECT * FROM log WHERE what = current_user;
CREATE VIEW v_catalog AS SELECT relname::text FROM pg_class;
CREATE VIEW v_text_date AS SELECT what::date FROM log;
CREATE VIEW v_json_date AS SELECT r.d FROM users, jsonb_to_recordset(data) AS r(d date);
CREATE VIEW v_json_int AS SELECT r.d FROM users, jsonb_to_recordset(data) AS r(d int);
CREATE VIEW v_sample AS SELECT id FROM log TABLESAMPLE bernoulli (50);
CREATE VIEW v_union AS SELECT id, at::date AS d FROM orders UNION SELECT id, at FROM events;
CREATE VIEW v_logs AS SELECT f_log(name) AS l FROM users;
CREATE VIEW v_ext AS SELECT similarity(name, 'x') AS s, digest(name, 'md5') AS d FROM users;
CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM users;

-- code
CREATE FUNCTION f_lies(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT what FROM log WHERE id = $1';
CREATE FUNCTION mixed(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION app.mixed(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION other.initcap(varchar) RETURNS text LANGUAGE sql AS $$SELECT 'other'$$;
CREATE FUNCTION total_of(int) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT sum(total) FROM orders WHERE user_id = $1';
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
CREATE FUNCTION eq3(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT random() < 0.5';
CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = eq3);
CREATE FUNCTION pair_text(pair) RETURNS text LANGUAGE sql AS $$SELECT ($1).a || clock_timestamp()::text$$;
CREATE CAST (pair AS text) WITH FUNCTION pair_text(pair) AS ASSIGNMENT;
CREATE TABLE pairs (id int PRIMARY KEY, p pair);
CREATE AGGREGATE mul(int) (SFUNC = int4mul, STYPE = int);
CREATE TABLE people (id int PRIMARY KEY, first text, last text);
CREATE FUNCTION full_name(people) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1.first || $1.last';

-- writes with more behind them
CREATE FUNCTION t_log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log (what) VALUES (TG_OP); RETURN NULL; END';
CREATE TABLE watched (id int PRIMARY KEY, v int);
CREATE TRIGGER watch AFTER INSERT OR DELETE ON watched FOR EACH ROW EXECUTE FUNCTION t_log();
CREATE TABLE unwatched (id int PRIMARY KEY, v int);
CREATE TRIGGER watch_off AFTER INSERT ON unwatched FOR EACH ROW EXECUTE FUNCTION t_log();
ALTER TABLE unwatched DISABLE TRIGGER watch_off;
CREATE TABLE declared (id int PRIMARY KEY, v int);
CREATE TRIGGER keep_log AFTER INSERT ON declared FOR EACH ROW EXECUTE FUNCTION t_log();
CREATE TABLE touched (id int PRIMARY KEY, at timestamptz);
CREATE TRIGGER touch BEFORE UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION moddatetime(at);
CREATE TABLE to_watched (id int PRIMARY KEY);
ALTER TABLE watched ADD FOREIGN KEY (v) REFERENCES to_watched ON DELETE CASCADE;
CREATE TABLE ruled (id int PRIMARY KEY);
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO notes (body) VALUES ('ruled');
CREATE TABLE defaulted (id int PRIMARY KEY, v boolean DEFAULT f_log('x'));
CREATE TABLE generated (id int PRIMARY KEY, v int GENERATED ALWAYS AS (twice(id)) STORED);
CREATE TABLE checked (id int PRIMARY KEY CHECK (twice(id) > 0));
CREATE TABLE indexed (id int PRIMARY KEY); CREATE INDEX ON indexed (twice(id));
CREATE TABLE domained (id int PRIMARY KEY, v logged_twice);
CREATE VIEW v_watched AS SELECT * FROM watched;
CREATE VIEW v_instead AS SELECT 1 AS a;
CREATE TRIGGER instead INSTEAD OF INSERT ON v_instead FOR EACH ROW EXECUTE FUNCTION t_log();
CREATE TABLE xml_default (id int, x xml DEFAULT query_to_xml('select 1', true, true, ''));

-- row security
CREATE TABLE docs (id int, tenant text, body text);
ALTER TABLE docs ENABLE ROW LEVEL SECURITY;
CREATE TABLE other.grants (role text);
CREATE POLICY by_tenant ON docs USING (tenant = current_setting('app.tenant', true) AND EXISTS (SELECT FROM other.grants g WHERE g.role = current_user));
CREATE VIEW v_docs AS SELECT body FROM docs;
CREATE TABLE clocked (id int, until timestamptz);
ALTER TABLE clocked ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_clock ON clocked USING (until > now());

-- names
CREATE TABLE app.thing (a int); CREATE TABLE other.thing (a int); CREATE VIEW third.thing AS SELECT id AS a FROM items;
CREATE TABLE app.tables (id int, at timetz);
CREATE TABLE both_times (id int, at timetz, t time);
CREATE TABLE times (id int, t time);
CREATE TABLE names (id int, of regclass);
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE far (line text) SERVER files OPTIONS (filename '/dev/null');
