//! What PgBouncer's exporter asks, and what it makes of the answers: names and types.

use super::actions::{cell, columns, table};
use super::{console_as, start, without_postgres};
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::Client;

/// bigint and text.
const INT: u32 = 20;
const TEXT: u32 = 25;

/// The columns that it maps, by command: labels are text or numbers, the rest are numbers.
const MAPPED: [(&str, &[&str], &[&str]); 3] = [
    (
        "SHOW stats_totals;",
        &["database"],
        &[
            "query_count",
            "query_time",
            "bytes_received",
            "bytes_sent",
            "wait_time",
            "xact_count",
            "xact_time",
        ],
    ),
    (
        "SHOW databases;",
        &[
            "name",
            "host",
            "port",
            "database",
            "force_user",
            "pool_mode",
        ],
        &[
            "pool_size",
            "reserve_pool",
            "max_connections",
            "current_connections",
            "paused",
            "disabled",
        ],
    ),
    (
        "SHOW pools;",
        &["database", "user"],
        &[
            "cl_active",
            "cl_active_cancel_req",
            "cl_waiting",
            "cl_waiting_cancel_req",
            "sv_active",
            "sv_active_cancel",
            "sv_being_canceled",
            "sv_idle",
            "sv_used",
            "sv_tested",
            "sv_login",
            "maxwait",
        ],
    ),
];

fn described(client: &mut Client, show: &str) -> Vec<(String, u32)> {
    let reply = client.run(show);
    let description = reply.0.iter().find(|f| f.tag == b'T').unwrap();
    columns(&description.body)
}

/// As lib/pq connects.
fn as_exporter(proxy: &Proxy) -> Client {
    Client::connect(
        proxy.address,
        &[
            ("user", "postgres"),
            ("database", "pgbouncer"),
            ("client_encoding", "UTF8"),
            ("datestyle", "ISO, MDY"),
            ("extra_float_digits", "2"),
        ],
    )
    .unwrap()
}

#[test]
fn the_exporter_finds_what_it_maps() {
    let postgres = Postgres::start();
    let proxy = start(&postgres, "");
    proxy.client().run("select 1");
    let mut client = as_exporter(&proxy);
    // With this it sees whether anybody is there.
    assert_eq!(table(&mut client, "SHOW STATS").len(), 2);
    for (show, labels, numbers) in MAPPED {
        let columns = described(&mut client, show);
        let kind = |name: &str| {
            columns
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, kind)| *kind)
        };
        for label in labels {
            assert!(
                matches!(kind(label), Some(INT | TEXT)),
                "{show} {label}: {columns:?}"
            );
        }
        for number in numbers {
            assert_eq!(kind(number), Some(INT), "{show} {number}");
        }
        assert_eq!(table(&mut client, show).len(), 2, "{show}");
    }
    let total = |client: &mut Client, column| {
        let cell = cell(client, "SHOW STATS", ("database", "postgres"), column);
        cell.unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(total(&mut client, "total_query_count"), 1);
    assert_eq!(total(&mut client, "total_xact_count"), 1);
    assert!(total(&mut client, "total_received") > 10);
    proxy.stop();
}

#[test]
fn lists_and_settings_have_the_columns_that_it_counts() {
    let proxy = without_postgres();
    let mut client = as_exporter(&proxy);
    let version = table(&mut client, "SHOW VERSION;");
    assert_eq!((version.len(), version[0].len()), (2, 1));
    // It reads exactly two columns, and exactly four.
    let lists = table(&mut client, "SHOW LISTS;");
    for list in [
        "databases",
        "users",
        "pools",
        "free_clients",
        "used_clients",
        "login_clients",
        "free_servers",
        "used_servers",
        "dns_names",
        "dns_zones",
        "dns_queries",
    ] {
        let row = lists
            .iter()
            .find(|row| row[0].as_deref() == Some(list))
            .unwrap();
        assert_eq!(row.len(), 2);
        assert!(row[1].as_deref().unwrap().parse::<f64>().is_ok(), "{list}");
    }
    let config = table(&mut client, "SHOW CONFIG;");
    let names: Vec<_> = config[0].iter().flatten().map(String::as_str).collect();
    assert_eq!(names, ["key", "value", "default", "changeable"]);
    for key in ["max_client_conn", "max_user_connections"] {
        let row = config
            .iter()
            .find(|row| row[0].as_deref() == Some(key))
            .unwrap();
        assert!(row[1].as_deref().unwrap().parse::<f64>().is_ok(), "{key}");
        assert!(row[3].is_some(), "{key}");
    }
    // By our own name it has the origin, too.
    let mut ours = console_as(&proxy, "postgres", "pgweir").unwrap();
    assert_eq!(table(&mut ours, "SHOW CONFIG")[0].len(), 5);
    proxy.stop();
}
