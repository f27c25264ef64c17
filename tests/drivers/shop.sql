-- The bookshop's stock, the same in every application's tables: 12 genres, 300 authors, 1000 books.
insert into shop_genre (name)
select 'Genre ' || n from generate_series(1, 12) n;

insert into shop_author (name, born)
select (array['Ada', 'Ben', 'Cleo', 'Dan', 'Eva', 'Finn', 'Gil'])[1 + n % 7] || ' '
    || (array['Miller', 'Weir', 'Brook', 'Rivers', 'Ford'])[1 + n % 5] || ' ' || n, 1900 + n % 90
from generate_series(1, 300) n;

insert into shop_book (title, isbn, summary, price, published, in_stock, author_id)
select 'The ' || (array['Silent', 'Broken', 'Golden', 'Last', 'Hidden', 'Cold', 'Long'])[1 + n % 7] || ' '
    || (array['River', 'Mill', 'Bridge', 'Harbour', 'Garden', 'Winter', 'Letter', 'Door', 'Island', 'Clock', 'Train'])[1 + n % 11]
    || ' ' || n,
    '978' || lpad(n::text, 10, '0'), repeat('A story told at length, number ' || n || '. ', 8),
    5 + (n * 37 % 4000) / 100.0, date '1950-01-01' + n * 13, n % 9 <> 0, 1 + n * 7 % 300
from generate_series(1, 1000) n;

insert into shop_book_genres (book_id, genre_id)
select n, 1 + n % 12 from generate_series(1, 1000) n
union all
select n, 1 + (n + 5) % 12 from generate_series(1, 1000) n where n % 2 = 0;

insert into shop_review (book_id, name, stars, text, created)
select 1 + (n * n) % 1000, 'reader ' || n % 97, 1 + n % 5, 'Review number ' || n || ', as honest as any.',
    timestamptz '2024-01-01 00:00:00+00' + n * interval '1 hour'
from generate_series(1, 6000) n;

analyze;
