//! One client, from greeting to goodbye: the only room that joins the others.
//!
//! A session waits for a request, leases an upstream for it, relays until the upstream is at rest
//! again, settles what is left of the client's state on it, and gives it back.

mod abandoned;
mod ask;
mod asked;
mod backend;
mod buffer;
pub mod caching;
pub mod cancel;
pub mod census;
mod client;
mod clocked;
mod context;
mod deferred;
mod effects;
pub mod end;
mod errand;
mod explain;
mod failure;
mod farewell;
mod filling;
mod follow;
mod footprint;
mod form;
mod frontend;
pub mod greet;
mod heal;
mod held;
mod link;
mod lookup;
mod moved;
mod names;
pub(crate) mod neutral;
pub mod open;
mod outbox;
mod parameters;
mod params;
mod pin;
mod plan;
mod prepared;
mod reading;
pub mod refuse;
pub mod replication;
pub mod report;
mod serve;
mod settings;
mod settle;
mod shapes;
mod state;
mod switches;
mod traced;
mod turn;
mod waiting;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use self::caching::Caching;
use self::cancel::{DRAIN, Handle, KILL, Registered, Waits};
use self::client::{Client, Front};
use self::deferred::Deferred;
use self::end::End;
use self::held::Held;
use self::link::Link;
use self::pin::Pins;
use self::plan::{Asking, Plan, Waited};
use self::refuse::Rules;
use self::state::State;
use crate::config::PoolMode;
use crate::export::span::Outcome;
use crate::pool::Pool;
use crate::pool::lease::Lease;
use crate::pool::line::{Permit, Waiting};
use crate::wire::error::PgError;
use crate::wire::frame;
use crate::wire::replies::Status;

/// A logged-in client.
#[derive(Debug)]
pub struct Session {
    client: Client,
    state: State,
    /// Boxed: an idle client has none, and it is not to be moved about.
    held: Option<Box<Held>>,
    pool: Arc<Pool>,
    rules: Rules,
    registered: Registered,
    /// The text of a BEGIN that no upstream knows of yet: see [`deferred`].
    deferred: Deferred,
    /// Its part in the cache, if there is one.
    caching: Option<Arc<Caching>>,
    /// The request that an upstream is about to be asked for.
    asking: Option<Asking>,
    /// Its place in the line for an upstream.
    waiting: Option<Waiting>,
}

/// What a session has to wait for in a way of its own.
enum Rare {
    /// Another client's answer.
    Wait(Box<Waited>),
    /// A new upstream, to which it has the right; since when it waits for one.
    Connect(Permit, Instant),
    /// Nothing: the client has cancelled what it waited for.
    Skip,
    /// What its upstream has to be brought to.
    Settle,
}

impl Session {
    /// What others see of it.
    pub(crate) fn handle(&self) -> &Arc<Handle> {
        self.registered.handle()
    }

    /// Serves the client until one side has had enough.
    pub async fn run(mut self: Box<Self>) -> End {
        let end = loop {
            // All that a session usually does is polled by hand, and the rest is boxed: the room of a
            // future is that of its longest way, and ten thousand idle clients only wait.
            let step = match poll_fn(|cx| self.poll_usual(cx)).await {
                Ok(Rare::Wait(waited)) => Box::pin(self.wait_for(waited)).await,
                Ok(Rare::Connect(permit, asked)) => Box::pin(self.connect(permit, asked)).await,
                Ok(Rare::Skip) => Box::pin(self.skip_request()).await,
                Ok(Rare::Settle) => Box::pin(self.settle()).await,
                Err(end) => break end,
            };
            if let Err(end) = step {
                break end;
            }
        };
        self.waiting = None;
        Box::pin(self.farewell(&end)).await;
        end
    }

    /// From one request to the next, as long as nothing has to be waited for but bytes.
    fn poll_usual(&mut self, cx: &mut Context<'_>) -> Poll<Result<Rare, End>> {
        loop {
            if self.held.is_none() {
                if self.waiting.is_none() {
                    if let Some(waited) = ready!(self.poll_request(cx))? {
                        return Poll::Ready(Ok(Rare::Wait(waited)));
                    }
                    self.acquire()?;
                }
                if let Some(rare) = ready!(self.poll_line(cx))? {
                    return Poll::Ready(Ok(rare));
                }
            }
            ready!(self.poll_relay(cx))?;
            self.tell_name();
            if !self.settle_at_once() {
                return Poll::Ready(Ok(Rare::Settle));
            }
        }
    }

    /// Ready when the inbox has a request that needs an upstream, or another client's answer; what
    /// does not is answered.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Box<Waited>>, End>> {
        loop {
            if !self.client.out.has_room() {
                // A client that pipelines hits reads its answers before it gets more.
                check_flags(self.registered.handle(), cx, false)?;
                let drained = self.client.out.poll_drain(&mut self.client.stream, cx);
                ready!(drained).map_err(End::Client)?;
            }
            match self.client.front()? {
                Front::Request => {
                    self.go_over();
                    if self.answer_block()? {
                        continue;
                    }
                    if self.caching.is_none() {
                        return Poll::Ready(Ok(None));
                    }
                    match self.plan(None)? {
                        Plan::Answered => {}
                        Plan::Wait(waited) => return Poll::Ready(Ok(Some(Box::new(waited)))),
                        Plan::Upstream(asking) => {
                            self.asking = Some(asking);
                            return Poll::Ready(Ok(None));
                        }
                    }
                }
                Front::Terminate => return Poll::Ready(Err(End::Terminated)),
                Front::Idle(bytes) => self.client.inbox.advance(bytes),
                Front::Sync => {
                    self.client.inbox.advance(frame::HEADER_BYTES);
                    let status = [self.deferred.status().byte()];
                    frame::push(self.client.out.buffer(), b'Z', &[&status]);
                }
                Front::Partial(bytes) => ready!(self.poll_more(bytes, cx))?,
            }
        }
    }

    /// Reads more of a frame that needs so many bytes in all; sends what is queued on the way.
    fn poll_more(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        if !self.client.inbox.is_empty() {
            self.client.inbox.reserve(bytes);
        }
        let idle = self.deferred.status() == Status::Idle;
        let client = &mut self.client;
        check_flags(
            self.registered.handle(),
            cx,
            idle && client.inbox.is_empty(),
        )?;
        client.try_flush(cx).map_err(End::Client)?;
        match client.inbox.poll_fill(&mut client.stream, cx) {
            Poll::Pending => {
                client.out.release();
                client.tally(&self.pool.metrics);
                Poll::Pending
            }
            Poll::Ready(Ok(0)) => Poll::Ready(Err(End::ClientClosed)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(End::Client(error))),
        }
    }

    /// The client cancelled a request that was still waiting: as if its first statement had been
    /// cancelled before it did anything.
    async fn skip_request(&mut self) -> Result<(), End> {
        self.registered.handle().waits(Waits::No);
        let error = PgError::error("57014", "canceling statement due to user request");
        self.pool.metrics.errors.count(&error.body());
        error.encode(self.client.out.buffer());
        self.trace_unserved(Outcome::Failed(*b"57014"));
        loop {
            let Some(header) = frame::frontend_header(self.client.inbox.bytes())? else {
                poll_fn(|cx| self.poll_more(frame::HEADER_BYTES, cx)).await?;
                continue;
            };
            if self.client.inbox.bytes().len() < header.bytes {
                // Its bytes are of no interest; one at a time would do.
                if header.bytes > client::FRAME_BUFFERED_MAX {
                    return Err(End::ClientProtocol(frame::FrameError::Length));
                }
                poll_fn(|cx| self.poll_more(header.bytes, cx)).await?;
                continue;
            }
            self.client.inbox.advance(header.bytes);
            match header.tag {
                b'X' => return Err(End::Terminated),
                b'Q' | b'S' | b'F' => break,
                _ => {}
            }
        }
        self.deferred = std::mem::take(&mut self.deferred).fail();
        let status = [self.deferred.status().byte()];
        frame::push(self.client.out.buffer(), b'Z', &[&status]);
        self.client.flush().await.map_err(End::Client)
    }

    /// Takes the upstream into use: brings it to the client's settings, with the next request.
    fn hold(&mut self, lease: Lease, asked: Instant, leased: Instant) {
        let statements = self.state.statements.len();
        self.registered.handle().hold(&lease.record, statements);
        let generations = self.caching.as_ref();
        let generations = generations.map(|_| self.pool.catalog.generations());
        let mut held = Box::new(Held::new(lease, generations, leased));
        held.clocked.asked(asked, &self.pool.metrics);
        if self.rules.mode == PoolMode::Session {
            held.pins = Pins::session_mode();
        }
        let first = self.asking.as_ref().and_then(|asking| asking.reason);
        if let Some(asking) = self.asking.take() {
            held.asks(asking);
        }
        let mut link = Link {
            client: &mut self.client,
            held: &mut held,
            state: &mut self.state,
            pool: &self.pool,
            rules: self.rules,
            caching: self.caching.as_ref(),
        };
        link.bring_to_settings();
        held.begin(std::mem::take(&mut self.deferred), first);
        if self.rules.mode == PoolMode::Session {
            self.registered.handle().pinned(held.pins.mask());
        }
        self.held = Some(held);
    }

    /// Moves bytes until the upstream is at rest.
    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let Some(held) = self.held.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        let idle = held.at_rest() && self.client.inbox.is_empty();
        check_flags(self.registered.handle(), cx, idle)?;
        let moved = Link {
            client: &mut self.client,
            held,
            state: &mut self.state,
            pool: &self.pool,
            rules: self.rules,
            caching: self.caching.as_ref(),
        }
        .poll_relay(cx);
        self.client.tally(&self.pool.metrics);
        moved
    }
}

/// What others asked of this session.
fn check_flags(handle: &Handle, cx: &Context<'_>, idle: bool) -> Result<(), End> {
    handle.register(cx.waker());
    if handle.has(KILL) {
        return Err(End::Killed);
    }
    if idle && handle.has(DRAIN) {
        return Err(End::Drained);
    }
    Ok(())
}
