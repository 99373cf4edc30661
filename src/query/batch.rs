//! Several statements in as few flights as possible: each for itself, or all in one transaction (`together`). They run in
//! their order. `flights` says which of them travel together.

mod flights;
mod together;

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures_util::future::join_all;

use crate::error::{ClientError, Outcome};
use crate::pool::session::Session;
use crate::pool::sql_facts::SettingsChange;
use crate::pool::statement_text::Pace;
use crate::pool::task::{After, Sharing};
use crate::query::batch::flights::{Cut, next_flight, plans_of};
use crate::query::batch::together::{BatchFailure, run_as_transaction};
use crate::query::call::Call;
use crate::query::cancellation::{Ended, GivenUp, cancel_until_ended, with_cancellation};
use crate::query::failure::retry_cause_of;

use crate::query::promise::{Company, Promise};

use crate::query::single::Query;
use crate::query::statement::Statement;

/// Statements that travel together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The limits of the whole batch, and the promise of its end.
    pub(crate) call: Call,
    pub(crate) items: BatchItems,
}

/// Boxed, as `Query::run` takes them.
pub(crate) type Queries = Vec<Box<Query>>;

#[derive(Debug)]
pub(crate) enum BatchItems {
    /// Each statement for itself, with an answer of its own.
    Each(Queries),
    /// All in one transaction that begins with this SQL.
    Transaction(String, Vec<(Promise, Statement)>),
}

impl Batch {
    /// With which tasks it may share its connection.
    pub(crate) fn sharing(&self) -> Sharing {
        match &self.items {
            BatchItems::Each(items) if !self.call.cancellation.is_limited() => {
                let apart = |query: &Query| {
                    let text = &query.statement.text;
                    text.pace() == Pace::Slow || text.facts.settings_change != SettingsChange::None
                };
                if items.iter().any(|query| apart(query)) { Sharing::Alone } else { Sharing::Last }
            }
            _ => Sharing::Alone,
        }
    }

    /// Rejects all promises with the same error.
    pub(crate) fn fail(self, error: &ClientError, node: Option<usize>) {
        self.fail_at(None, error, node);
    }

    /// `culprit`: the index of the statement that has failed; the other promises settle without an error of their own.
    fn fail_at(self, culprit: Option<usize>, error: &ClientError, node: Option<usize>) {
        let attempts = self.call.attempts;
        match self.items {
            BatchItems::Each(items) => items.into_iter().for_each(|query| query.call.fail(error, node)),
            BatchItems::Transaction(_, items) => {
                for (index, (mut promise, _)) in items.into_iter().enumerate() {
                    if culprit.is_some_and(|culprit| culprit != index) {
                        promise.resolve_early(node.unwrap_or_default());
                    } else if culprit.is_none() && index > 0 {
                        promise.count_without_error();
                    }
                    promise.reject(error, attempts, node);
                }
            }
        }
        self.call.fail(error, node);
    }

    fn failed(self: Box<Self>, culprit: Option<usize>, error: ClientError, node: usize) -> After<Box<Self>> {
        After::Settled(Box::new(move || self.fail_at(culprit, &error, Some(node))))
    }

    async fn again(mut self: Box<Self>, session: &Session) -> After<Box<Self>> {
        self.call.prepare_retry(session, retry_cause_of(session)).await;
        After::Again(self)
    }

    pub(crate) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        if let Some(given_up) = self.call.cancellation.reached_limit(Instant::now()) {
            return After::Settled(Box::new(move || self.fail(&given_up.error(Outcome::NotApplied), None)));
        }
        self.call.attempts += 1;
        match &mut self.items {
            BatchItems::Each(items) => {
                let items = std::mem::take(items);
                self.run_each(items, session).await
            }
            BatchItems::Transaction(..) => self.run_together(session).await,
        }
    }

    async fn run_each(mut self: Box<Self>, items: Queries, session: &Arc<Session>) -> After<Box<Self>> {
        let context = self.call.context.clone();
        let node = session.conn.endpoint.index;
        let given_up = Arc::<OnceLock<GivenUp>>::default();
        let mut items = VecDeque::from(items);
        let work = async {
            let mut ends = Vec::new();
            while !items.is_empty() {
                let rest = items.iter().map(|query| &query.statement);
                let flight = next_flight(session, rest.clone(), Cut::AfterEachChange);
                // A statement that cannot be prepared gets its error when it runs.
                drop(plans_of(&context, session, rest.take(flight), Cut::AfterEachChange).await);
                let run = |mut query: Box<Query>| {
                    query.call.cancellation.given_up = Some(given_up.clone());
                    query.call.promise.company = Company::OfItsBatch;
                    query.run(session)
                };
                let landed = join_all(items.drain(..flight).map(run)).await;
                let again = landed.iter().any(|end| matches!(end, After::Again(_)));
                ends.extend(landed);
                if again {
                    // The statements behind these run after them.
                    ends.extend(items.drain(..).map(After::Again));
                }
            }
            ends
        };
        let mut work = std::pin::pin!(work);
        let ends = tokio::select! {
            biased;
            ends = work.as_mut() => ends,
            why = self.call.cancellation.wait_for_limit() => {
                let _ = given_up.set(why);
                match cancel_until_ended(&session.conn, work.as_mut()).await {
                    Some(ends) => ends,
                    // The connection is cut, which ends the other statements.
                    None => work.await,
                }
            }
        };
        let mut answers = Vec::new();
        let mut again = Vec::new();
        for end in ends {
            match end {
                After::Settled(answer) => answers.push(answer),
                After::Again(query) => again.push(query),
            }
        }
        let answer = move || answers.into_iter().for_each(|answer| answer());
        if again.is_empty() {
            let promise = self.call.promise;
            return After::Settled(Box::new(move || {
                answer();
                promise.resolve_empty(node);
            }));
        }
        answer();
        self.items = BatchItems::Each(again);
        self.again(session).await
    }

    async fn run_together(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let node = session.conn.endpoint.index;
        let context = self.call.context.clone();
        let BatchItems::Transaction(sql, items) = &mut self.items else { return self.again(session).await };
        let work = run_as_transaction(&context, session, sql, items, self.call.cancellation.is_limited());
        let ended = with_cancellation(&session.conn, &self.call.cancellation, Box::pin(work).as_mut()).await;
        let result = match ended {
            Ended::Itself(result) => result,
            Ended::GivenUp(given_up, last_answer) => {
                let outcome = match last_answer {
                    None => Outcome::Unknown,
                    Some(Ok(_)) => Outcome::Applied,
                    Some(Err(BatchFailure::Again | BatchFailure::Outdated)) => Outcome::NotApplied,
                    Some(Err(BatchFailure::Failed(culprit, error))) => match error {
                        ClientError::Database { error: server, outcome } if server.code == "57014" => outcome,
                        ClientError::ConnectionLost { outcome, .. } => outcome,
                        ClientError::Unreplicated { .. } => Outcome::Unknown,
                        error => return self.failed(culprit, error, node),
                    },
                };
                return self.failed(None, given_up.error(outcome), node);
            }
        };
        match result {
            Ok(finished) => {
                let BatchItems::Transaction(_, items) = self.items else { return After::Settled(Box::new(|| ())) };
                let promise = self.call.promise;
                After::Settled(Box::new(move || {
                    for ((promise, _), finished) in items.into_iter().zip(finished) {
                        promise.resolve(finished, node);
                    }
                    promise.resolve_empty(node);
                }))
            }
            Err(BatchFailure::Failed(culprit, error)) => self.failed(culprit, error, node),
            Err(BatchFailure::Again | BatchFailure::Outdated) => {
                session.conn.retire();
                for (promise, _) in items {
                    promise.start_again();
                }
                self.again(session).await
            }
        }
    }
}
