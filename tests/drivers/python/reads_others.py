"""Reads in the manner of other ORMs, with the quoting, aliases and clauses they are known for: asked twice,
each must come from memory.
"""
import sys

import psycopg

from told import Told

READS = {
    "Prisma: findUnique": (
        'SELECT "public"."shop_book"."id", "public"."shop_book"."title", "public"."shop_book"."price" FROM "public"."shop_book" '
        'WHERE ("public"."shop_book"."id" = $1 AND 1=1) LIMIT $2 OFFSET $3 /* traceparent=\'00-0af7-b7ad-01\' */', [1, 1, 0]),
    "Prisma: findMany": (
        'SELECT "public"."shop_book"."id", "public"."shop_book"."title" FROM "public"."shop_book" WHERE ('
        '"public"."shop_book"."in_stock" = $1 AND "public"."shop_book"."title"::text ILIKE $2) '
        'ORDER BY "public"."shop_book"."title" ASC LIMIT $3 OFFSET $4', [True, "%mill%", 10, 0]),
    "Prisma: include": (
        'SELECT "public"."shop_review"."id", "public"."shop_review"."book_id" FROM "public"."shop_review" '
        'WHERE "public"."shop_review"."book_id" IN ($1,$2,$3) OFFSET $4', [1, 2, 3, 0]),
    "Prisma: include by joins": (
        'SELECT "t0"."id", "t0"."title", "t0_author"."__prisma_data__" AS "author" FROM "public"."shop_book" AS "t0" '
        'LEFT JOIN LATERAL (SELECT JSONB_BUILD_OBJECT(\'id\', "t1"."id", \'name\', "t1"."name") AS "__prisma_data__" '
        'FROM (SELECT "t2".* FROM "public"."shop_author" AS "t2" WHERE "t0"."author_id" = "t2"."id" /* root select */) AS "t1"'
        ') AS "t0_author" ON TRUE ORDER BY "t0"."id" LIMIT $1', [3]),
    "Prisma: include many by joins": (
        'SELECT "t0"."id", "r"."__prisma_data__" AS "reviews" FROM "public"."shop_book" AS "t0" LEFT JOIN LATERAL ('
        'SELECT COALESCE(JSONB_AGG("__prisma_data__"), \'[]\') AS "__prisma_data__" FROM (SELECT "t4"."__prisma_data__" FROM ('
        'SELECT JSONB_BUILD_OBJECT(\'id\', "t3"."id") AS "__prisma_data__" FROM (SELECT "t1".* FROM "public"."shop_review" '
        'AS "t1" WHERE "t0"."id" = "t1"."book_id") AS "t3") AS "t4") AS "t5") AS "r" ON TRUE WHERE "t0"."id" = $1 LIMIT $2',
        [1, 1]),
    "Prisma: count": (
        'SELECT COUNT(*) FROM (SELECT "public"."shop_book"."id" FROM "public"."shop_book" WHERE 1=1 OFFSET $1) AS "sub"', [0]),
    "Prisma: count of a relation": (
        'SELECT "t"."id", COALESCE("aggr"."_n", 0) AS "_n" FROM "public"."shop_book" AS "t" LEFT JOIN (SELECT "book_id", '
        'COUNT(*) AS "_n" FROM "public"."shop_review" WHERE 1=1 GROUP BY "book_id") AS "aggr" '
        'ON ("t"."id" = "aggr"."book_id") WHERE 1=1 ORDER BY "t"."id" LIMIT $1 OFFSET $2', [3, 0]),
    "Prisma: none": (
        'SELECT "t"."id" FROM "shop_book" AS "t" WHERE ("t"."id") NOT IN (SELECT "j"."book_id" FROM "shop_review" AS "j" WHERE '
        '("j"."stars" = $1 AND "j"."book_id" IS NOT NULL)) ORDER BY "t"."id" LIMIT $2', [5, 3]),
    "Rails: find": ('SELECT "shop_book".* FROM "shop_book" WHERE "shop_book"."id" = $1 LIMIT $2', [1, 1]),
    "Rails: exists?": ('SELECT 1 AS one FROM "shop_book" WHERE "shop_book"."isbn" = $1 LIMIT $2', ["9780000000001", 1]),
    "Rails: includes": ('SELECT "shop_review".* FROM "shop_review" WHERE "shop_review"."book_id" IN ($1, $2)', [1, 2]),
    "Rails: eager_load": (
        'SELECT "shop_book"."id" AS t0_r0, "shop_author"."id" AS t1_r0 FROM "shop_book" LEFT OUTER JOIN "shop_author" ON '
        '"shop_author"."id" = "shop_book"."author_id" WHERE "shop_book"."price" BETWEEN $1 AND $2 ORDER BY "shop_book"."id"',
        [5, 6]),
    "Rails: tagged": (
        'SELECT COUNT(*) FROM "shop_book" WHERE "shop_book"."in_stock" = $1 /*application=\'Shop\',controller=\'books\'*/', [True]),
    "Rails: group, count": (
        'SELECT COUNT(*) AS "count_all", "shop_book"."author_id" AS "shop_book_author_id" FROM "shop_book" '
        'GROUP BY "shop_book"."author_id" ORDER BY 1, 2', []),
    "Rails: page of distinct": (
        'SELECT DISTINCT "shop_book"."title" AS alias_0, "shop_book"."id" FROM "shop_book" INNER JOIN "shop_review" ON '
        '"shop_review"."book_id" = "shop_book"."id" ORDER BY "shop_book"."title" ASC LIMIT $1 OFFSET $2', [3, 0]),
    "Hibernate: find": (
        "select b1_0.id,a1_0.id,a1_0.name,b1_0.title from shop_book b1_0 left join shop_author a1_0 on a1_0.id=b1_0.author_id "
        "where b1_0.id=$1", [1]),
    "Hibernate: page": (
        "select b1_0.id,b1_0.title from shop_book b1_0 where lower(b1_0.title) like $1 escape '' order by b1_0.title "
        "offset $2 rows fetch first $3 rows only", ["%mill%", 0, 5]),
    "Hibernate: like": ("select b1_0.id from shop_book b1_0 where upper(b1_0.title) like upper($1) escape '\\'", ["%mill%"]),
    "Hibernate: count": ("select count(b1_0.id) from shop_book b1_0 where b1_0.price>$1", [10]),
    "Hibernate: batch": ("select r1_0.book_id,r1_0.id from shop_review r1_0 where r1_0.book_id = any ($1)", [[1, 2, 3]]),
    "Hibernate: in": ("select g1_0.id,g1_0.name from shop_genre g1_0 where g1_0.id in ($1,$2)", [1, 2]),
    "TypeORM: findOne": (
        'SELECT "Book"."id" AS "Book_id", "Book"."title" AS "Book_title" FROM "shop_book" "Book" WHERE (("Book"."id" = $1)) LIMIT 1',
        [1]),
    "TypeORM: page with relations": (
        'SELECT DISTINCT "distinctAlias"."Book_id" AS "ids_Book_id", "distinctAlias"."Book_title" FROM (SELECT "Book"."id" AS '
        '"Book_id", "Book"."title" AS "Book_title" FROM "shop_book" "Book" LEFT JOIN "shop_review" "r" ON "r"."book_id"="Book"."id") '
        '"distinctAlias" ORDER BY "distinctAlias"."Book_title" ASC, "Book_id" ASC LIMIT 10', []),
    "TypeORM: count": ('SELECT COUNT(DISTINCT("Book"."id")) AS "cnt" FROM "shop_book" "Book"', []),
    "TypeORM: existsBy": (
        'SELECT 1 AS "row_exists" FROM (SELECT 1 AS dummy_column) "dummy_table" WHERE EXISTS '
        '(SELECT 1 FROM "shop_book" "Book" WHERE "Book"."title" = $1) LIMIT 1', ["none"]),
    "Sequelize: findAndCountAll": (
        'SELECT count(*) AS "count" FROM "shop_book" AS "Book" WHERE "Book"."title" ILIKE \'%mill%\';', []),
    "Sequelize: include": (
        'SELECT "Book".*, "reviews"."id" AS "reviews.id" FROM (SELECT "Book"."id", "Book"."title" FROM "shop_book" AS "Book" '
        'ORDER BY "Book"."title" ASC LIMIT 3 OFFSET 0) AS "Book" LEFT OUTER JOIN "shop_review" AS "reviews" ON '
        '"Book"."id" = "reviews"."book_id" ORDER BY "Book"."title" ASC, "reviews"."id";', []),
    "Knex": ('select * from "shop_book" where "price" > $1 and "in_stock" = $2 order by "id" asc limit $3', [5, True, 3]),
    "Kysely": (
        'select "id", (select coalesce(json_agg(agg), \'[]\') from (select "r"."id" from "shop_review" as "r" where '
        '"r"."book_id" = "shop_book"."id") as agg) as "reviews" from "shop_book" order by "id" limit $1', [3]),
    "MikroORM": ('select "b0".* from "shop_book" as "b0" where "b0"."id" = $1 limit $2', [1, 1]),
    "Ecto: get": ('SELECT s0."id", s0."title" FROM "shop_book" AS s0 WHERE (s0."id" = $1)', [1]),
    "Ecto: preload": (
        'SELECT s0."id", s0."book_id", s0."book_id" FROM "shop_review" AS s0 WHERE (s0."book_id" = ANY($1)) ORDER BY s0."book_id", s0."id"',
        [[1, 2]]),
    "Ecto: exists?": ('SELECT 1 FROM "shop_book" AS s0 WHERE (s0."title" = $1) LIMIT 1', ["none"]),
    "Ecto: ilike": ('SELECT count(*) FROM "shop_book" AS s0 WHERE (s0."title" ILIKE $1)', ["%mill%"]),
    "EF Core: include": (
        'SELECT b0."id", b0."title", s."id", s."text" FROM (SELECT b."id", b."title" FROM "shop_book" AS b WHERE b."price" > $1 '
        'ORDER BY b."id" LIMIT $2) AS b0 LEFT JOIN "shop_review" AS s ON b0."id" = s."book_id" ORDER BY b0."id", s."id"', [5, 3]),
    "EF Core: contains": (
        'SELECT b."id" FROM "shop_book" AS b WHERE strpos(b."title", $1) > 0 OR b."title" LIKE $2 ESCAPE \'\'', ["Mill", "A%"]),
    "EF Core: any": (
        'SELECT EXISTS (SELECT 1 FROM "shop_book" AS b WHERE b."id" = ANY ($1))', [[1, 2]]),
    "EF Core: count": ('SELECT count(*)::int FROM "shop_book" AS b WHERE date_part(\'year\', b."published")::int = $1', [1970]),
    "EF Core: lateral": (
        'SELECT a."id", t."id" FROM "shop_author" AS a LEFT JOIN LATERAL (SELECT b."id" FROM "shop_book" AS b WHERE '
        'a."id" = b."author_id" ORDER BY b."price" DESC LIMIT 1) AS t ON TRUE ORDER BY a."id" LIMIT $1', [3]),
    "Laravel: find": ('select * from "shop_book" where "shop_book"."id" = $1 limit 1', [1]),
    "Laravel: paginate": ('select count(*) as aggregate from "shop_book" where "in_stock" = $1', [True]),
    "Laravel: exists": ('select exists(select * from "shop_book" where "isbn" = $1) as "exists"', ["9780000000001"]),
    "Laravel: withCount": (
        'select "shop_book".*, (select count(*) from "shop_review" where "shop_book"."id" = "shop_review"."book_id") as '
        '"reviews_count" from "shop_book" order by "shop_book"."id" limit 3', []),
    "Laravel: whereHas": (
        'select "id" from "shop_book" where exists (select * from "shop_review" where "shop_book"."id" = "shop_review"."book_id" '
        'and "stars" = $1) order by "id" limit 3', [5]),
    "Laravel: like": ('select "id" from "shop_book" where "title"::text ilike $1', ["%mill%"]),
    "Laravel: whereDate": ('select "id" from "shop_review" where "created"::date = $1', ["2024-02-03"]),
    "Doctrine": ("SELECT t0.id AS id_1, t0.title AS title_2 FROM shop_book t0 WHERE t0.id = $1", [1]),
    "Doctrine: page": (
        "SELECT DISTINCT id_0 FROM (SELECT DISTINCT id_0, title_1 FROM (SELECT s0_.id AS id_0, s0_.title AS title_1 FROM "
        "shop_book s0_ LEFT JOIN shop_review s1_ ON s0_.id = s1_.book_id) dctrn_result_inner ORDER BY title_1 ASC, id_0 ASC) "
        "dctrn_result LIMIT 3", []),
    "GORM: First": ('SELECT * FROM "shop_book" WHERE "shop_book"."id" = $1 ORDER BY "shop_book"."id" LIMIT $2', [1, 1]),
    "GORM: Preload": ('SELECT * FROM "shop_review" WHERE "shop_review"."book_id" IN ($1,$2)', [1, 2]),
    "Diesel": (
        'SELECT "shop_book"."id", "shop_book"."title" FROM "shop_book" WHERE ("shop_book"."in_stock" = $1) '
        'ORDER BY "shop_book"."title" DESC LIMIT $2', [True, 3]),
    "SeaORM": (
        'SELECT "shop_book"."id", "shop_book"."title" FROM "shop_book" WHERE "shop_book"."title" LIKE $1 LIMIT $2', ["The%", 3]),
    "jOOQ: multiset": (
        'select "b"."id", (select coalesce(jsonb_agg(jsonb_build_array("v0")), jsonb_build_array()) from (select "r"."id" as "v0" '
        'from "shop_review" as "r" where "r"."book_id" = "b"."id") as "t") from "shop_book" as "b" order by "b"."id" '
        'fetch next $1 rows only', [3]),
    "PostgREST": (
        'WITH pgrst_source AS (SELECT "public"."shop_book"."id", "public"."shop_book"."title" FROM "public"."shop_book" WHERE '
        '"public"."shop_book"."id" = $1 LIMIT $2 OFFSET $3) SELECT null::bigint AS total_result_set, '
        'pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), \'[]\') AS body '
        'FROM (SELECT * FROM pgrst_source) _postgrest_t', [1, 10, 0]),
    "Hasura": (
        'SELECT coalesce(json_agg("root"), \'[]\') AS "root" FROM (SELECT row_to_json((SELECT "_e" FROM (SELECT "_b"."id" AS "id", '
        '"_b"."title" AS "title") AS "_e")) AS "root" FROM (SELECT * FROM "public"."shop_book" WHERE (("public"."shop_book"."id") '
        '= (($1)::integer))) AS "_b") AS "_r"', [1]),
    "An empty set": ('select * from "shop_book" where 1 = 0', []),
}

connection = psycopg.connect(autocommit=True)
told = Told(connection)
for label, (query, parameters) in READS.items():
    cursor = psycopg.RawCursor(connection)
    told.check(label, lambda: cursor.execute(query, parameters).fetchall())
sys.exit(told.failures > 0)
