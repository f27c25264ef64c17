//! All that programs can see, gathered from where it is counted.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::facts::Known;
use crate::admin::http::Source;
use crate::admin::view::{CacheView, Detail, Name, Unready, View};
use crate::config::Word;
use crate::metrics::errors::LAST_MAX;
use crate::pool::Pool;
use crate::pool::status::Status;

impl Source for Known {
    fn token(&self) -> Option<String> {
        let token = self.token.load_full();
        token.map(|token| token.expose().to_owned())
    }
}

/// The view of this moment.
pub(super) fn view(known: &Known, detail: Detail) -> View {
    let mut view = View {
        at: SystemTime::now(),
        started: known.started,
        unready: Vec::new(),
        clients: *known.running.borrow(),
        clients_max: known.listen.load().clients_max,
        counts: Vec::new(),
        pools: Vec::new(),
        last_errors: Vec::new(),
        logins: known.pools.metrics().logins.snapshot(),
        changeable: known.token.load().is_some(),
        cache: cache(known),
        exported: known.pools.metrics().exported(),
        queries: Vec::new(),
        tables: std::collections::BTreeMap::new(),
    };
    for handle in known.pools.metrics().handles() {
        let name = name(&handle.database, &handle.user);
        let last = handle.errors.last();
        view.last_errors
            .extend(last.into_iter().map(|told| (name.clone(), told)));
        view.counts.push((name, handle.snapshot()));
    }
    view.last_errors
        .sort_by_key(|(_, told)| std::cmp::Reverse(told.at));
    view.last_errors.truncate(LAST_MAX);
    let pools = known.pools.all();
    for pool in &pools {
        let name = name(pool.database(), pool.user());
        view.pools.push((name, pool.status()));
    }
    let draining = known.draining.load(Ordering::Acquire);
    view.unready.extend(draining.then_some(Unready::Draining));
    let paused = known.pools.is_paused();
    view.unready.extend(paused.then_some(Unready::Paused));
    view.unready.extend(no_upstream(&pools, &view.pools));
    if let (Detail::All, Some(shared)) = (detail, &known.caching) {
        view.queries = shared.queries();
        view.tables = shared.tables();
    }
    view
}

fn name(database: &str, user: &str) -> Name {
    Name {
        database: database.to_owned(),
        user: user.to_owned(),
    }
}

/// Whether clients would find nothing: no pool has an upstream, and of no database there is a control
/// connection either. Before the first client there is no pool, and nothing is known.
fn no_upstream(pools: &[std::sync::Arc<Pool>], all: &[(Name, Status)]) -> Option<Unready> {
    let reached = pools.iter().any(|pool| pool.catalog.current().is_some());
    if pools.is_empty() || reached || all.iter().any(|(_, status)| status.live > 0) {
        return None;
    }
    let failure = all.iter().find_map(|(_, status)| status.failure.clone())?;
    Some(Unready::NoUpstream(failure))
}

fn cache(known: &Known) -> Option<CacheView> {
    let shared = known.caching.as_ref()?;
    let policy = shared.policy.load();
    Some(CacheView {
        level: policy.level.as_str(),
        mode: policy.mode.as_str(),
        usage: shared.usage(),
        bytes_max: known.cache_bytes_max,
        audited: shared.audited(),
    })
}
