//! What others make of the metrics: promtool, Prometheus itself, the dashboard and the alert rules.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pgweir::admin::http::families::{FAMILIES, Kind};

use super::{DU, cached};
use crate::support::postgres::Postgres;
use crate::support::web::{ask, get, sample};
use crate::support::{eventually, free_port};

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(root(file)).unwrap()
}

/// Some traffic of every kind, so that every metric has a sample.
fn with_traffic() -> (Postgres, crate::support::proxy::Proxy) {
    let postgres = Postgres::start();
    let proxy = cached(&postgres);
    let mut client = proxy.client();
    client.run("create table \"odd \\ \"\"name\"\"\" (i int)");
    eventually("a hit", || {
        client.run("select * from \"odd \\ \"\"name\"\"\"");
        let page = get(proxy.web(), "/metrics").body;
        (super::queries(&page, "hit") > 0.0).then_some(())
    });
    assert!(client.query("select 1 / 0").unwrap().failed());
    (postgres, proxy)
}

/// promtool says nothing when all is well.
fn promtool(arguments: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn promtool_finds_no_fault() {
    let (_postgres, proxy) = with_traffic();
    let page = get(proxy.web(), "/metrics");
    assert!(
        page.head
            .contains("content-type: text/plain; version=0.0.4")
    );
    promtool(&["check", "metrics"], &page.body);
    let escaped = r#"table="public.odd \\ \"name\"""#;
    assert!(page.body.contains(escaped), "{}", page.body);
    for family in FAMILIES {
        let line = format!("# HELP {} {}\n", family.sample_name(), family.help);
        assert!(page.body.contains(&line), "{line}");
    }
    promtool(
        &[
            "check",
            "rules",
            root("packaging/prometheus/alerts.yml").to_str().unwrap(),
        ],
        "",
    );
}

/// A real server that scrapes once a second, and is asked what it has seen.
struct Prometheus {
    process: Child,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Prometheus {
    fn start(target: std::net::SocketAddr, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        let alerts = root("packaging/prometheus/alerts.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{}]\n\
             scrape_configs: [{{job_name: pgweir, static_configs: [{{targets: ['{target}']}}]}}]\n",
            alerts.display()
        );
        fs::write(&file, text).unwrap();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "prometheus"])
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            address,
            _folder: folder,
        }
    }

    /// The values of this expression, none before there are any.
    fn query(&self, expression: &str) -> Vec<f64> {
        if std::net::TcpStream::connect(self.address).is_err() {
            return Vec::new();
        }
        let body = format!("query={}", percent(expression));
        let form = ["Content-Type: application/x-www-form-urlencoded"];
        let answer = ask(self.address, "POST", "/api/v1/query", &form, &body);
        if answer.status != 200 {
            return Vec::new();
        }
        // In chunks; the JSON is one line of it.
        let json = answer
            .body
            .lines()
            .find(|line| line.starts_with('{'))
            .unwrap();
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        let result = json["data"]["result"].as_array().unwrap();
        let value = |one: &serde_json::Value| one["value"][1].as_str().unwrap().parse().unwrap();
        result.iter().map(value).collect()
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// It asks for OpenMetrics, which promtool does not read.
#[test]
fn prometheus_reads_what_we_count() {
    let (_postgres, proxy) = with_traffic();
    let accept = ["Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1"];
    let page = ask(proxy.web(), "GET", "/metrics", &accept, "");
    assert!(
        page.head
            .contains("content-type: application/openmetrics-text; version=1.0.0")
    );
    assert!(page.body.ends_with("# EOF\n"));
    let prometheus = Prometheus::start(proxy.web(), &[]);
    eventually("a scrape", || {
        (prometheus.query("up") == [1.0]).then_some(())
    });
    let errors = format!("pgweir_errors_total{{{DU},class=\"22\"}}");
    assert_eq!(prometheus.query(&errors), [sample(&page.body, &errors)]);
    let quantile = "histogram_quantile(0.99, pgweir_query_seconds_bucket{from=\"memory\"}) > 0";
    assert_eq!(prometheus.query(quantile).len(), 1);
    // Every expression of the dashboard is one that it understands and has samples for.
    for expression in expressions() {
        let once = expression
            .replace("$__rate_interval", "5m")
            .replace("$database", ".*");
        let tried = eventually("rules", || {
            let answer = prometheus.query(&format!("count({once}) or vector(0)"));
            (!answer.is_empty()).then_some(answer)
        });
        assert_eq!(tried.len(), 1, "{once}");
    }
}

/// The bounds of the bucket in which so many of those that an upstream answered are reached.
fn holds(page: &str, name: &str, rank: f64) -> (f64, f64) {
    let prefix = format!(r#"{name}_bucket{{{DU},from="upstream",le=""#);
    let buckets = page.lines().filter_map(|line| {
        let (bound, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
        let bound = bound.replace("+Inf", "inf").parse::<f64>().unwrap();
        Some((bound, count.parse::<f64>().unwrap()))
    });
    let mut least = 0.0;
    for (bound, count) in buckets {
        if count >= rank {
            return (least, bound);
        }
        least = bound;
    }
    panic!("{rank} in no bucket of {page}");
}

/// Then it asks for protobuf.
#[test]
fn prometheus_takes_native_histograms() {
    let (_postgres, proxy) = with_traffic();
    let mut client = proxy.client();
    for _ in 0..20 {
        client.run("select pg_sleep(0.1)");
    }
    let page = get(proxy.web(), "/metrics").body;
    let prometheus = Prometheus::start(proxy.web(), &["--enable-feature=native-histograms"]);
    let upstream = r#"pgweir_query_seconds{from="upstream"}"#;
    let scraped = eventually("a native histogram", || {
        let count = prometheus.query(&format!("histogram_count({upstream})"));
        (!count.is_empty()).then_some(count)
    });
    let labels = format!(r#"{{{DU},from="upstream"}}"#);
    let counted = |end: &str| sample(&page, &format!("pgweir_query_seconds_{end}{labels}"));
    assert_eq!(scraped, [counted("count")]);
    let sum = prometheus.query(&format!("histogram_sum({upstream})"));
    assert_eq!(sum, [counted("sum")]);
    // The twenty slowest slept for a tenth of a second, or more on a busy machine, however many came before
    // there was a hit; a native bucket is less than a tenth wide.
    let rank = counted("count") - 10.0;
    let quantile = |share: f64| {
        let quantile = prometheus.query(&format!("histogram_quantile({share}, {upstream})"));
        quantile[0]
    };
    let slow = quantile(rank / counted("count"));
    let (least, most) = holds(&page, "pgweir_query_seconds", rank);
    assert!(slow > 0.1 / 1.1, "{slow} of\n{page}");
    assert!(
        (least / 1.1..most * 1.1).contains(&slow),
        "{slow} of\n{page}"
    );
    assert!(quantile(0.0) < slow);
    for name in ["queue", "connect", "first_byte"] {
        let count = prometheus.query(&format!("histogram_count(pgweir_{name}_seconds)"));
        let text = sample(&page, &format!("pgweir_{name}_seconds_count{{{DU}}}"));
        assert_eq!(count, [text], "{name}");
    }
    // What is no histogram is as in the text.
    let queries = prometheus.query("sum(pgweir_queries_total)");
    let queued: f64 = ["hit", "miss", "bypass"]
        .iter()
        .map(|r| super::queries(&page, r))
        .sum();
    assert_eq!(queries, [queued]);
    assert_eq!(prometheus.query("pgweir_ready"), [1.0]);
}

/// All expressions of the dashboard.
fn expressions() -> Vec<String> {
    fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(map) = value.as_object() {
            found.extend(
                map.get("expr")
                    .map(|text| text.as_str().unwrap().to_owned()),
            );
            map.values().for_each(|value| collect(value, found));
        } else if let Some(list) = value.as_array() {
            list.iter().for_each(|value| collect(value, found));
        }
    }
    let json = serde_json::from_str(&read("packaging/grafana/pgweir.json")).unwrap();
    let mut found = Vec::new();
    collect(&json, &mut found);
    assert!(found.len() > 10);
    found
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("pgweir_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn dashboard_and_alerts_use_metrics_that_exist() {
    let mut known = BTreeSet::new();
    for family in FAMILIES {
        known.insert(family.sample_name());
        if family.kind == Kind::Histogram {
            known.extend(["bucket", "sum", "count"].map(|end| format!("{}_{end}", family.name)));
        }
    }
    let used = names(&expressions().join("\n"));
    let alerts = names(&read("packaging/prometheus/alerts.yml"));
    assert!(used.len() > 10 && alerts.len() > 3);
    for name in used.union(&alerts) {
        assert!(known.contains(name), "{name}");
    }
}

#[test]
fn the_page_lists_every_metric() {
    let page = read("docs/metrics.md");
    let mut rows = String::new();
    for family in FAMILIES {
        let labels: Vec<String> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, kind) = (family.sample_name(), family.kind.as_str());
        rows += &format!(
            "| `{name}` | {kind} | {} | {} |\n",
            labels.join(", "),
            family.help
        );
    }
    let listed: String = page
        .lines()
        .filter(|line| line.starts_with("| `pgweir_"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(listed, rows);
}
