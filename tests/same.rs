//! The oracle: each script is held straight with Postgres and through the proxy, and every backend frame
//! must be the same, keys and process ids aside. Then again with the cache on, cold and warm.

mod among;
mod begun;
mod copy;
mod extended;
mod named;
mod noise;
mod reads;
mod session;
mod simple;
mod startup;
mod transaction;
mod warm;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use noise::Noise;

use crate::support::postgres::{Options, Postgres, installs};
use crate::support::proxy::Proxy;
use crate::support::script::{Script, Seen, script};
use crate::support::wire::Client;

/// Who else uses the pool while a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    Nobody,
    /// Before each step another client works on the same upstreams.
    Between,
    /// During each step other clients hold some of the upstreams, each time other ones.
    Holding,
}

/// What the scripts find: loaded anew before each, tables keep their oids.
const FIXTURE: &str = "
create table if not exists item (id int primary key, name text not null, price numeric(10, 2));
create table if not exists log (n int generated always as identity, line text);
create table if not exists later (id int primary key deferrable initially deferred);
create schema if not exists tenant;
create table if not exists tenant.item (id int primary key, other bytea);
create or replace function warn(text) returns int language plpgsql
    as $$ begin raise warning 'careful: %', $1 using hint = 'a hint', detail = 'a detail'; return 1; end $$;
create or replace function hidden_set() returns void language plpgsql
    as $$ begin perform set_config('timezone', 'Asia/Tokyo', false); end $$;
create or replace procedure two_steps() language plpgsql
    as $$ begin insert into log (line) values ('a'); commit; insert into log (line) values ('b'); end $$;
truncate item, log, later, tenant.item restart identity;
insert into item values (1, 'one', 1.5), (2, 'two', null), (3, 'three', 33.25);
insert into tenant.item values (1, 'x');
";

/// Hangs to wait for before giving up.
const HANGS_MAX: usize = 3;

/// Scripts that differ: the first difference of each, and where there were more.
#[derive(Default)]
struct Faults {
    found: BTreeMap<&'static str, (String, Vec<String>)>,
    hangs: usize,
}

impl Faults {
    fn add(&mut self, script: &'static str, place: String, what: String) {
        let entry = self.found.entry(script).or_insert((what, Vec::new()));
        entry.1.push(place);
    }

    fn add_hang(&mut self, script: &'static str, place: String, why: String) {
        self.hangs += 1;
        self.add(script, place, why);
    }

    fn is_hopeless(&self) -> bool {
        self.hangs >= HANGS_MAX
    }

    fn check(&self) {
        let lines = self
            .found
            .iter()
            .map(|(script, (what, places))| format!("{script} ({}): {what}", places.join("; ")));
        let lines: Vec<_> = lines.collect();
        assert!(
            lines.is_empty(),
            "{} scripts differ:\n{}",
            lines.len(),
            lines.join("\n")
        );
    }
}

/// Holds each script with Postgres itself, then with what is to be compared, on each version of Postgres.
fn check(scripts: &[Script]) {
    let mut faults = Faults::default();
    for install in installs() {
        let postgres = Postgres::start_with(&Options::new(install));
        for (size, others) in [
            (1, Others::Nobody),
            (4, Others::Nobody),
            (1, Others::Between),
            (4, Others::Holding),
        ] {
            let fit = |script: &&Script| {
                script.since <= postgres.major
                    && !(script.pins && others == Others::Between)
                    && !(script.alone && others != Others::Nobody)
            };
            let proxy = Proxy::start(&postgres, size, &[]);
            for script in scripts.iter().filter(fit) {
                compare(&postgres, &proxy, script, (size, others), &mut faults);
                if faults.is_hopeless() {
                    break;
                }
            }
        }
        warm::check(&postgres, scripts, &mut faults);
    }
    faults.check();
}

fn compare(
    postgres: &Postgres,
    proxy: &Proxy,
    script: &Script,
    (size, others): (usize, Others),
    faults: &mut Faults,
) {
    let mut admin = postgres.admin();
    admin.run(FIXTURE);
    let direct = script
        .play(postgres.address, &mut admin, &mut |_| {})
        .unwrap();
    admin.run(FIXTURE);
    let place = format!("{}, pool of {size}, {others:?}", postgres.major);
    match play_through(proxy, script, others, &mut admin) {
        Ok(through) => {
            if let Some(what) = difference(&direct, &through) {
                faults.add(script.name, place, what);
            }
        }
        Err(why) => faults.add_hang(script.name, place, why),
    }
}

/// Through the proxy, among the others. When one of those fails, that is a fault too.
fn play_through(
    proxy: &Proxy,
    script: &Script,
    others: Others,
    admin: &mut Client,
) -> Result<Vec<Seen>, String> {
    let play = AssertUnwindSafe(|| {
        let mut noise = Noise::new(proxy, others);
        script.play(proxy.address, admin, &mut |idle| noise.step(idle))
    });
    match catch_unwind(play) {
        Ok(seen) => seen.map_err(|why| why.to_string()),
        Err(panic) => Err(match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(_) => "another client failed".to_owned(),
        }),
    }
}

/// The first frame that differs, with what came before it.
fn difference(direct: &[Seen], through: &[Seen]) -> Option<String> {
    let at = (0..direct.len().max(through.len())).find(|i| direct.get(*i) != through.get(*i))?;
    let before = direct.get(at.saturating_sub(3)..at);
    let (wanted, got) = (direct.get(at), through.get(at));
    Some(format!(
        "frame {at}\n  wanted {wanted:?}\n  got    {got:?}\n  after  {before:?}"
    ))
}

#[test]
fn the_oracle_notices_a_difference() {
    let postgres = Postgres::start();
    let mut admin = postgres.admin();
    let mut play = |sql| {
        script("x")
            .query(sql)
            .play(postgres.address, &mut admin, &mut |_| {})
            .unwrap()
    };
    let (one, again, two) = (play("select 1"), play("select 1"), play("select 2"));
    assert_eq!(difference(&one, &again), None);
    assert!(
        difference(&one, &two)
            .unwrap()
            .contains("wanted Some(Frame(D")
    );
    assert!(difference(&one, &one[..one.len() - 1]).is_some());
}

/// Runs on a pool must not depend on who asks: the direct control of `Noise`.
#[test]
fn noise_works_straight_on_postgres() {
    let postgres = Postgres::start();
    let clients: Vec<Client> = (0..3).map(|_| postgres.admin()).collect();
    let mut noise = Noise::with(clients, Others::Holding);
    for _ in 0..8 {
        noise.step(true);
    }
}
