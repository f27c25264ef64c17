//! The oracle with the cache on: each script twice, so that the second time what can be remembered is.
//!
//! What a script has written is put back through the proxy, which then knows of it; and a canary, changed where
//! the proxy cannot know of it, shows that the cache is at work at all.

use super::{FIXTURE, Faults, Others, among, difference, play_through, reads};
use crate::support::eventually;
use crate::support::naive::Naive;
use crate::support::postgres::Postgres;
use crate::support::proxy::{LEVEL, Proxy};
use crate::support::script::Script;
use crate::support::wire::Client;

/// Pools and company in which scripts are held with the cache on.
const PLACES: [(usize, Others); 3] = [
    (1, Others::Nobody),
    (4, Others::Nobody),
    (4, Others::Holding),
];

/// What the scripts find. Only rows: another change of the schema would make the cache forget everything.
const ROWS: &str = "
truncate item, log, later, tenant.item restart identity;
insert into item values (1, 'one', 1.5), (2, 'two', null), (3, 'three', 33.25);
insert into tenant.item values (1, 'x');
";

/// The same as long as the rows are.
const DIGEST: &str = "
select concat_ws('|', (select string_agg(i::text, ',') from item i), (select string_agg(l::text, ',') from log l),
    (select count(*) from later), (select string_agg(t::text, ',') from tenant.item t),
    (select last_value::text || is_called from log_n_seq))
";

/// Holds each script with Postgres, and twice through a proxy that remembers.
pub(super) fn check(postgres: &Postgres, scripts: &[Script], faults: &mut Faults) {
    for (size, others) in PLACES {
        let proxy = Proxy::cached_to(postgres.address, size, "");
        check_in(postgres, &proxy, (size, others), scripts, faults);
    }
}

/// With this proxy, of which pool of which size, and among these others.
fn check_in(
    postgres: &Postgres,
    proxy: &Proxy,
    (size, others): (usize, Others),
    scripts: &[Script],
    faults: &mut Faults,
) {
    let mut admin = postgres.admin();
    admin.run(
        "create table if not exists canary (n int); truncate canary; insert into canary values (0)",
    );
    let mut bench = Bench {
        postgres,
        clean: String::new(),
        warden: proxy.client(),
        proxy,
        admin: &mut admin,
    };
    bench.put_back();
    bench.clean = bench.admin.value(DIGEST);
    let fit = |script: &&Script| {
        script.since <= postgres.major && !(script.alone && others != Others::Nobody)
    };
    for script in scripts.iter().filter(fit) {
        bench.compare(script, (size, others), faults);
        if faults.is_hopeless() {
            return;
        }
    }
}

struct Bench<'a> {
    postgres: &'a Postgres,
    proxy: &'a Proxy,
    admin: &'a mut Client,
    /// Puts things right, through the proxy.
    warden: Client,
    clean: String,
}

impl Bench<'_> {
    fn put_back(&mut self) {
        self.warden.run(ROWS);
    }

    /// What a script has written is put back.
    fn tidy(&mut self) {
        if self.admin.value(DIGEST) != self.clean {
            self.put_back();
        }
    }

    fn compare(&mut self, script: &Script, place: (usize, Others), faults: &mut Faults) {
        let (size, others) = place;
        self.tidy();
        let address = self.postgres.address;
        let direct = script.play(address, self.admin, &mut |_| {}).unwrap();
        self.put_back();
        self.wait_for_the_cache();
        for temperature in ["cold", "warm"] {
            self.tidy();
            let major = self.postgres.major;
            let told = format!("{major}, pool of {size}, {others:?}, {temperature}");
            match play_through(self.proxy, script, others, self.admin) {
                Ok(through) => {
                    if let Some(what) = difference(&direct, &through) {
                        faults.add(script.name, told, what);
                    }
                }
                Err(why) => faults.add_hang(script.name, told, why),
            }
        }
    }

    /// Until an answer is older than it could be, had Postgres given it.
    fn wait_for_the_cache(&mut self) {
        if LEVEL == "off" || self.proxy.pid().is_none() {
            return;
        }
        let (admin, warden) = (&mut self.admin, &mut self.warden);
        eventually("the cache to remember something", || {
            let before = warden.value("select n from canary");
            admin.run("update canary set n = n + 1");
            (warden.value("select n from canary") == before).then_some(())
        });
        // The next one finds it as it is.
        self.warden.run("update canary set n = n + 1");
    }
}

/// A proxy that caches naively differs in these scripts, whichever of both ways it takes.
#[test]
fn a_naive_cache_is_noticed() {
    let scripts = [reads::scripts(), among::scripts()].concat();
    for mode in ["ttl", "table"] {
        let postgres = Postgres::start();
        postgres.admin().run(FIXTURE);
        let Some(naive) = Naive::start(postgres.address, mode) else {
            return;
        };
        let mut faults = Faults::default();
        let place = (1, Others::Nobody);
        check_in(
            &postgres,
            &Proxy::at(naive.address),
            place,
            &scripts,
            &mut faults,
        );
        let names: Vec<_> = faults.found.keys().collect();
        eprintln!(
            "{mode}: {} of {} scripts differ: {names:?}",
            names.len(),
            scripts.len()
        );
        assert!(names.len() > 10, "{names:?}");
    }
}
