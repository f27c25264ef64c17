//! The HTTP server: metrics for Prometheus, health for supervisors, and a page for people, with the
//! JSON that it is made of.
//!
//! It runs on a thread of its own with a runtime of its own. Sorting ten thousand shapes, or a hundred
//! browsers, then take their share of the processor from the system's scheduler, and never a
//! worker's time between two polls of a client's session.
//!
//! [`families`] says which metrics there are, [`text`] and [`protobuf`] write them, [`history`] keeps the last hour,
//! `page` is what a browser gets.

mod accept;
pub mod families;
pub mod history;
mod json;
mod page;
pub mod protobuf;
mod serve;
pub mod text;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::{self, Stream, StreamExt as _};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use self::accept::Exposition;
use self::history::History;
use super::view::{Detail, View};
use super::{Dialect, Facts, People, Purge, Show};

/// Listeners of `/api/v1/events`. Each holds a connection for as long as it likes.
const LISTENERS_MAX: usize = 16;

/// How often they are told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Rows of `/api/v1/clients` and `/api/v1/pins`: the console has all, and this can be read by whoever
/// comes.
const PEOPLE_MAX: usize = 100;

/// The body of a request: the largest names a table.
const BODY_BYTES_MAX: usize = 4 << 10;

/// How long it may take to come; until then it keeps one of the few places.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the server shows, and what guards what it does.
pub trait Source: Facts {
    /// The text that allows changes; none: nobody may.
    fn token(&self) -> Option<String>;
}

/// What the handlers share.
struct Site {
    source: Arc<dyn Source>,
    history: Mutex<History>,
    /// The latest events. A listener that is slow misses those between, and none is kept for it.
    news: watch::Sender<News>,
    listeners: Arc<Semaphore>,
}

/// What listeners are told at once: each event's name and data.
type News = Arc<[(&'static str, String)]>;

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}

/// Serves on this listener, on a thread of its own, until the process ends.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub fn start(
    listener: std::net::TcpListener,
    source: Arc<dyn Source>,
) -> std::io::Result<SocketAddr> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let site = Arc::new(Site {
        source,
        history: Mutex::default(),
        news: watch::Sender::new(Arc::default()),
        listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
    });
    std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                tokio::spawn(remember(Arc::clone(&site)));
                tokio::spawn(tell(Arc::clone(&site)));
                if let Err(error) = serve::serve(listener, router(site)).await {
                    tracing::error!(%error, "the admin server has ended");
                }
            });
        })?;
    Ok(address)
}

/// Ends each step of the history.
async fn remember(site: Arc<Site>) {
    let mut clock = interval_at(Instant::now(), history::STEP);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let view = site.view();
        let history = site.history.lock();
        history.unwrap_or_else(PoisonError::into_inner).push(&view);
    }
}

/// Tells the listeners what there is to see, if there are any.
async fn tell(site: Arc<Site>) {
    let mut clock = interval_at(Instant::now(), TELL_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if site.news.receiver_count() > 0 {
            site.news.send_replace(site.events());
        }
    }
}

impl Site {
    fn view(&self) -> View {
        self.source.view(Detail::Sums)
    }

    fn events(&self) -> News {
        let people = self.source.people(json::SHOWN_MAX);
        Arc::from([
            ("overview", json::overview(&self.view()).to_string()),
            ("people", json::people(&people).to_string()),
        ])
    }
}

/// What a path is answered with, out of a view.
type Page = (&'static str, Detail, fn(&View) -> Value);

/// What a path is answered with, out of who is there.
type List = (&'static str, fn(&People) -> Value);

const LISTS: [List; 2] = [
    ("/api/v1/clients", json::clients),
    ("/api/v1/pins", json::pins),
];

const PAGES: [Page; 9] = [
    ("/api/v1/overview", Detail::Sums, json::overview),
    ("/api/v1/pools", Detail::Sums, json::pools),
    ("/api/v1/bypasses", Detail::Sums, json::bypasses),
    ("/api/v1/errors", Detail::Sums, json::errors),
    ("/api/v1/queries", Detail::All, json::queries),
    ("/api/v1/tables", Detail::All, json::tables),
    ("/api/v1/errors/last", Detail::Sums, json::last_errors),
    ("/api/v1/logins", Detail::Sums, json::logins),
    ("/api/v1/dashboard", Detail::All, json::dashboard),
];

fn router(site: Arc<Site>) -> Router {
    let mut router = page::routes()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/v1/config", get(config))
        .route("/api/v1/history", get(past))
        .route("/api/v1/events", get(events))
        .route("/api/v1/purge", post(purge));
    for (path, list) in LISTS {
        let show = move |State(site): State<Arc<Site>>| async move {
            say(StatusCode::OK, &list(&site.source.people(PEOPLE_MAX)))
        };
        router = router.route(path, get(show));
    }
    for (path, detail, page) in PAGES {
        let show = move |State(site): State<Arc<Site>>| async move {
            say(StatusCode::OK, &page(&site.source.view(detail)))
        };
        router = router.route(path, get(show));
    }
    router
        .fallback(|| async { fault(StatusCode::NOT_FOUND, "there is no such page") })
        .with_state(site)
}

async fn metrics(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok());
    let view = site.source.view(Detail::All);
    let (kind, page) = match accept::format(accept.unwrap_or_default()) {
        Exposition::Protobuf => (protobuf::CONTENT_TYPE, protobuf::write(&view)),
        Exposition::Text(format) => (format.content_type(), text::write(&view, format).into()),
    };
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}

async fn ready(State(site): State<Arc<Site>>) -> Response {
    let unready = site.view().unready;
    let status = if unready.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    say(status, &json::readiness(&unready))
}

async fn config(State(site): State<Arc<Site>>) -> Response {
    say(
        StatusCode::OK,
        &json::table(&site.source.show(Show::Config, Dialect::Whole)),
    )
}

async fn past(State(site): State<Arc<Site>>) -> Response {
    let history = site.history.lock().unwrap_or_else(PoisonError::into_inner);
    let json = history.json();
    drop(history);
    say(StatusCode::OK, &json)
}

async fn events(State(site): State<Arc<Site>>) -> Response {
    let Ok(place) = Arc::clone(&site.listeners).try_acquire_owned() else {
        let text = format!("{LISTENERS_MAX} clients listen already");
        return fault(StatusCode::SERVICE_UNAVAILABLE, &text);
    };
    let mut news = site.news.subscribe();
    // What was told last may be an hour old.
    news.mark_unchanged();
    Sse::new(listen(site.events(), news, place))
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// The events of now, and then those that are told.
fn listen(
    first: News,
    news: watch::Receiver<News>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let state = (Some(first), news, place);
    let all = stream::unfold(state, move |(first, mut news, place)| async move {
        let events = match first {
            Some(first) => first,
            None => {
                // An error means that the server has gone.
                news.changed().await.ok()?;
                Arc::clone(&news.borrow_and_update())
            }
        };
        let event = |(name, text): &(&str, String)| Ok(Event::default().event(name).data(text));
        let events: Vec<_> = events.iter().map(event).collect();
        Some((stream::iter(events), (None, news, place)))
    });
    all.flatten()
}

async fn purge(State(site): State<Arc<Site>>, headers: HeaderMap, body: Body) -> Response {
    if let Err((status, text)) = may_act(site.source.token(), &headers) {
        return fault(status, text);
    }
    let body = match timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return fault(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too long, or cut",
            );
        }
        Err(_elapsed) => return fault(StatusCode::REQUEST_TIMEOUT, "the body does not come"),
    };
    let Some(what) = what(&body) else {
        let text = "the body has to be {} or one of {\"table\": \"...\"}, {\"shape\": \"...\"}, {\"database\": \"...\"}";
        return fault(StatusCode::BAD_REQUEST, text);
    };
    match site.source.purge(&what) {
        Ok(count) => say(StatusCode::OK, &json!({"purged": count})),
        Err(error) => fault(StatusCode::NOT_FOUND, &error.message),
    }
}

/// What a body asks to forget.
fn what(body: &[u8]) -> Option<Purge> {
    if body.is_empty() {
        return Some(Purge::All);
    }
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return None;
    };
    let mut wanted = body.iter();
    let what = match wanted.next() {
        None => Purge::All,
        Some((kind, name)) => {
            let name = name.as_str()?.to_owned();
            match kind.as_str() {
                "table" => Purge::Table(name),
                "shape" => Purge::Shape(name),
                "database" => Purge::Database(name),
                _ => return None,
            }
        }
    };
    wanted.next().is_none().then_some(what)
}

/// Why something is not done.
type Refusal = (StatusCode, &'static str);

/// Whether the request shows the token. A page of another site cannot: it does not know it.
fn may_act(token: Option<String>, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(token) = token else {
        let text = "nothing can be changed here: admin.token is not set";
        return Err((StatusCode::FORBIDDEN, text));
    };
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    // Compared by digest, so that the time it takes tells nothing.
    let of = |text: &[u8]| digest(&SHA256, text);
    let same = shown.is_some_and(|shown| of(shown).as_ref() == of(token.as_bytes()).as_ref());
    if same {
        return Ok(());
    }
    let text = "show admin.token: \"Authorization: Bearer ...\"";
    Err((StatusCode::UNAUTHORIZED, text))
}

fn fault(status: StatusCode, text: &str) -> Response {
    say(status, &json!({"error": text}))
}

fn say(status: StatusCode, body: &Value) -> Response {
    let kind = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, kind, body.to_string() + "\n").into_response()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::admin::view::Name;
    use crate::metrics::Metrics;

    /// A view of these metrics and nothing else.
    pub(super) fn view(metrics: &Metrics) -> View {
        let counts = metrics.handles().into_iter().map(|handle| {
            let name = Name {
                database: handle.database.to_string(),
                user: handle.user.to_string(),
            };
            (name, handle.snapshot())
        });
        View {
            at: SystemTime::now(),
            started: SystemTime::UNIX_EPOCH,
            unready: Vec::new(),
            clients: 0,
            clients_max: 0,
            counts: counts.collect(),
            pools: Vec::new(),
            last_errors: Vec::new(),
            logins: metrics.logins.snapshot(),
            changeable: false,
            cache: None,
            exported: crate::export::span::Exported::default(),
            queries: Vec::new(),
            tables: std::collections::BTreeMap::default(),
        }
    }

    #[test]
    fn what_a_body_asks_for() {
        assert_eq!(what(b""), Some(Purge::All));
        assert_eq!(what(b" {} "), Some(Purge::All));
        let table = Some(Purge::Table("a.b".to_owned()));
        assert_eq!(what(br#"{"table": "a.b"}"#), table);
        for body in [
            &b"[]"[..],
            b"{",
            br#"{"table": 1}"#,
            br#"{"view": "v"}"#,
            br#"{"table": "t", "shape": "s"}"#,
        ] {
            assert_eq!(what(body), None);
        }
    }

    #[test]
    fn only_the_token_opens() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            headers
        };
        let token = || Some("geheim".to_owned());
        assert!(may_act(token(), &with("Bearer geheim")).is_ok());
        for headers in [
            HeaderMap::new(),
            with("geheim"),
            with("Bearer "),
            with("Bearer geheimer"),
        ] {
            assert!(may_act(token(), &headers).is_err());
            assert!(may_act(None, &headers).is_err());
        }
        assert!(may_act(None, &with("Bearer geheim")).is_err());
    }
}
