// The bookshop in Drizzle: `shop_drizzle.mjs setup`, then `shop_drizzle.mjs play VISITS`.
// SHOP_VARIANT: the driver, `pg` or `postgres`.
import { readFileSync } from "node:fs";
import { and, asc, avg, count, desc, eq, gte, ilike, ne, or, relations, sql } from "drizzle-orm";
import { boolean, date, integer, numeric, pgTable, primaryKey, text, timestamp, varchar } from "drizzle-orm/pg-core";
import { drizzle as overPg } from "drizzle-orm/node-postgres";
import { drizzle as overPostgres } from "drizzle-orm/postgres-js";
import pg from "pg";
import postgres from "postgres";

const PAGE = 20;

const id = () => integer("id").primaryKey().generatedAlwaysAsIdentity();
const authors = pgTable("shop_author", {
  id: id(),
  name: varchar("name", { length: 100 }).notNull(),
  born: integer("born").notNull(),
});
const genres = pgTable("shop_genre", { id: id(), name: varchar("name", { length: 50 }).notNull().unique() });
const books = pgTable("shop_book", {
  id: id(),
  title: varchar("title", { length: 200 }).notNull(),
  isbn: varchar("isbn", { length: 13 }).notNull().unique(),
  summary: text("summary").notNull(),
  price: numeric("price", { precision: 8, scale: 2 }).notNull(),
  published: date("published").notNull(),
  inStock: boolean("in_stock").notNull().default(true),
  authorId: integer("author_id").notNull().references(() => authors.id),
});
const bookGenres = pgTable("shop_book_genres", {
  bookId: integer("book_id").notNull().references(() => books.id),
  genreId: integer("genre_id").notNull().references(() => genres.id),
}, (table) => [primaryKey({ columns: [table.bookId, table.genreId] })]);
const reviews = pgTable("shop_review", {
  id: id(),
  bookId: integer("book_id").notNull().references(() => books.id),
  name: varchar("name", { length: 50 }).notNull(),
  stars: integer("stars").notNull(),
  text: text("text").notNull(),
  created: timestamp("created", { withTimezone: true }).notNull().defaultNow(),
});

const authorsRelations = relations(authors, ({ many }) => ({ books: many(books) }));
const genresRelations = relations(genres, ({ many }) => ({ books: many(bookGenres) }));
const booksRelations = relations(books, ({ one, many }) => ({
  author: one(authors, { fields: [books.authorId], references: [authors.id] }),
  genres: many(bookGenres),
  reviews: many(reviews),
}));
const bookGenresRelations = relations(bookGenres, ({ one }) => ({
  book: one(books, { fields: [bookGenres.bookId], references: [books.id] }),
  genre: one(genres, { fields: [bookGenres.genreId], references: [genres.id] }),
}));
const reviewsRelations = relations(reviews, ({ one }) => ({
  book: one(books, { fields: [reviews.bookId], references: [books.id] }),
}));
const schema = {
  authors, genres, books, bookGenres, reviews,
  authorsRelations, genresRelations, booksRelations, bookGenresRelations, reviewsRelations,
};

// What drizzle-kit would make of the schema.
const TABLES = `
create table shop_author (id int primary key generated always as identity, name varchar(100) not null, born int not null);
create table shop_genre (id int primary key generated always as identity, name varchar(50) not null unique);
create table shop_book (id int primary key generated always as identity, title varchar(200) not null,
  isbn varchar(13) not null unique, summary text not null, price numeric(8, 2) not null, published date not null,
  in_stock boolean not null default true, author_id int not null references shop_author);
create table shop_book_genres (book_id int not null references shop_book, genre_id int not null references shop_genre,
  primary key (book_id, genre_id));
create table shop_review (id int primary key generated always as identity, book_id int not null references shop_book,
  name varchar(50) not null, stars int not null, text text not null, created timestamptz not null default now());
`;

const withGenres = { author: true, genres: { with: { genre: true }, orderBy: asc(bookGenres.genreId) } };

async function home(db) {
  const latest = db.query.reviews.findMany({
    with: { book: { columns: { title: true } } },
    orderBy: [desc(reviews.created), desc(reviews.id)],
    limit: 5,
  });
  return {
    books: await db.$count(books),
    inStock: await db.$count(books, eq(books.inStock, true)),
    authors: await db.$count(authors),
    latest: (await latest).map((r) => [r.name, r.book.title, r.text]),
  };
}

async function bookList(db, query) {
  const page = Number(query.get("page") ?? 1);
  let some = db.select({ id: books.id, title: books.title, price: books.price, author: authors.name }).from(books)
    .innerJoin(authors, eq(books.authorId, authors.id)).$dynamic();
  let all = db.select({ total: count() }).from(books).$dynamic();
  if (query.has("genre")) {
    const joined = eq(bookGenres.bookId, books.id);
    const chosen = eq(bookGenres.genreId, Number(query.get("genre")));
    some = some.innerJoin(bookGenres, joined).where(chosen);
    all = all.innerJoin(bookGenres, joined).where(chosen);
  }
  const [{ total }] = await all;
  return { total, books: await some.orderBy(asc(books.title)).limit(PAGE).offset((page - 1) * PAGE) };
}

async function bookPage(db, _, key) {
  const book = await db.query.books.findFirst({ where: eq(books.id, key), with: withGenres });
  if (!book) return null;
  const ofBook = eq(reviews.bookId, key);
  const [stars] = await db.select({ mean: avg(reviews.stars), count: count(reviews.id) }).from(reviews).where(ofBook);
  const last = await db.select({ name: reviews.name, stars: reviews.stars, text: reviews.text }).from(reviews)
    .where(ofBook).orderBy(desc(reviews.created), desc(reviews.id)).limit(10);
  const others = await db.select({ title: books.title }).from(books)
    .where(and(eq(books.authorId, book.authorId), ne(books.id, key))).orderBy(asc(books.title)).limit(5);
  return { book, stars, last, others };
}

async function authorPage(db, _, key) {
  return (await db.query.authors.findFirst({
    where: eq(authors.id, key),
    with: { books: { with: withGenres, orderBy: asc(books.title) } },
  })) ?? null;
}

async function search(db, query) {
  const words = `%${query.get("q")}%`;
  let wanted = or(ilike(books.title, words), ilike(authors.name, words));
  if (query.has("recent")) wanted = and(wanted, gte(books.published, "2000-01-01"));
  const joined = eq(books.authorId, authors.id);
  const [{ total }] = await db.select({ total: count() }).from(books).innerJoin(authors, joined).where(wanted);
  const found = await db.select({ title: books.title, author: authors.name }).from(books).innerJoin(authors, joined)
    .where(wanted).orderBy(asc(books.title)).limit(20);
  return { total, found };
}

function genreList(db) {
  const mean = sql`round(avg(${books.price}), 2)`.mapWith(String);
  return db.select({ name: genres.name, books: count(books.id), mean }).from(genres)
    .leftJoin(bookGenres, eq(bookGenres.genreId, genres.id)).leftJoin(books, eq(bookGenres.bookId, books.id))
    .groupBy(genres.id).orderBy(asc(genres.name));
}

async function addReview(db, form, key) {
  const [book] = await db.select({ id: books.id }).from(books).where(eq(books.id, key));
  if (!book) return null;
  const values = { bookId: key, name: form.name, stars: Number(form.stars), text: form.text };
  return db.insert(reviews).values(values).returning({ name: reviews.name, stars: reviews.stars });
}

function edit(db, form, key) {
  return db.transaction(async (tx) => {
    const [book] = await tx.select().from(books).where(eq(books.id, key)).for("update");
    if (!book) return null;
    const set = { price: form.price, inStock: "in_stock" in form };
    return tx.update(books).set(set).where(eq(books.id, key)).returning({ title: books.title, price: books.price });
  });
}

const ROUTES = [
  ["GET", /^\/$/, home],
  ["GET", /^\/books$/, bookList],
  ["GET", /^\/books\/(\d+)$/, bookPage],
  ["GET", /^\/authors\/(\d+)$/, authorPage],
  ["GET", /^\/search$/, search],
  ["GET", /^\/genres$/, genreList],
  ["POST", /^\/books\/(\d+)\/reviews$/, addReview],
  ["POST", /^\/books\/(\d+)\/edit$/, edit],
];

async function fetch(db, visit) {
  const url = new URL(visit.path, "http://shop");
  for (const [method, pattern, handle] of ROUTES) {
    const match = url.pathname.match(pattern);
    if (method !== visit.method || !match) continue;
    const content = await handle(db, visit.form ?? url.searchParams, Number(match[1]));
    return { visit, status: content === null ? 404 : 200, content };
  }
  throw new Error(`no page for ${visit.path}`);
}

// The reads between two writes are played by all visitors at once, each in its own order.
async function play(db, visits) {
  const lanes = new Map();
  const pages = [];
  for (const visit of visits) {
    if (visit.method !== "GET") await Promise.all(lanes.values());
    const page = (lanes.get(visit.visitor) ?? Promise.resolve()).then(() => fetch(db, visit));
    lanes.set(visit.visitor, page);
    pages.push(page);
    if (visit.method !== "GET") await page;
  }
  for (const page of await Promise.all(pages)) console.log(JSON.stringify(page));
}

const ofPg = process.env.SHOP_VARIANT !== "postgres";
const pool = ofPg ? new pg.Pool({ max: 8 }) : postgres({ max: 8 });
if (process.argv[2] === "setup") {
  const run = (text) => (ofPg ? pool.query(text) : pool.unsafe(text));
  await run(TABLES);
  await run(readFileSync(new URL("../shop.sql", import.meta.url), "utf8"));
} else {
  const db = ofPg ? overPg(pool, { schema }) : overPostgres(pool, { schema });
  const lines = readFileSync(process.argv[3], "utf8").trim().split("\n");
  await play(db, lines.map((line) => JSON.parse(line)));
}
await pool.end();
