"""The bookshop's tables as SQLAlchemy's ORM has them."""
from datetime import date, datetime, timezone
from decimal import Decimal

from sqlalchemy import Column, DateTime, ForeignKey, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


book_genres = Table(
    "shop_book_genres",
    Base.metadata,
    Column("book_id", ForeignKey("shop_book.id"), primary_key=True),
    Column("genre_id", ForeignKey("shop_genre.id"), primary_key=True),
)


class Author(Base):
    __tablename__ = "shop_author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    born: Mapped[int]
    books: Mapped[list["Book"]] = relationship(back_populates="author", order_by="Book.title")


class Genre(Base):
    __tablename__ = "shop_genre"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    books: Mapped[list["Book"]] = relationship(secondary=book_genres, back_populates="genres")


class Book(Base):
    __tablename__ = "shop_book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    isbn: Mapped[str] = mapped_column(String(13), unique=True)
    summary: Mapped[str]
    price: Mapped[Decimal]
    published: Mapped[date]
    in_stock: Mapped[bool]
    author_id: Mapped[int] = mapped_column(ForeignKey("shop_author.id"), index=True)
    author: Mapped[Author] = relationship(back_populates="books")
    genres: Mapped[list[Genre]] = relationship(secondary=book_genres, order_by=Genre.name, back_populates="books")
    reviews: Mapped[list["Review"]] = relationship(back_populates="book")


class Review(Base):
    __tablename__ = "shop_review"
    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("shop_book.id"), index=True)
    name: Mapped[str] = mapped_column(String(50))
    stars: Mapped[int]
    text: Mapped[str]
    created: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(timezone.utc))
    book: Mapped[Book] = relationship(back_populates="reviews")
