//! A statement outside of any transaction, as a job.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use crate::cluster::fence;
use crate::connection::connection::Sequence;
use crate::engine::clock;
use crate::error::{ClientError, Outcome};
use crate::pool::prepared::Prepared;
use crate::pool::schema_changes;
use crate::pool::session::Session;
use crate::pool::sql_facts::SettingsChange;
use crate::pool::statement_text::Pace;
use crate::pool::task::{After, ConnectionPlace, Sharing};
use crate::query::call::Call;
use crate::query::cancellation::{Ended, with_cancellation};
use crate::query::direct::{self, Begun, may_go_direct};
use crate::query::execute::{Ahead, execute, execute_begun};
use crate::query::failure::{Failure, cancelled_error, may_run_again, retry_cause, run_error};
use crate::query::promise::{Company, Finished};
use crate::query::retry_policy::{Cause, Work, verdict};
use crate::query::statement::Statement;

/// A statement outside a transaction.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) call: Call,
    pub(crate) statement: Statement,
    begun: Option<Begun>,
}

/// How one attempt at a statement has ended.
pub(super) enum Attempt {
    Finished(Finished),
    /// The statement has failed: another attempt cannot help.
    Failed(ClientError),
    /// Its caller has given up, on this node if it had begun.
    GivenUp(ClientError, Option<usize>),
    /// It may run again: it was not applied, or changes nothing.
    Again {
        cause: Cause,
        sequence: Option<Sequence>,
        outcome: Outcome,
    },
}

impl Query {
    pub(crate) fn new(call: Call, statement: Statement) -> Self {
        Self { call, statement, begun: None }
    }

    /// Starts the statement without a future, if it is prepared and nothing else goes with it. The answer ends it, or gives
    /// it to a future.
    pub(super) fn start_at_once<T: Send + 'static, P: ConnectionPlace<T>>(
        mut self: Box<Self>,
        place: P,
        wrap: fn(Box<Self>) -> T,
    ) -> Result<(), (P, Box<Self>)> {
        let session = place.session().clone();
        let Some(plan) = self.plan_at_once(&session) else { return Err((place, self)) };
        session.conn.direct.send(|out| {
            if direct::write_request(&session, &plan, &self.statement, out).is_err() {
                return Err((place, self));
            }
            schema_changes::announce_statement(&self.statement.text.facts);
            let context = self.call.context.clone();
            context.cluster.statistics.prepared_hits.add(1);
            self.call.promise.was_sent = true;
            let (outlet, sequence) = (self.call.promise.outlet(), session.conn.sending());
            let prepared = plan.clone();
            Ok(direct::answer_for(&context, &prepared, outlet, move |reply| {
                let session = place.session();
                let Self { call, statement, .. } = &mut *self;
                match direct::finish_at_once(reply, session, &plan, statement, &mut call.promise, sequence) {
                    Ok(finished) => {
                        let node = session.conn.endpoint.index;
                        place.settle(move || self.call.promise.resolve(finished, node));
                    }
                    Err(begun) => {
                        self.begun = Some(begun);
                        place.run(wrap(self));
                    }
                }
            }))
        })
    }

    /// The plan with which the statement can be sent at once.
    fn plan_at_once(&self, session: &Session) -> Option<Arc<Prepared>> {
        let Self { call, statement, begun } = self;
        let is_checked_first = session.route.must_write() && session.conn.is_stale();
        let is_plain = begun.is_none()
            && !statement.describe
            && !statement.token
            && !call.cancellation.is_limited()
            && may_go_direct(session, &call.promise)
            && !is_checked_first
            && !session.refuses_writes()
            && !session.may_leave_settings(&call.context.cluster, &statement.text.facts);
        is_plain.then(|| session.plan_of(&statement.text, clock())).flatten()
    }

    /// With which tasks the statement may share its connection.
    pub(super) fn sharing(&self) -> Sharing {
        let text = &self.statement.text;
        if self.call.cancellation.is_limited() || text.facts.settings_change != SettingsChange::None {
            return Sharing::Alone;
        }
        match text.pace() {
            Pace::Slow => Sharing::Long,
            Pace::Unknown => Sharing::Last,
            Pace::Quick => Sharing::Any,
        }
    }

    /// What kind of work the statement is, whatever its caller has promised.
    fn work(&self) -> Work {
        if self.statement.text.facts.may_commit { Work::SelfCommitting } else { Work::Statement }
    }

    /// Runs the statement until it is answered or may run again.
    pub(super) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let node = session.conn.endpoint.index;
        let ahead = if session.route.must_write() && session.conn.is_stale() { Ahead::Show } else { Ahead::Nothing };
        match self.attempt(session, ahead).await {
            Attempt::Finished(finished) => After::Settled(Box::new(move || self.call.promise.resolve(finished, node))),
            Attempt::Failed(error) => self.call.failed(error, Some(node)),
            Attempt::GivenUp(error, node) => self.call.failed(error, node),
            Attempt::Again { cause, sequence, .. } => {
                if matches!(cause, Cause::ReadOnlyBefore)
                    && let Some(sequence) = sequence
                {
                    // The other sessions of the node learn of the fence; this one is not used again either way.
                    fence::why_read_only(&self.call.context.cluster, &session.conn, sequence).await;
                }
                // The connection stays open for the answers of the statements that share it.
                session.conn.retire();
                self.call.prepare_retry(session, retry_cause(&cause)).await;
                After::Again(self)
            }
        }
    }

    /// Runs the statement once.
    pub(super) async fn attempt(&mut self, session: &Arc<Session>, ahead: Ahead<'_, '_>) -> Attempt {
        let node = session.conn.endpoint.index;
        if let Some(given_up) = self.call.cancellation.reached_limit(Instant::now()) {
            return Attempt::GivenUp(given_up.error(Outcome::NotApplied), None);
        }
        self.call.attempts += 1;
        let is_alone = self.call.cancellation.is_limited() || self.call.promise.is_streaming();
        if is_alone && self.call.promise.company == Company::OfOthers {
            self.call.promise.company = Company::Alone;
        }
        let context = self.call.context.clone();
        let ended = {
            let Self { call, statement, begun } = self;
            match begun.take() {
                // Boxed: it has failed, which is rare. It has no limits.
                Some(begun) => {
                    Ended::Itself(Box::pin(execute_begun(&context, session, statement, &mut call.promise, begun)).await)
                }
                None => {
                    let run = pin!(execute(&context, session, statement, &mut call.promise, ahead));
                    with_cancellation(&session.conn, &call.cancellation, run).await
                }
            }
        };
        let failure = match ended {
            Ended::Itself(Ok(finished)) => return Attempt::Finished(finished),
            // The server was silent while the statement was being prepared.
            Ended::GivenUp(given_up, None) if !self.call.promise.was_sent => {
                return Attempt::GivenUp(given_up.error(Outcome::NotApplied), Some(node));
            }
            Ended::GivenUp(given_up, last_answer) => {
                return Attempt::GivenUp(cancelled_error(given_up, last_answer, self.work()), Some(node));
            }
            Ended::Itself(Err(failure)) => failure,
        };
        if let Some(given_up) = self.call.cancellation.was_given_up() {
            let error = cancelled_error::<()>(given_up, Some(Err(failure)), self.work());
            return Attempt::GivenUp(error, Some(node));
        }
        let (cause, phase, sequence) = match failure {
            Failure::Client(error) => return Attempt::Failed(error),
            Failure::Run { cause, phase, sequence } => (cause, phase, sequence),
        };
        let reads = self.statement.read_only || session.route.only_reads();
        let verdict = verdict(&cause, phase, if reads { Work::Read } else { self.work() });
        let outcome = verdict.outcome();
        // Rows that a stream has handed out cannot be taken back.
        if !self.call.promise.has_streamed() && may_run_again(&context, session, verdict, sequence).await {
            return Attempt::Again { cause, sequence, outcome };
        }
        Attempt::Failed(run_error(cause, session, outcome))
    }
}
