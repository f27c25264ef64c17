//! The page that a browser shows at `/`: files that are part of the program, and the headers that
//! keep them harmless.
//!
//! The page shows the SQL of strangers. Its script puts all of it in as text; should it ever fail
//! to, the policy still runs no script and loads nothing that does not come from here.

use axum::Router;
use axum::http::{HeaderName, header};
use axum::routing::get;

/// Only files and answers of this address, nothing inline, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Path, kind, and what there is.
const FILES: [(&str, &str, &str); 5] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("page/page.html"),
    ),
    (
        "/page/page.css",
        "text/css; charset=utf-8",
        include_str!("page/page.css"),
    ),
    (
        "/page/chart.js",
        "text/javascript; charset=utf-8",
        include_str!("page/chart.js"),
    ),
    (
        "/page/page.js",
        "text/javascript; charset=utf-8",
        include_str!("page/page.js"),
    ),
    (
        "/page/icon.svg",
        "image/svg+xml",
        include_str!("page/icon.svg"),
    ),
];

/// What goes with each.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    // A new version has to be seen at once, and the files are small.
    (header::CACHE_CONTROL, "no-cache"),
];

/// The routes of the page.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (path, kind, text)| {
            let answer = move || async move { (HEADERS, [(header::CONTENT_TYPE, kind)], text) };
            router.route(path, get(answer))
        })
}
