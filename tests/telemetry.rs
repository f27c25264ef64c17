//! What a collector of OpenTelemetry is sent, and that nobody waits for it. The collector is a small
//! program around the protocol's own Python package; the clients are real ones, too.

mod traced;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::{LEVEL, Proxy};
use crate::support::web::{get, sample};
use crate::support::wire::query;

/// The Python of a virtual environment with what tests/telemetry/requirements.txt names.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("PGWEIR_TEST_OTLP").map(PathBuf::from);
    if python.is_none() {
        eprintln!("NOT CHECKED: PGWEIR_TEST_OTLP is not set, scripts/test.sh does that");
    }
    python
}

fn program(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/telemetry");
    folder.join(name)
}

/// A collector, and what it was sent so far.
struct Collector {
    process: Child,
    port: u16,
    lines: Arc<Mutex<Vec<Value>>>,
    folder: TempDir,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Collector {
    fn start(python: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(python)
            .arg(program("collector.py"))
            .arg(folder.path().join("busy"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = output.next().unwrap().unwrap().parse().unwrap();
        let lines = Arc::<Mutex<Vec<Value>>>::default();
        let kept = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in output.map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap();
                kept.lock().unwrap().push(value);
            }
        });
        Self {
            process,
            port,
            lines,
            folder,
        }
    }

    /// While it is, it answers 503.
    fn busy(&self, is: bool) {
        let file = self.folder.path().join("busy");
        if is {
            fs::write(file, "").unwrap();
        } else {
            fs::remove_file(file).unwrap();
        }
    }

    fn settings(&self) -> String {
        settings(self.port)
    }

    fn spans(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        let lists = lines.iter().filter_map(|line| line["spans"].as_array());
        lists.flatten().cloned().collect()
    }

    /// Waits until there are so many spans, which are then all that it was sent so far.
    fn has(&self, spans: usize) {
        eventually("spans", || (self.spans().len() >= spans).then_some(()));
        assert_eq!(self.spans().len(), spans);
    }

    /// The span of this trace, once it is here.
    fn span(&self, trace: &str) -> Value {
        eventually("a span", || {
            self.spans().into_iter().find(|span| span["trace"] == trace)
        })
    }

    /// The latest points of a metric.
    fn points(&self, name: &str) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        let latest = lines.iter().rev().find(|line| line["metrics"].is_object());
        let points = latest.and_then(|line| line["metrics"][name]["points"].as_array());
        points.cloned().unwrap_or_default()
    }
}

/// A proxy with a web server and a cache, whose collector listens on this port.
fn settings(port: u16) -> String {
    format!(
        "admin.token = \"t\"\ncache.level = \"{LEVEL}\"\n\
         telemetry.endpoint = \"http://127.0.0.1:{port}/\"\ntelemetry.metrics_interval = \"200ms\"\n"
    )
}

fn spans_of(proxy: &Proxy, outcome: &str) -> f64 {
    let page = get(proxy.web(), "/metrics").body;
    sample(
        &page,
        &format!("pgweir_spans_total{{outcome=\"{outcome}\"}}"),
    )
}

/// Threads of the process, by name.
fn threads(proxy: &Proxy) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", proxy.pid().unwrap())).unwrap();
    // One that ends meanwhile has no name any more.
    let name = |task: std::io::Result<fs::DirEntry>| {
        let name = fs::read_to_string(task.unwrap().path().join("comm")).ok()?;
        Some(name.trim().to_owned())
    };
    tasks.filter_map(name).collect()
}

#[test]
fn without_an_endpoint_nothing_is_sent() {
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, "admin.token = \"t\"\n");
    let mut client = proxy.client();
    client
        .run("select 1 /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/");
    assert!(!threads(&proxy).contains(&"export".to_owned()));
    for outcome in ["sent", "dropped", "failed"] {
        assert_eq!(spans_of(&proxy, outcome), 0.0);
    }
    // With one there is a thread, so the check above sees something.
    let proxy = Proxy::configured(postgres.address, &settings(1));
    eventually("the export has its thread", || {
        threads(&proxy).contains(&"export".to_owned()).then_some(())
    });
}

/// How long so many queries take, a hundred at a time.
fn time(proxy: &Proxy, queries: usize) -> f64 {
    let mut client = proxy.client();
    client.run("select 1");
    let batch = query("select 1").repeat(100);
    let start = Instant::now();
    for _ in 0..queries / 100 {
        client.send(&batch).unwrap();
        for _ in 0..100 {
            client.until(b'Z').unwrap();
        }
    }
    start.elapsed().as_secs_f64()
}

/// One that takes connections and never answers is the worst: the queue fills up.
#[test]
fn nobody_waits_for_a_collector_that_hangs() {
    let hung = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hung.local_addr().unwrap().port();
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, &settings(port));
    let off = Proxy::configured(postgres.address, "admin.token = \"t\"\n");
    let queries = 40_000;
    let (with, without) = (time(&proxy, queries), time(&off, queries));
    // More than the queue and one batch hold.
    assert!(spans_of(&proxy, "dropped") > 10_000.0);
    assert_eq!(spans_of(&proxy, "sent"), 0.0);
    // A wait for the collector would be ten seconds long.
    assert!(with < without * 3.0 + 8.0, "{with} s, {without} s without");
    let start = Instant::now();
    let log = proxy.stop().join("\n");
    assert!(log.contains("not everything could be sent"), "{log}");
    assert!(start.elapsed().as_secs() < 10);
}

#[test]
fn nobody_waits_for_a_collector_that_is_not_there() {
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, &settings(1));
    let mut client = proxy.client();
    for _ in 0..10 {
        client.run("select 1");
    }
    proxy.wait_for_log("the collector does not take it", 0);
    eventually("a given-up batch", || {
        client.run("select 1");
        (spans_of(&proxy, "failed") >= 10.0).then_some(())
    });
    let said = proxy.log_lines().join("\n");
    assert!(said.contains("refused"), "{said}");
    proxy.stop();
}

/// What it does not take now it gets later; what there is at the end is sent before it.
#[test]
fn a_busy_collector_is_asked_again() {
    let Some(python) = python() else { return };
    let collector = Collector::start(&python);
    collector.busy(true);
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, &collector.settings());
    let mut client = proxy.client();
    client.run("select 1");
    let line = proxy.wait_for_log("the collector does not take it", 0);
    assert!(line.contains("503"), "{line}");
    collector.busy(false);
    eventually("the span", || {
        (spans_of(&proxy, "sent") == 1.0).then_some(())
    });
    collector.has(1);
    proxy.wait_for_log("the collector takes it again", 0);
    client.run("select 2");
    client.run("select 3");
    proxy.stop();
    collector.has(3);
}

#[test]
fn metrics_are_those_of_the_page() {
    let Some(python) = python() else { return };
    let collector = Collector::start(&python);
    let postgres = Postgres::start();
    let proxy = Proxy::configured(postgres.address, &collector.settings());
    let mut client = proxy.client();
    client.run("create table item (id int)");
    for _ in 0..20 {
        client.run("select pg_sleep(0.01)");
    }
    let value = |point: &Value| point["value"].as_u64().unwrap();
    eventually("the counts", || {
        let points = collector.points("pgweir_queries");
        (points.iter().map(value).sum::<u64>() == 21).then_some(())
    });
    let page = get(proxy.web(), "/metrics").body;
    let points = collector.points("pgweir_query_seconds");
    let upstream = |point: &&Value| point["attributes"]["from"] == "upstream";
    let point = points.iter().find(upstream).unwrap();
    let labels = r#"{database="postgres",user="postgres",from="upstream"}"#;
    let count = sample(&page, &format!("pgweir_query_seconds_count{labels}"));
    assert_eq!(point["count"].as_f64(), Some(count));
    let sum = sample(&page, &format!("pgweir_query_seconds_sum{labels}"));
    assert_eq!(point["sum"].as_f64(), Some(sum));
    // Buckets (2^(i/8), 2^((i+1)/8)]: the twenty lie beyond ten milliseconds, and one is faster.
    let offset = point["offset"].as_i64().unwrap();
    let buckets = point["buckets"].as_array().unwrap().iter();
    let bounded = buckets.zip(offset..).map(|(count, index)| {
        let lower = (index as f64 / 8.0).exp2();
        (lower, count.as_u64().unwrap())
    });
    let (slow, fast): (Vec<_>, Vec<_>) = bounded.partition(|(lower, _)| *lower > 0.009);
    let counts = |list: Vec<(f64, u64)>| list.iter().map(|(_, count)| count).sum::<u64>();
    assert_eq!(point["scale"], 3);
    assert!(counts(slow) >= 20);
    assert!(counts(fast) <= 1);
    let lines = collector.lines.lock().unwrap();
    let resource = &lines.first().unwrap()["resource"];
    assert_eq!(resource["service.name"], "pgweir");
}
