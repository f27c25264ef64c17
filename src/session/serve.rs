//! Requests that need no upstream, answered: from the cache, or because they only concern what the
//! proxy keeps itself.

mod answer;

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Session;
use super::asked::{self, Asked, Steps};
use super::clocked;
use super::deferred::Deferred;
use super::end::End;
use super::errand::{self, Errand};
use super::explain;
use super::filling::Filling;
use super::form::Form;
use super::lookup::{Desk, Looked, Query};
use super::outbox::Outbox;
use super::plan::{Asking, Complaints, Foreseen, Plan, Waited, upstream};
use super::reading::{is_readable, shaped};
use super::shapes::Known;
use super::state::{Meant, Reading};
use super::traced;
use crate::cache::entry::Entry;
use crate::cache::rules::Hint;
use crate::cache::{Fill, Lookup};
use crate::export::parent::Parent;
use crate::pool::Pool;
use crate::reason::Reason;
use crate::wire::frame;

impl Session {
    /// Answers the request at the front of the inbox from memory, if that is possible.
    pub(super) fn plan(&mut self, waited: Option<&Waited>) -> Result<Plan, End> {
        let failed = matches!(self.deferred, Deferred::Failed(_));
        // Taken, not cloned: many sessions share its count.
        let Some(caching) = self.caching.take_if(|_| !failed) else {
            let reason = failed.then_some(Reason::Transaction);
            return Ok(Plan::Upstream(Asking::because(reason)));
        };
        let now = Instant::now();
        self.registered.handle().activity.asked(now);
        let inbox = std::mem::take(&mut self.client.inbox);
        // Not moved about: it has room for eight messages.
        let read = asked::read(inbox.bytes());
        let plan = read.as_ref().map(|(asked, bytes)| {
            let mut clerk = Clerk {
                status: self.deferred.status().byte(),
                out: &mut self.client.out,
                waited,
                complaint: None,
                parent: None,
                desk: Desk {
                    caching: &caching,
                    state: &mut self.state,
                    user: self.pool.user(),
                    begun: matches!(self.deferred, Deferred::Begun { .. }),
                    now,
                },
                pool: &self.pool,
            };
            (clerk.serve(asked), *bytes, asked.takes_snapshot())
        });
        let plan = plan.map_err(|error| *error);
        self.client.inbox = inbox;
        self.caching = Some(caching);
        let (mut plan, bytes, snapshot) = plan?;
        match &mut plan {
            Plan::Answered => {
                self.client.inbox.advance(bytes);
                if let Deferred::Begun { read, .. } = &mut self.deferred {
                    *read |= snapshot;
                }
            }
            Plan::Upstream(asking) => asking.at = Some(now),
            Plan::Wait(_) => {}
        }
        Ok(plan)
    }
}

/// Answers one request, or says who has to.
struct Clerk<'a> {
    /// For ReadyForQuery.
    status: u8,
    out: &'a mut Outbox,
    waited: Option<&'a Waited>,
    /// What the hint said that was not understood.
    complaint: Option<String>,
    /// The span of the application's that the query says it belongs to.
    parent: Option<Parent>,
    desk: Desk<'a>,
    pool: &'a Arc<Pool>,
}

/// A statement that a request parses.
struct Parsed {
    /// Parse's body behind the name.
    body: Box<[u8]>,
    meant: Meant,
    reading: Arc<Reading>,
}

/// What the steps of a request are answered with.
#[derive(Default)]
struct Answers<'a> {
    entry: Option<&'a Entry>,
    description: Option<&'a Entry>,
    parsed: Option<Parsed>,
}

impl Clerk<'_> {
    fn serve(&mut self, asked: &Asked<'_>) -> Plan {
        // Also for requests that are not looked up: their client may want to be told why.
        let mut complaints = self.desk.context_complaints();
        let mut plan = match asked {
            Asked::Query(text) => self.query(text),
            Asked::Steps(steps) => match Form::of(steps) {
                Some(form) => self.form(&form, steps),
                None => upstream(Reason::Protocol),
            },
            Asked::Other => upstream(Reason::Protocol),
        };
        if let Some(complaint) = self.complaint.take() {
            let none = || Box::new(Complaints(Vec::new()));
            complaints.get_or_insert_with(none).0.push(complaint);
        }
        // With any of them nothing is answered from memory.
        if let Plan::Upstream(asking) = &mut plan {
            asking.complaints = complaints;
        }
        plan
    }

    fn query(&mut self, text: &[u8]) -> Plan {
        if !is_readable(text, &self.desk.state.reported) {
            return upstream(Reason::ParseError);
        }
        let traced = traced::read(&self.pool.metrics, text, true);
        self.parent = traced.and_then(|traced| traced.parent);
        shaped(text, |shape| {
            let known = self.desk.caching.known(text, shape);
            let hint = shape.hint.map(Hint::read);
            self.complaint = hint.as_ref().and_then(|hint| hint.complaint.clone());
            let query = Query {
                known: &known,
                text: shape.text,
                moment: shape.moment,
                hint: hint.as_ref(),
                types: &[],
                values: None,
                describe: true,
                followed: self.waited.map(|waited| &waited.follow),
            };
            let plan = match self.desk.look(query) {
                Err(reason) => upstream(reason),
                Ok(looked) => self.looked(query, looked, |clerk, entry| {
                    if !entry.frames(clerk.out.buffer(), true) {
                        return false;
                    }
                    // As any simple query does.
                    clerk.desk.state.unnamed = None;
                    true
                }),
            };
            plan.foreseeing(|resolved| Foreseen {
                known: Arc::clone(&known),
                reading: None,
                resolved,
            })
        })
    }

    fn form(&mut self, form: &Form<'_>, steps: &Steps<'_>) -> Plan {
        let Some(name) = form.statement else {
            // Only closes something.
            self.answer(steps, Answers::default());
            return Plan::Answered;
        };
        let Some((name, body)) = form.parse else {
            return self.prepared(form, steps, name);
        };
        let Some((text, types)) = frame::split_cstr(body) else {
            return upstream(Reason::Protocol);
        };
        let statements = &self.desk.state.statements;
        if !name.is_empty() && (statements.contains_key(name) || statements.is_full()) {
            return upstream(Reason::Protocol);
        }
        if !is_readable(text, &self.desk.state.reported) {
            return upstream(Reason::ParseError);
        }
        let traced = traced::read(&self.pool.metrics, text, true);
        self.parent = traced.as_ref().and_then(|traced| traced.parent);
        shaped(text, |shape| {
            let known = self.desk.caching.known(text, shape);
            let hint = shape.hint.map(Hint::read);
            self.complaint = hint.as_ref().and_then(|hint| hint.complaint.clone());
            let query = Query {
                known: &known,
                text: shape.text,
                moment: shape.moment,
                hint: hint.as_ref(),
                types,
                values: form.values,
                describe: form.describes_portal,
                followed: self.waited.map(|waited| &waited.follow),
            };
            let parsed = || {
                Some(Parsed {
                    body: body.into(),
                    meant: Meant {
                        work: None,
                        known: Some(Arc::clone(&known)),
                        traced: traced.clone(),
                    },
                    reading: Arc::new(Reading::new(shape)),
                })
            };
            let plan = self.subject(form, steps, query, &parsed);
            plan.foreseeing(|resolved| Foreseen {
                known: Arc::clone(&known),
                reading: Some(Arc::new(Reading::new(shape))),
                resolved,
            })
        })
    }

    /// A statement that was parsed by an earlier request.
    fn prepared(&mut self, form: &Form<'_>, steps: &Steps<'_>, name: &[u8]) -> Plan {
        let Some(subject) = self.desk.state.subject(name) else {
            return upstream(Reason::Protocol);
        };
        let (Some(known), Some(reading)) = (subject.known, subject.reading) else {
            return upstream(Reason::Protocol);
        };
        let Some((_, types)) = frame::split_cstr(&subject.body) else {
            return upstream(Reason::Protocol);
        };
        if subject.folded {
            // The key would say what the text means now.
            return upstream(Reason::Settings);
        }
        if subject.edition != self.pool.catalog.edition() {
            // So would it here, and its client may have been told of other columns.
            return upstream(Reason::CatalogUnknown);
        }
        self.parent = subject.traced.and_then(|traced| traced.parent);
        let query = Query {
            known: &known,
            text: &reading.text,
            moment: reading.moment,
            hint: reading.hint.as_ref(),
            types,
            values: form.values,
            describe: form.describes_portal,
            followed: self.waited.map(|waited| &waited.follow),
        };
        self.subject(form, steps, query, &|| None)
    }

    /// A request about one statement.
    fn subject(
        &mut self,
        form: &Form<'_>,
        steps: &Steps<'_>,
        query: Query<'_>,
        parsed: &dyn Fn() -> Option<Parsed>,
    ) -> Plan {
        if form.values.is_none() {
            // Parsed without error before, under the same settings and catalog.
            return match self.desk.describe(query) {
                Ok(description) => {
                    let answers = Answers {
                        description: Some(&description),
                        parsed: parsed(),
                        entry: None,
                    };
                    self.answer(steps, answers);
                    Plan::Answered
                }
                Err(reason) => upstream(reason),
            };
        }
        let described = form.describes_statement.then(|| self.desk.describe(query));
        let description = described.and_then(Result::ok);
        match self.desk.look(query) {
            Err(reason) => upstream(reason),
            Ok(looked) => self.looked(query, looked, |clerk, entry| {
                if form.describes_portal && entry.description.is_none()
                    || form.describes_statement && description.is_none()
                {
                    return false;
                }
                let answers = Answers {
                    entry: Some(entry),
                    description: description.as_deref(),
                    parsed: parsed(),
                };
                clerk.answer_steps(steps, answers);
                true
            }),
        }
    }

    fn looked(
        &mut self,
        query: Query<'_>,
        looked: Looked,
        serve: impl FnOnce(&mut Self, &Entry) -> bool,
    ) -> Plan {
        let known = Arc::clone(query.known);
        match looked.lookup {
            Lookup::Hit { entry, .. } if looked.shadow => {
                let filling = Filling::watching(known, entry);
                Plan::Upstream(Asking::keeping(Reason::Shadow, filling))
            }
            Lookup::Hit {
                ref entry,
                age,
                refresh,
            } => {
                if !serve(self, entry) {
                    return upstream(Reason::Miss);
                }
                let reason = self.hit(&known, entry);
                if looked.explain {
                    let out = self.out.buffer();
                    explain::hit(self.desk.caching, &looked.resolved, reason, age, out);
                }
                self.ready();
                if let Some(fill) = refresh {
                    self.run_beside(query, Filling::new(known, fill), None);
                } else if let Some(permit) = self.desk.caching.audit() {
                    let filling = Filling::watching(known, Arc::clone(entry));
                    self.run_beside(query, filling, Some(permit));
                }
                Plan::Answered
            }
            Lookup::Wait(follow) => Plan::Wait(Waited {
                follow,
                since: self.since(),
                apart: None,
            }),
            Lookup::Miss {
                fill: Some(fill),
                why,
            } if self.desk.begun => self.apart(query, fill, why.reason(), looked.shadow),
            Lookup::Miss { .. } if self.desk.begun => upstream(Reason::Transaction),
            Lookup::Miss { fill, why } => Plan::Upstream(Asking {
                filling: fill.map(|fill| Box::new(Filling::new(known, fill))),
                resolved: Some(looked.resolved),
                ..Asking::because(Some(why.reason()))
            }),
        }
    }

    /// When the request was first looked at.
    fn since(&self) -> Instant {
        self.waited.map_or(self.desk.now, |waited| waited.since)
    }

    /// Counts an answer from memory, and says what it was to this client.
    fn hit(&self, known: &Arc<Known>, entry: &Entry) -> Reason {
        let apart = self.waited.and_then(|waited| waited.apart);
        let reason = apart.unwrap_or(Reason::Hit);
        let metrics = &self.pool.metrics;
        clocked::count(metrics, known, reason);
        clocked::answered(
            (metrics, known),
            entry,
            reason,
            (self.since(), self.desk.begun),
        );
        let times = (self.since(), self.waited.is_some());
        let ended = (reason, entry.row_count);
        traced::answered(metrics, (known, self.parent), ended, times);
        reason
    }

    /// A read in a transaction that no upstream knows of yet, whose answer is not there: it is got
    /// beside the transaction, as an autocommitted read of READ COMMITTED would be, so that frameworks
    /// which open a transaction around each request fill the cache, too. If nothing comes of it, the
    /// upstream answers inside of the transaction; an error is told from there.
    fn apart(&self, query: Query<'_>, fill: Fill, why: Reason, shadow: bool) -> Plan {
        // Not a second time for one request.
        if self.waited.is_some() || !query.known.may_run_apart() {
            return upstream(Reason::Transaction);
        }
        let follow = fill.follow();
        self.run_beside(query, Filling::new(Arc::clone(query.known), fill), None);
        if shadow {
            // In this mode the database answers, whatever it costs.
            return upstream(why);
        }
        Plan::Wait(Waited {
            follow,
            since: self.since(),
            apart: Some(why),
        })
    }

    /// Runs the query once more, for nobody: to renew its entry, or to check it.
    fn run_beside(&self, query: Query<'_>, filling: Filling, permit: Option<OwnedSemaphorePermit>) {
        Errand {
            pool: Arc::clone(self.pool),
            caching: Arc::clone(self.desk.caching),
            settings: Arc::clone(self.desk.state.settings.now()),
            frames: errand::frames(query.text, query.types, query.values),
            filling,
            permit,
        }
        .start();
    }

    fn ready(&mut self) {
        frame::push(self.out.buffer(), b'Z', &[&[self.status]]);
    }
}
