//! The thread that sends: away from the workers, so that encoding and a slow collector take no time of
//! theirs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::post::{Collector, Refusal, Signal};
use super::resource::resource;
use super::span::{Queue, Span};
use super::spans::Clock;
use super::{series, spans};
use crate::admin::Facts;
use crate::admin::view::Detail;
use crate::config::{Endpoint, Telemetry};

/// How often the queue is emptied. To wait for a first span instead would cost its session the waking of
/// this thread, which is more than the span itself.
const TAKE_EVERY: Duration = Duration::from_millis(250);

/// Spans in one request to the collector: about a megabyte, a quarter of what collectors take.
const BATCH_MAX: usize = 2_048;

/// How often one batch is tried, and how long after a failure: while it is, the queue fills up.
const TRIES: u32 = 4;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long the end of the process waits for what is still to be sent.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// The thread, from the outside.
#[derive(Debug)]
pub struct Exporter {
    stop: watch::Sender<bool>,
    /// Nothing is sent through it: it closes when the thread has ended.
    ended: mpsc::Receiver<()>,
}

impl Exporter {
    /// Sends what is queued, and what `source` counts, until [`finish`](Self::finish).
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made, or there is no root to verify the collector with.
    pub fn start(
        (endpoint, telemetry): (&Endpoint, &Telemetry),
        queue: Arc<Queue>,
        source: Arc<dyn Facts>,
    ) -> io::Result<Self> {
        let collector = Collector::new(endpoint).map_err(io::Error::other)?;
        let waiting = queue.receiver().ok_or(io::ErrorKind::AlreadyExists)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = mpsc::channel(1);
        let sender = Sender {
            collector,
            resource: resource(&telemetry.service_name),
            queue,
        };
        let every = telemetry.metrics_interval;
        std::thread::Builder::new()
            .name("export".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::join!(
                        sender.spans(waiting, stopped.clone()),
                        sender.metrics(&*source, every, stopped),
                    );
                });
                drop(end);
            })?;
        Ok(Self { stop, ended })
    }

    /// Sends what is there, as far as it can be done quickly.
    pub async fn finish(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(FINISH_TIMEOUT, self.ended.recv())
            .await
            .is_err()
        {
            tracing::warn!("telemetry: not everything could be sent before the end");
        }
    }
}

struct Sender {
    collector: Collector,
    resource: Resource,
    queue: Arc<Queue>,
}

impl Sender {
    async fn spans(&self, mut waiting: mpsc::Receiver<Span>, mut stop: watch::Receiver<bool>) {
        let mut clock = interval(TAKE_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        let mut batch = Vec::new();
        let mut last = false;
        while !last {
            last = tokio::select! {
                _ = clock.tick() => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            loop {
                batch.clear();
                batch.extend(std::iter::from_fn(|| waiting.try_recv().ok()).take(BATCH_MAX));
                if batch.is_empty() {
                    break;
                }
                self.send(&batch, &mut trouble).await;
            }
        }
    }

    async fn send(&self, batch: &[Span], trouble: &mut Trouble) {
        let request = spans::request(&self.resource, batch, Clock::now());
        let count = batch.len() as u64;
        for again in 1..=TRIES {
            let posted = self.collector.post(Signal::Traces, &request).await;
            let refusal = match posted {
                Ok(answer) => {
                    trouble.over("spans");
                    let refused = rejected(&answer).min(count);
                    self.queue.sent.fetch_add(count - refused, Relaxed);
                    self.queue.failed.fetch_add(refused, Relaxed);
                    return;
                }
                Err(refusal) => refusal,
            };
            trouble.met("spans", &refusal);
            if !refusal.again || again == TRIES {
                break;
            }
            tokio::time::sleep(TRY_AGAIN_AFTER * again).await;
        }
        self.queue.failed.fetch_add(count, Relaxed);
    }

    /// A metric that was not sent is in the next ones: they are sums.
    async fn metrics(&self, source: &dyn Facts, every: Duration, mut stop: watch::Receiver<bool>) {
        let mut clock = interval(every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::default();
        let mut last = false;
        while !last {
            last = tokio::select! {
                _ = clock.tick() => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            let request = series::request(&self.resource, &source.view(Detail::All));
            let posted = self.collector.post(Signal::Metrics, &request).await;
            match posted {
                Ok::<ExportMetricsServiceResponse, _>(_) => trouble.over("metrics"),
                Err(refusal) => trouble.met("metrics", &refusal),
            }
        }
    }
}

/// How many of the spans the collector did not want after all.
fn rejected(answer: &ExportTraceServiceResponse) -> u64 {
    let Some(partial) = &answer.partial_success else {
        return 0;
    };
    if !partial.error_message.is_empty() {
        tracing::warn!(said = partial.error_message, "telemetry: the collector");
    }
    u64::try_from(partial.rejected_spans).unwrap_or(0)
}

/// Whether the last try failed: said once, and once when it is over.
#[derive(Debug, Default)]
struct Trouble {
    met: bool,
}

impl Trouble {
    fn met(&mut self, what: &str, refusal: &Refusal) {
        if !self.met {
            tracing::warn!(
                what,
                error = refusal.why,
                "telemetry: the collector does not take it"
            );
        }
        self.met = true;
    }

    fn over(&mut self, what: &str) {
        if self.met {
            tracing::info!(what, "telemetry: the collector takes it again");
        }
        self.met = false;
    }
}
