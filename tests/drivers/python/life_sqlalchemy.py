"""SQLAlchemy: Core and ORM over psycopg, ORM over asyncpg."""
import asyncio
import os
import ssl
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import String, create_engine, exc, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "life_sqlalchemy"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))


def orm(engine):
    with Session(engine) as session:
        session.add_all([Item(name=f"item {n}") for n in range(50)])
        session.commit()
        assert session.scalar(select(func.count()).select_from(Item)) == 50
        first = session.scalars(select(Item).order_by(Item.id)).first()
        first.name = "changed"
        session.rollback()
        assert session.get(Item, first.id).name == "item 0"
        session.add(Item(id=first.id, name="again"))
        try:
            session.commit()
            raise SystemExit("no error")
        except exc.IntegrityError:
            session.rollback()


def core(engine):
    with engine.begin() as conn:
        conn.execute(insert(Item), [{"name": f"bulk {n}"} for n in range(500)])
        with conn.begin_nested() as savepoint:
            conn.execute(text("delete from life_sqlalchemy"))
            savepoint.rollback()
        stream = conn.execution_options(yield_per=50).execute(select(Item.id))
        assert len(list(stream)) >= 550
    with engine.connect() as conn:
        try:
            conn.execute(text("set statement_timeout = 100"))
            conn.execute(text("select pg_sleep(20)"))
            raise SystemExit("not cancelled")
        except exc.OperationalError:
            conn.rollback()
        cursor = conn.connection.cursor()
        with cursor.copy("copy life_sqlalchemy (name) from stdin") as out:
            out.write_row(("copied",))
        conn.commit()


def one_of_many(engine, n):
    with engine.connect() as conn:
        for k in range(20):
            assert conn.scalar(text("select cast(:v as text)"), {"v": f"{n}-{k}"}) == f"{n}-{k}"
            conn.commit()


async def asynchronous():
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    engine = create_async_engine("postgresql+asyncpg://", connect_args={"ssl": context})
    async with AsyncSession(engine) as session:
        assert len((await session.scalars(select(Item).where(Item.name.like("bulk%")))).all()) == 500
    await engine.dispose()


engine = create_engine("postgresql+psycopg://", pool_size=12, pool_pre_ping=True)
Base.metadata.drop_all(engine)
Base.metadata.create_all(engine)
orm(engine)
core(engine)
with ThreadPoolExecutor(12) as pool:
    list(pool.map(lambda n: one_of_many(engine, n), range(24)))
asyncio.run(asynchronous())
Base.metadata.drop_all(engine)
