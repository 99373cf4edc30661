//! A statement outside of any transaction, as a job.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use crate::cluster::fence;
use crate::engine::clock;
use crate::error::Outcome;
use crate::pool::session::Session;
use crate::pool::sql_facts::SettingsChange;
use crate::pool::statement_text::Pace;
use crate::pool::task::{After, Sharing};
use crate::query::call::Call;
use crate::query::cancellation::{Ended, with_cancellation};
use crate::query::execute::{Ahead, execute};
use crate::query::failure::{Failure, cancelled_error, may_run_again, run_error};
use crate::query::promise::Company;
use crate::query::read;
use crate::query::retry_policy::{Cause, Work, verdict};
use crate::query::statement::Statement;

/// A statement outside a transaction.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) call: Call,
    pub(crate) statement: Statement,
}

impl Query {
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

    /// Runs the statement once.
    pub(super) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let node = session.conn.endpoint.index;
        if let Some(given_up) = self.call.cancellation.reached_limit(Instant::now()) {
            return self.call.failed(given_up.error(Outcome::NotApplied), None);
        }
        self.call.attempts += 1;
        let is_alone = self.call.cancellation.is_limited() || self.call.promise.is_streaming();
        if is_alone && self.call.promise.company == Company::OfOthers {
            self.call.promise.company = Company::Alone;
        }
        let context = self.call.context.clone();
        let unproven = self.call.read.as_ref().and_then(|plan| plan.unproven_position(session));
        let ahead = match unproven {
            Some(token) => Ahead::Place(token),
            None if session.route.must_write() && session.conn.is_stale() => Ahead::Show,
            None => Ahead::Nothing,
        };
        let began = clock();
        let ended = {
            let run = pin!(execute(&context, session, &self.statement, &mut self.call.promise, ahead));
            with_cancellation(&session.conn, &self.call.cancellation, run).await
        };
        let failure = match ended {
            Ended::Itself(Ok(finished)) => {
                if let Some(placed) = self.call.read.as_ref().and_then(|plan| plan.placed.as_ref()) {
                    placed.answered(clock() - began);
                }
                return After::Settled(Box::new(move || self.call.promise.resolve(finished, node)));
            }
            // The server was silent while the statement was being prepared.
            Ended::GivenUp(given_up, None) if !self.call.promise.was_sent => {
                return self.call.failed(given_up.error(Outcome::NotApplied), Some(node));
            }
            Ended::GivenUp(given_up, last_answer) => {
                if let Some(placed) = self.call.read.as_ref().and_then(|plan| plan.placed.as_ref()) {
                    placed.took(clock() - began);
                }
                return self.call.failed(cancelled_error(given_up, last_answer, Work::Statement), Some(node));
            }
            Ended::Itself(Err(failure)) => failure,
        };
        if let Some(given_up) = self.call.cancellation.was_given_up() {
            let error = cancelled_error::<()>(given_up, Some(Err(failure)), Work::Statement);
            return self.call.failed(error, Some(node));
        }
        let (cause, phase, sequence) = match failure {
            Failure::Client(error) => return self.call.failed(error, Some(node)),
            Failure::Run { cause, phase, sequence } => (cause, phase, sequence),
        };
        let reads = self.statement.read_only || session.route.only_reads();
        let verdict = verdict(&cause, phase, if reads { Work::Read } else { Work::Statement });
        // Rows that a stream has handed out cannot be taken back.
        let is_final = self.call.promise.has_streamed();
        let may_try_again = self.call.read.as_ref().is_none_or(|plan| plan.may_try_again());
        if !is_final && may_try_again && may_run_again(&context, session, verdict, sequence).await {
            if self.call.read.is_some() {
                return read::run_again(self, session, &cause).await;
            }
            if matches!(cause, Cause::ReadOnlyBefore)
                && let Some(sequence) = sequence
            {
                // The other sessions of the node learn of the fence; this one is not used again either way.
                fence::why_read_only(&context.cluster, &session.conn, sequence).await;
            }
            // The connection stays open for the answers of the statements that share it.
            session.conn.retire();
            self.call.prepare_retry(session).await;
            return After::Again(self);
        }
        self.call.failed(run_error(cause, session, verdict.outcome()), Some(node))
    }
}
