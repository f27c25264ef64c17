//! A script of visits to a bookshop: mostly browsing, popular books more often, now and then a write.

use fastrand::Rng;
use serde_json::{Value, json};

const VISITORS: u64 = 24;
const BOOKS: usize = 1000;
const AUTHORS: usize = 300;
const PAGES: usize = 50;

/// Of 100 visits, so many write.
const WRITES: u32 = 5;

const WORDS: [&str; 11] = [
    "river", "mill", "bridge", "harbour", "garden", "winter", "letter", "door", "island", "clock",
    "train",
];

/// Whether the application has users who log in, and an admin site for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accounts {
    None,
    Some,
}

/// The first visitors are staff: they also set prices, and log in where there are accounts.
const STAFF: u64 = 4;

/// One JSON object a line, always the same; about `length` of them.
pub(super) fn script(accounts: Accounts, length: usize) -> String {
    let mut rng = Rng::with_seed(20);
    let mut visits = Vec::new();
    if accounts == Accounts::Some {
        for staff in 0..STAFF {
            let form =
                json!({"username": format!("staff{staff}"), "password": format!("secret{staff}")});
            visits.push(get(staff, "/accounts/login/".to_owned()));
            visits.push(post(staff, "/accounts/login/".to_owned(), form));
        }
    }
    while visits.len() < length {
        let visitor = rng.u64(0..VISITORS);
        let staff = visitor < STAFF;
        if rng.u32(0..100) < WRITES {
            write(&mut visits, &mut rng, visitor, staff);
        } else if accounts == Accounts::Some && staff && rng.bool() {
            visits.push(get(visitor, admin_page(&mut rng)));
        } else {
            visits.push(get(visitor, page(&mut rng)));
        }
    }
    visits.iter().map(|visit| format!("{visit}\n")).collect()
}

fn get(visitor: u64, path: String) -> Value {
    json!({"visitor": visitor, "method": "GET", "path": path})
}

fn post(visitor: u64, path: String, form: Value) -> Value {
    json!({"visitor": visitor, "method": "POST", "path": path, "form": form})
}

/// One of `1..=of`: the first about as often as the next two together, as on any site.
fn popular(rng: &mut Rng, of: usize) -> usize {
    let total: f64 = (1..=of).map(weight).sum();
    let mut at = rng.f64() * total;
    for rank in 1..=of {
        at -= weight(rank);
        if at < 0.0 {
            return rank;
        }
    }
    of
}

fn weight(rank: usize) -> f64 {
    1.0 / f64::from(u32::try_from(rank).unwrap())
}

fn page(rng: &mut Rng) -> String {
    match rng.u32(0..100) {
        0..15 => "/".to_owned(),
        15..38 => format!("/books?page={}", popular(rng, PAGES)),
        38..47 => format!(
            "/books?genre={}&page={}",
            1 + popular(rng, 12) % 12,
            popular(rng, 4)
        ),
        47..80 => format!("/books/{}", popular(rng, BOOKS)),
        80..90 => format!("/authors/{}", popular(rng, AUTHORS)),
        90..94 => format!("/search?q={}", WORDS[popular(rng, WORDS.len()) - 1]),
        94..97 => format!(
            "/search?q={}&recent=1",
            WORDS[popular(rng, WORDS.len()) - 1]
        ),
        _ => "/genres".to_owned(),
    }
}

fn admin_page(rng: &mut Rng) -> String {
    match rng.u32(0..4) {
        0 => "/admin/shop/book/?in_stock__exact=1".to_owned(),
        1 => format!(
            "/admin/shop/book/?q={}",
            WORDS[popular(rng, WORDS.len()) - 1]
        ),
        _ => format!("/admin/shop/book/?p={}", popular(rng, 10)),
    }
}

/// The visitor sees the book, writes, and looks at what became of it; so does somebody else.
fn write(visits: &mut Vec<Value>, rng: &mut Rng, visitor: u64, staff: bool) {
    let book = format!("/books/{}", popular(rng, BOOKS));
    visits.push(get(visitor, book.clone()));
    if staff && rng.bool() {
        let cents = rng.u32(100..5000);
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let form = json!({"price": price, "in_stock": "on"});
        visits.push(post(visitor, format!("{book}/edit"), form));
    } else {
        let words = format!("Review at visit {}.", visits.len());
        let form = json!({"name": format!("visitor {visitor}"), "stars": rng.u32(1..=5).to_string(), "text": words});
        visits.push(post(visitor, format!("{book}/reviews"), form));
    }
    visits.push(get(visitor, book.clone()));
    visits.push(get(rng.u64(0..VISITORS), book));
}
