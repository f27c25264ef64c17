"""What SQLAlchemy makes of the usual kinds of reads: asked twice, each must come from memory."""
import os
import sys
from datetime import date, datetime, timedelta, timezone

from sqlalchemy import (
    Date, Integer, String, and_, any_, between, bindparam, case, cast, column, create_engine, desc, distinct, exists,
    extract, false, func, lateral, literal, literal_column, not_, null, or_, select, text, tuple_, union_all, values,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, array, distinct_on
from sqlalchemy.orm import Session, aliased, contains_eager, joinedload, load_only, selectinload, subqueryload

from shop_models import Author, Book, Genre, Review
from told import Told

moment = datetime(2024, 3, 1, tzinfo=timezone.utc)
Other = aliased(Book)
counted = select(Book.author_id, func.count().label("n")).group_by(Book.author_id)
cte = counted.cte("counted")
sub = counted.subquery()
tree = select(literal(1).label("n")).cte("tree", recursive=True)
tree = tree.union_all(select(tree.c.n + 1).where(tree.c.n < 5))
newest = select(Review.stars).where(Review.book_id == Book.id).order_by(desc(Review.created)).limit(1)
side = lateral(select(Review.text).where(Review.book_id == Book.id).order_by(Review.id).limit(1))
B = select(Book.id).order_by(Book.id).limit(5)

READS = {
    "all columns": select(Book.__table__).order_by(Book.id).limit(5),
    "where": B.where(Book.price > 10, Book.in_stock.is_(True)),
    "or, not": B.where(or_(Book.price < 6, not_(Book.in_stock)), ~and_(Book.id == 1, Book.id == 2)),
    "in": B.where(Book.id.in_([1, 2, 3])),
    "in nothing": B.where(Book.id.in_([])),
    "not in": B.where(Book.id.not_in([1, 2, 3])),
    "in texts": B.where(Book.isbn.in_(["9780000000001", "9780000000002"])),
    "tuple in": B.where(tuple_(Book.id, Book.author_id).in_([(1, 8), (2, 15)])),
    "like": B.where(Book.title.like("The%")),
    "ilike": B.where(Book.title.ilike("%mill%")),
    "contains": B.where(Book.title.contains("Mill", autoescape=True)),
    "startswith": B.where(Book.title.istartswith("the")),
    "regexp": B.where(Book.title.regexp_match(r"Mill \d+$")),
    "regexp, flags": B.where(Book.title.regexp_match(r"mill \d+$", flags="i")),
    "between": B.where(between(Book.price, 5, 6)),
    "dates": B.where(Book.published >= date(1970, 1, 1)),
    "moments": select(Review.id).where(Review.created >= moment).limit(3),
    "moment minus": select(Review.id).where(Review.created - timedelta(days=1) < moment).limit(3),
    "date of a moment": select(cast(Review.created, Date), func.count()).group_by(cast(Review.created, Date)).limit(3),
    "date_trunc": select(func.date_trunc("month", Review.created), func.count()).group_by(literal_column("1")),
    "date()": select(func.date(Review.created)).limit(3),
    "to_char": select(func.to_char(Review.created, "YYYY-MM")).limit(3),
    "extract": B.where(extract("year", Book.published) == 1970),
    "count distinct": select(func.count(distinct(Book.author_id))),
    "aggregates": select(func.avg(Book.price), func.sum(Book.price), func.min(Book.price), func.max(Book.id)),
    "filter": select(func.count().filter(Book.in_stock)).select_from(Book),
    "percentile": select(func.percentile_cont(0.5).within_group(Book.price)),
    "having": counted.having(func.count() > 3).order_by(Book.author_id),
    "case": select(case((Book.price < 10, "low"), else_="high")).limit(3),
    "coalesce": select(func.coalesce(Book.title, "-"), func.nullif(Book.title, "")).limit(3),
    "concat": select(Book.title + " by " + Author.name).join(Book.author).limit(3),
    "concat()": select(func.concat(Book.title, "-", Book.price)).limit(3),
    "lower": B.where(func.lower(Book.title) == "the last mill 3"),
    "cast": select(cast(Book.price, Integer), cast(Book.id, String)).limit(3),
    "round": select(func.round(Book.price), func.floor(Book.price), func.abs(Book.id)).limit(3),
    "arithmetic": select(Book.price * 2 + 1, Book.id % 7, -Book.id, Book.price / 3).limit(3),
    "null": select(null(), false(), literal("x")).select_from(Book).limit(1),
    "exists": B.where(exists().where(Review.book_id == Book.id, Review.stars == 5)),
    "any": B.where(Book.genres.any(Genre.name == "Genre 2")),
    "has": B.where(Book.author.has(Author.born > 1950)),
    "= any": B.where(Book.id == any_(bindparam("ids", [1, 2, 3]))),
    "= any array": B.where(Book.id == any_(array([1, 2, 3]))),
    "scalar subquery": select(Book.id, newest.scalar_subquery()).limit(3),
    "subquery": select(sub.c.n, Author.name).join(Author, Author.id == sub.c.author_id).limit(3),
    "cte": select(cte.c.n, Author.name).join(Author, Author.id == cte.c.author_id).limit(3),
    "recursive cte": select(tree.c.n),
    "lateral": select(Book.id, side.c.text).join(side, literal(True)).limit(3),
    "self join": select(Book.id, Other.id).join(Other, Other.author_id == Book.author_id).limit(3),
    "outer join": select(Book.id, Review.id).outerjoin(Book.reviews).order_by(Book.id, Review.id).limit(3),
    "distinct on": select(Book.author_id, Book.id).ext(distinct_on(Book.author_id)).order_by(Book.author_id, Book.id).limit(3),
    "window": select(Book.id, func.row_number().over(partition_by=Book.author_id, order_by=Book.price)).limit(3),
    "lag": select(func.lag(Book.price, 1, 0).over(order_by=Book.id)).limit(3),
    "running sum": select(func.sum(Book.price).over(order_by=Book.id, rows=(None, 0))).limit(3),
    "grouping sets": select(Book.in_stock, func.count()).group_by(func.rollup(Book.in_stock)),
    "union": union_all(select(Book.id).where(Book.id == 1), select(Author.id).where(Author.id == 2)),
    "nulls last": select(Book.id).order_by(Book.price.desc().nulls_last(), Book.id).limit(3),
    "array_agg": select(func.array_agg(aggregate_order_by(Book.title, Book.title))).where(Book.author_id == 1),
    "string_agg": select(func.string_agg(Book.title, aggregate_order_by(literal(", "), Book.id))).where(Book.id < 5),
    "json": select(func.json_build_object("t", Book.title, "p", Book.price)).limit(3),
    "json_agg": select(func.jsonb_agg(Book.title)).where(Book.author_id == 1),
    "json operators": select(cast(literal('{"a": {"b": 1}}'), JSONB)["a"]["b"].astext).select_from(Book).limit(1),
    "json contains": select(cast(literal('{"a": 1}'), JSONB).contains({"a": 1})).select_from(Book).limit(1),
    "row_to_json": select(func.row_to_json(text("shop_genre"))).select_from(Genre).limit(1),
    "generate_series": select(func.generate_series(1, 3)),
    "calendar": select(func.generate_series(cast("2024-01-01", Date), cast("2024-02-01", Date), timedelta(days=7))),
    "values": select(values(column("n", Integer), name="v").data([(1,), (2,)])),
    "unnest": select(func.unnest(array([1, 2, 3]))),
    "full text": B.where(func.to_tsvector("english", Book.title).op("@@")(func.plainto_tsquery("english", "river"))),
    "match": B.where(Book.title.match("river")),
    "text": text("SELECT id FROM shop_book WHERE title LIKE :t AND id = ANY(:ids) ORDER BY 1").bindparams(
        t="The%", ids=[1, 2, 3]),
    "collate": select(Book.title.collate("C")).order_by(Book.title.collate("C")).limit(3),
    "greatest": select(func.greatest(Book.price, 10), func.least(Book.id, 3)).limit(3),
    "functions of texts": select(
        func.length(Book.title), func.substr(Book.title, 1, 3), func.trim(Book.title), func.replace(Book.title, "a", "b"),
        func.split_part(Book.title, " ", 2), func.left(Book.title, 2), func.lpad(Book.title, 9), func.initcap(Book.title),
        func.regexp_replace(Book.title, "a+", "b"), func.md5(Book.title), func.strpos(Book.title, "i"),
    ).limit(3),
}
LOADS = {
    "joinedload": select(Book).options(joinedload(Book.author), joinedload(Book.genres)).limit(3),
    "selectinload": select(Author).options(selectinload(Author.books).selectinload(Book.genres)).limit(3),
    "subqueryload": select(Author).options(subqueryload(Author.books)).order_by(Author.id).limit(3),
    "contains_eager": select(Book).join(Book.author).options(contains_eager(Book.author)).order_by(Book.id).limit(3),
    "load_only": select(Book).options(load_only(Book.title)).order_by(Book.id).limit(3),
}
NOT = {
    "now()": ("volatile", select(Review.id).where(Review.created < func.now()).limit(1)),
    "current_date": ("volatile", select(Book.id).where(Book.published < func.current_date()).limit(1)),
    "random()": ("volatile", select(func.random() > 2)),
    "for update": ("locks", select(Book.id).where(Book.id == 1).with_for_update()),
}

engine = create_engine("postgresql+psycopg://", isolation_level="AUTOCOMMIT")
with Session(engine) as session:
    told = Told(session.connection().connection.driver_connection)

    def rows(query):
        return [tuple(row) for row in session.execute(query)]

    def loaded(query):
        session.expunge_all()
        return [entity.id for entity in session.scalars(query).unique()]

    for label, query in READS.items():
        told.check(label, lambda: rows(query))
    for label, query in LOADS.items():
        told.check(label, lambda: loaded(query))
    for label, (reason, query) in NOT.items():
        told.check(label, lambda: rows(query), reason)
sys.exit(told.failures > 0)
