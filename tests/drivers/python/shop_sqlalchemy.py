"""The bookshop in SQLAlchemy's ORM: `shop_sqlalchemy.py setup`, then `shop_sqlalchemy.py play VISITS`.

A session per request, as web frameworks' tutorials have it. SHOP_VARIANT: `psycopg`, or `asyncpg` with the same
handlers under an AsyncSession, or `autocommit` with psycopg and isolation_level="AUTOCOMMIT".
"""
import asyncio
import os
import re
import sys
import threading
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import create_engine, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import joinedload, selectinload, sessionmaker

from shop_models import Author, Base, Book, Genre, Review
from visits import play

VARIANT = os.environ.get("SHOP_VARIANT", "psycopg")
PAGE = 20


def home(session, query):
    latest = select(Review).options(joinedload(Review.book)).order_by(Review.created.desc(), Review.id.desc())
    return {
        "books": session.scalar(select(func.count()).select_from(Book)),
        "in_stock": session.scalar(select(func.count(Book.id)).where(Book.in_stock)),
        "authors": session.scalar(select(func.count()).select_from(Author)),
        "latest": [[r.name, r.book.title, r.text] for r in session.scalars(latest.limit(5))],
    }


def books(session, query):
    page = int(query.get("page", 1))
    some = select(Book).options(joinedload(Book.author), selectinload(Book.genres)).order_by(Book.title)
    if genre := query.get("genre"):
        some = some.where(Book.genres.any(Genre.id == int(genre)))
    total = session.scalar(select(func.count()).select_from(some.order_by(None).subquery()))
    found = session.scalars(some.offset((page - 1) * PAGE).limit(PAGE)).all()
    return {"total": total, "books": [as_row(book) for book in found]}


def as_row(book):
    return [book.id, book.title, book.author.name, str(book.price), book.in_stock, [g.name for g in book.genres]]


def book(session, query, key):
    found = session.get(Book, key, options=[joinedload(Book.author), selectinload(Book.genres)])
    if found is None:
        return None
    reviews = select(Review).where(Review.book_id == key).order_by(Review.created.desc(), Review.id.desc())
    mean, count = session.execute(
        select(func.avg(Review.stars), func.count(Review.id)).where(Review.book_id == key)
    ).one()
    others = select(Book.title).where(Book.author_id == found.author_id, Book.id != key).order_by(Book.title)
    return {
        "book": as_row(found),
        "summary": found.summary,
        "published": str(found.published),
        "stars": [str(mean), count],
        "reviews": [[r.name, r.stars, r.text] for r in session.scalars(reviews.limit(10))],
        "others": list(session.scalars(others.limit(5))),
    }


def author(session, query, key):
    found = session.get(Author, key)  # its books and their genres are loaded when they are touched
    return found and {"name": found.name, "born": found.born, "books": [as_row(book) for book in found.books]}


def search(session, query):
    words = f"%{query['q']}%"
    found = select(Book).join(Book.author).where(or_(Book.title.ilike(words), Author.name.ilike(words)))
    if query.get("recent"):
        found = found.where(func.extract("year", Book.published) >= 2000)
    count = session.scalar(select(func.count()).select_from(found.subquery()))
    rows = session.scalars(found.options(joinedload(Book.author)).order_by(Book.title).limit(20))
    return {"count": count, "found": [[b.title, b.author.name] for b in rows]}


def genres(session, query):
    counted = (
        select(Genre.name, func.count(Book.id), func.round(func.avg(Book.price), 2))
        .outerjoin(Genre.books).group_by(Genre.id).order_by(Genre.name)
    )
    return [[name, count, str(mean)] for name, count, mean in session.execute(counted)]


def add_review(session, form, key):
    if session.get(Book, key) is None:
        return None
    review = Review(book_id=key, name=form["name"], stars=int(form["stars"]), text=form["text"])
    session.add(review)
    session.commit()
    session.refresh(review)
    return {"added": [review.name, review.stars]}


def edit(session, form, key):
    found = session.get(Book, key)
    if found is None:
        return None
    found.price = Decimal(form["price"])
    found.in_stock = "in_stock" in form
    session.commit()
    return {"book": [found.title, str(found.price), found.in_stock]}


ROUTES = [
    ("GET", r"/", home),
    ("GET", r"/books", books),
    ("GET", r"/books/(\d+)", book),
    ("GET", r"/authors/(\d+)", author),
    ("GET", r"/search", search),
    ("GET", r"/genres", genres),
    ("POST", r"/books/(\d+)/reviews", add_review),
    ("POST", r"/books/(\d+)/edit", edit),
]


def handler_of(visit):
    """The handler with everything but its session."""
    url = urlsplit(visit["path"])
    given = {k: v[0] for k, v in parse_qs(url.query).items()} | visit.get("form", {})
    for method, pattern, handle in ROUTES:
        match = re.fullmatch(pattern, url.path)
        if method == visit["method"] and match:
            keys = [int(key) for key in match.groups()]
            return lambda session: handle(session, given, *keys)
    raise SystemExit(f"no page for {visit}")


def answer(content):
    return (404, None) if content is None else (200, content)


def setup():
    engine = create_engine("postgresql+psycopg://")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.connection.cursor().execute((Path(__file__).parent.parent / "shop.sql").read_text())


def play_in_threads():
    level = {"isolation_level": "AUTOCOMMIT"} if VARIANT == "autocommit" else {}
    engine = create_engine("postgresql+psycopg://", pool_pre_ping=True, **level)
    make_session = sessionmaker(engine)

    def fetch(visit):
        with make_session() as session:
            return answer(handler_of(visit)(session))

    play(fetch)
    engine.dispose()


def play_in_a_loop():
    """The visitors' threads wait for one event loop that does all work."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    engine = create_async_engine("postgresql+asyncpg://", pool_pre_ping=True)

    async def serve(visit):
        async with AsyncSession(engine) as session:
            return answer(await session.run_sync(handler_of(visit)))

    play(lambda visit: asyncio.run_coroutine_threadsafe(serve(visit), loop).result())
    asyncio.run_coroutine_threadsafe(engine.dispose(), loop).result()
    loop.call_soon_threadsafe(loop.stop)


if sys.argv[1] == "setup":
    setup()
elif VARIANT == "asyncpg":
    play_in_a_loop()
else:
    play_in_threads()
