//! The room as a whole: what is stored, served, waited for, and forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::generation::{Generations, Stamp, WriteSet};
use super::store::Store;
use super::*;

const LIFE: Life = Life {
    ttl: Duration::from_secs(60),
    swr: Duration::from_secs(15),
};

fn cache() -> Arc<Cache> {
    Cache::new(Limits {
        bytes_max: 1 << 20,
        result_bytes_max: 1 << 16,
        entries_max: None,
    })
}

fn ask<'a>(key: &'a [u8], stamp: &'a Stamp) -> Ask<'a> {
    Ask {
        key,
        stamp,
        life: LIFE,
        describe: false,
        rare: false,
    }
}

fn row(value: &[u8]) -> Vec<u8> {
    let mut row = vec![b'D'];
    row.extend_from_slice(&u32::try_from(value.len() + 4).unwrap().to_be_bytes());
    row.extend_from_slice(value);
    row
}

fn fill(lookup: Lookup) -> Fill {
    let Lookup::Miss {
        fill: Some(fill), ..
    } = lookup
    else {
        panic!("no fill: {lookup:?}");
    };
    fill
}

fn hit(lookup: Lookup) -> (Arc<Entry>, Duration, Option<Fill>) {
    let Lookup::Hit {
        entry,
        age,
        refresh,
    } = lookup
    else {
        panic!("no hit: {lookup:?}");
    };
    (entry, age, refresh)
}

fn absent(lookup: Lookup) -> Absent {
    let Lookup::Miss { why, .. } = lookup else {
        panic!("no miss: {lookup:?}");
    };
    why
}

fn wait(lookup: Lookup) -> Follow {
    let Lookup::Wait(follow) = lookup else {
        panic!("no wait: {lookup:?}");
    };
    follow
}

fn complete(
    mut fill: Fill,
    value: &[u8],
    sent: Instant,
    now: Instant,
) -> Result<Arc<Entry>, Reason> {
    fill.started(sent);
    fill.row(&row(value));
    fill.tag(b"SELECT 1\0");
    fill.commit(now)
}

#[test]
fn an_answer_is_given_in_the_form_that_is_asked_for() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    let mut made = fill(cache.lookup(&ask(b"k", &stamp), now));
    made.started(now);
    made.row(&row(b"one")[..3]);
    made.row(&row(b"one")[3..]);
    made.row(&row(b""));
    made.tag(b"SELECT 2\0");
    let entry = made.commit(now).unwrap();
    assert_eq!(entry.row_count, 2);
    let mut out = Vec::new();
    assert!(!entry.frames(&mut out, true));
    assert!(out.is_empty());
    assert!(entry.frames(&mut out, false));
    assert_eq!(out, b"D\0\0\0\x07oneD\0\0\0\x04C\0\0\0\x0dSELECT 2\0");

    // Who needs a description makes the entry anew, with one.
    let described = Ask {
        describe: true,
        ..ask(b"k", &stamp)
    };
    let mut made = fill(cache.lookup(&described, now));
    made.started(now);
    made.description(b"\0\0");
    made.tag(b"SELECT 0\0");
    made.commit(now).unwrap();
    let (entry, _, _) = hit(cache.lookup(&described, now));
    out.clear();
    assert!(entry.frames(&mut out, true));
    assert_eq!(out, b"T\0\0\0\x06\0\0C\0\0\0\x0dSELECT 0\0");
}

/// H39: keys that share a hash are not each other.
#[test]
fn hashes_place_and_do_not_identify() {
    let limits = Limits {
        bytes_max: 1 << 20,
        result_bytes_max: 1 << 16,
        entries_max: None,
    };
    let store = Store::new(&limits);
    let same = |bytes| Asked { hash: 42, bytes };
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    for key in [b"a".as_slice(), b"b", b"ab"] {
        let made = fill(cache.lookup(&ask(key, &stamp), now));
        let entry = complete(made, key, now, now).unwrap();
        let entry = Entry {
            key: same(key).into(),
            description: None,
            parameters: None,
            no_data: false,
            rows: entry.rows.clone(),
            row_count: entry.row_count,
            tag: entry.tag.clone(),
            sent: now,
            stamp: stamp.clone(),
            life: LIFE,
        };
        assert!(store.get(same(key)).is_none());
        store.put(&Arc::new(entry));
    }
    for key in [b"a".as_slice(), b"b", b"ab"] {
        assert_eq!(store.get(same(key)).unwrap().rows, row(key));
    }
    assert!(store.get(same(b"c")).is_none());
}

/// Of questions that hardly ever come twice, those that do are answered from memory the third time.
#[test]
fn a_rare_question_has_an_entry_once_it_comes_again() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    let rare = |key| Ask {
        rare: true,
        ..ask(key, &stamp)
    };
    for key in [b"a".as_slice(), b"b"] {
        let first = cache.lookup(&rare(key), now);
        assert!(matches!(
            first,
            Lookup::Miss {
                fill: None,
                why: Absent::Never
            }
        ));
    }
    assert_eq!(cache.flights.count(), 0);
    complete(fill(cache.lookup(&rare(b"a"), now)), b"1", now, now).unwrap();
    hit(cache.lookup(&rare(b"a"), now));
    // Where an entry was there is room for another at once.
    let old = now + LIFE.ttl + LIFE.swr;
    drop(fill(cache.lookup(&rare(b"a"), old)));
    // And who asks the same at the same time waits for it.
    let leader = fill(cache.lookup(&rare(b"b"), now));
    wait(cache.lookup(&rare(b"b"), now));
    drop(leader);
}

/// H44: age counts from when the query was sent.
#[test]
fn a_slow_answer_is_old_when_it_comes() {
    let (cache, generations, sent) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    let made = fill(cache.lookup(&ask(b"k", &stamp), sent));
    complete(made, b"1", sent, sent + Duration::from_secs(50)).unwrap();
    let (_, age, refresh) = hit(cache.lookup(&ask(b"k", &stamp), sent + Duration::from_secs(59)));
    assert_eq!(age, Duration::from_secs(59));
    assert!(refresh.is_none());
    let why = absent(cache.lookup(&ask(b"k", &stamp), sent + Duration::from_secs(75)));
    assert_eq!(why, Absent::Expired);

    let made = fill(cache.lookup(&ask(b"slow", &stamp), sent));
    let late = complete(made, b"1", sent, sent + Duration::from_secs(75));
    assert_eq!(late.unwrap_err(), Reason::Expired);
}

/// H45: an old answer is served for a while, one query makes a new one; a written one never is.
#[test]
fn old_answers_are_served_by_age_only() {
    let (cache, generations, sent) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    complete(
        fill(cache.lookup(&ask(b"k", &stamp), sent)),
        b"1",
        sent,
        sent,
    )
    .unwrap();
    let later = sent + Duration::from_secs(61);
    let (_, _, refresh) = hit(cache.lookup(&ask(b"k", &stamp), later));
    let refresh = refresh.unwrap();
    let (_, _, second) = hit(cache.lookup(&ask(b"k", &stamp), later));
    assert!(second.is_none());

    // A refresh that fails does not make it live longer; the next one may try.
    drop(refresh);
    let (_, _, third) = hit(cache.lookup(&ask(b"k", &stamp), later));
    assert!(third.is_some());
    let strict = Life {
        ttl: LIFE.ttl,
        swr: Duration::ZERO,
    };
    let demanding = Ask {
        life: strict,
        ..ask(b"k", &stamp)
    };
    assert!(matches!(cache.lookup(&demanding, later), Lookup::Wait(_)));
    drop(third);
    assert_eq!(absent(cache.lookup(&demanding, later)), Absent::Expired);

    generations.mark(&WriteSet::Relations(&[1]), 0, 1).settle();
    let stamp = generations.stamp(0, &[1]).unwrap();
    assert_eq!(
        absent(cache.lookup(&ask(b"k", &stamp), later)),
        Absent::Stale
    );
    assert_eq!(
        absent(cache.lookup(&ask(b"k", &stamp), later)),
        Absent::Never
    );
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// H46: a herd asks once; who starts after a write does not wait for what was sent before it.
#[test]
fn many_who_ask_the_same_wait_for_one() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    let made = fill(cache.lookup(&ask(b"k", &stamp), now));
    let woken = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut herd: Vec<Follow> = (0..100)
        .map(|_| wait(cache.lookup(&ask(b"k", &stamp), now)))
        .collect();
    for follow in &mut herd {
        assert!(follow.poll_done(&mut context).is_pending());
        assert!(follow.poll_done(&mut context).is_pending());
        assert_eq!(follow.deadline(), now + FOLLOW_MAX);
    }
    drop(herd.pop());
    complete(made, b"1", now, now).unwrap();
    assert_eq!(woken.0.load(SeqCst), 99);
    for follow in &mut herd {
        assert!(follow.poll_done(&mut context).is_ready());
        hit(cache.after(follow, &ask(b"k", &stamp), now));
    }

    let first = fill(cache.lookup(&ask(b"other", &stamp), now));
    generations.mark(&WriteSet::Relations(&[1]), 0, 1).settle();
    let newer = generations.stamp(0, &[1]).unwrap();
    let second = fill(cache.lookup(&ask(b"other", &newer), now));
    // The first ends last, and is neither stored nor in the way.
    complete(second, b"new", now, now).unwrap();
    assert_eq!(
        complete(first, b"old", now, now).unwrap_err(),
        Reason::Stale
    );
    let (entry, _, _) = hit(cache.lookup(&ask(b"other", &newer), now));
    assert_eq!(entry.rows, row(b"new"));
}

/// H47: what befalls the leader does not befall those who follow; they do not queue up again.
#[test]
fn followers_of_a_failed_leader_ask_themselves() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    let ends: [fn(Fill) -> Option<Fill>; 3] = [
        |fill| {
            drop(fill);
            None
        },
        |mut fill| {
            fill.spoil(Reason::NotClean);
            Some(fill)
        },
        |mut fill| {
            fill.let_go();
            Some(fill)
        },
    ];
    for end in ends {
        let made = fill(cache.lookup(&ask(b"k", &stamp), now));
        let mut herd: Vec<Follow> = (0..3)
            .map(|_| wait(cache.lookup(&ask(b"k", &stamp), now)))
            .collect();
        let kept = end(made);
        let mut fills = Vec::new();
        for follow in &mut herd {
            let mut context = Context::from_waker(Waker::noop());
            assert!(follow.poll_done(&mut context).is_ready());
            if let Lookup::Miss { fill, .. } = cache.after(follow, &ask(b"k", &stamp), now) {
                fills.extend(fill);
            }
        }
        // One of them makes the entry, unless it is still being made.
        assert_eq!(fills.len(), usize::from(kept.is_none()));
    }
    assert_eq!(cache.flights.count(), 0);
}

#[test]
fn a_flight_is_not_waited_for_for_ever() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    let made = fill(cache.lookup(&ask(b"k", &stamp), now));
    let late = cache.lookup(&ask(b"k", &stamp), now + FOLLOW_MAX);
    assert!(matches!(late, Lookup::Miss { fill: None, .. }));
    drop(made);
}

/// H49, H53: only what is whole is stored.
#[test]
fn what_is_not_a_clean_whole_result_is_not_stored() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    let cases: [fn(&mut Fill); 6] = [
        |fill| fill.row(&row(b"no tag")),
        |fill| {
            fill.row(&row(b"half a row")[..8]);
            fill.tag(b"SELECT 1\0");
        },
        |fill| {
            fill.row(b"N\0\0\0\x04");
            fill.tag(b"SELECT 0\0");
        },
        |fill| {
            fill.row(b"D\0\0\0\x03");
            fill.tag(b"SELECT 0\0");
        },
        |fill| {
            fill.tag(b"SELECT 0\0");
            fill.tag(b"SELECT 0\0");
        },
        |fill| {
            fill.tag(b"SELECT 0\0");
            fill.spoil(Reason::NotClean);
        },
    ];
    for case in cases {
        let mut made = fill(cache.lookup(&ask(b"k", &stamp), now));
        made.started(now);
        case(&mut made);
        assert_eq!(made.commit(now).unwrap_err(), Reason::NotClean);
    }
    let mut never_sent = fill(cache.lookup(&ask(b"k", &stamp), now));
    never_sent.tag(b"SELECT 0\0");
    assert_eq!(never_sent.commit(now).unwrap_err(), Reason::NotClean);
    assert_eq!(cache.usage(), Usage::default());
}

/// H52: copying stops at the limit, for one result and for all together.
#[test]
fn what_is_too_large_is_let_go_at_once() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    let mut made = fill(cache.lookup(&ask(b"k", &stamp), now));
    made.started(now);
    for _ in 0..1000 {
        made.row(&row(&[7; 1000]));
        assert!(cache.usage().filling <= (1 << 16) + (1 << 14));
    }
    assert_eq!(made.spoilt(), Some(Reason::OversizedResult));
    made.tag(b"SELECT 1000\0");
    assert_eq!(made.commit(now).unwrap_err(), Reason::OversizedResult);
    assert_eq!(cache.usage().filling, 0);

    // A quarter of a megabyte of copies at a time.
    let keys: Vec<[u8; 1]> = (0..20).map(|key| [key]).collect();
    let mut fills: Vec<Fill> = keys
        .iter()
        .map(|key| fill(cache.lookup(&ask(key, &stamp), now)))
        .collect();
    for made in &mut fills {
        made.row(&row(&[7; 60_000]));
    }
    let whole = fills.iter().filter(|fill| fill.spoilt().is_none()).count();
    assert_eq!(whole, 4);
    drop(fills);
    assert_eq!(cache.usage().filling, 0);
    let made = fill(cache.lookup(&ask(b"k", &stamp), now));
    complete(made, b"small", now, now).unwrap();
}

/// H54, I9: of two answers to one question the one that was sent later stays.
#[test]
fn an_older_answer_does_not_replace_a_newer_one() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp_epoch_only(0).unwrap();
    let asked = ask(b"k", &stamp);
    let older = Described {
        parameters: b"older",
        columns: None,
    };
    let newer = Described {
        parameters: b"newer",
        columns: Some(b"\0\0"),
    };
    let later = now + Duration::from_secs(1);
    assert!(cache.put_description(&asked, newer, later).is_some());
    assert!(cache.put_description(&asked, older, now).is_none());
    let there = cache.peek(b"k", later).unwrap();
    assert_eq!(there.parameters.as_deref(), Some(b"newer".as_slice()));
    assert!(!there.no_data);
    // Of an older epoch it does not count.
    generations.bump_epoch();
    assert!(cache.peek(b"k", later).is_none());
    let stamp = generations.stamp_epoch_only(1).unwrap();
    let asked = ask(b"k", &stamp);
    assert!(cache.put_description(&asked, older, now).is_some());
    assert!(cache.peek(b"k", later).unwrap().no_data);
    assert!(cache.peek(b"k", now + LIFE.ttl).is_none());
}

#[test]
fn answers_that_go_by_age_are_not_for_those_who_go_by_writes() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let by_age = generations.stamp_epoch_only(0).unwrap();
    complete(fill(cache.lookup(&ask(b"k", &by_age), now)), b"1", now, now).unwrap();
    generations.mark(&WriteSet::Relations(&[1]), 0, 1).settle();
    hit(cache.lookup(&ask(b"k", &by_age), now));
    let by_writes = generations.stamp(0, &[1]).unwrap();
    // Nor do they wait for one.
    let under_way = fill(cache.lookup(&ask(b"other", &by_age), now));
    let alone = cache.lookup(&ask(b"other", &by_writes), now);
    assert!(matches!(alone, Lookup::Miss { fill: None, .. }));
    drop(under_way);
    let made = fill(cache.lookup(&ask(b"k", &by_writes), now));
    complete(made, b"2", now, now).unwrap();
    let (entry, _, _) = hit(cache.lookup(&ask(b"k", &by_age), now));
    assert_eq!(entry.rows, row(b"2"));
}

#[test]
fn a_purge_is_not_undone_by_what_was_under_way() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    complete(fill(cache.lookup(&ask(b"a", &stamp), now)), b"1", now, now).unwrap();
    complete(fill(cache.lookup(&ask(b"b", &stamp), now)), b"1", now, now).unwrap();
    let under_way = fill(cache.lookup(&ask(b"c", &stamp), now));
    assert_eq!(cache.purge(|entry| &*entry.key == b"b"), 1);
    hit(cache.lookup(&ask(b"b", &stamp), now));
    // Nobody joins it, and it is not stored.
    let anew = fill(cache.lookup(&ask(b"c", &stamp), now));
    assert_eq!(
        complete(under_way, b"1", now, now).unwrap_err(),
        Reason::Stale
    );
    complete(anew, b"2", now, now).unwrap();
    let mut seen = 0;
    cache.each(|_| seen += 1);
    assert_eq!(seen, 2);
}

#[test]
fn memory_stays_within_its_limit() {
    let (cache, generations, now) = (cache(), Generations::new(), Instant::now());
    let stamp = generations.stamp(0, &[1]).unwrap();
    for key in 0..2000u32 {
        let key = key.to_be_bytes();
        let made = fill(cache.lookup(&ask(&key, &stamp), now));
        complete(made, &[7; 4000], now, now).unwrap();
    }
    let usage = cache.usage();
    assert!(usage.bytes <= 1 << 20, "{usage:?}");
    assert!(usage.entries > 100, "{usage:?}");
    let few = Cache::new(Limits {
        entries_max: Some(10),
        ..cache.limits
    });
    for key in 0..200u32 {
        let key = key.to_be_bytes();
        complete(fill(few.lookup(&ask(&key, &stamp), now)), b"1", now, now).unwrap();
    }
    assert!((1..=10).contains(&few.usage().entries));
}
