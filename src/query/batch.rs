//! Several statements in one flight: each for itself, or all in one transaction.
//!
//! Statements that are not prepared yet are prepared first, in one flight. In a transaction, BEGIN, the statements and
//! COMMIT travel together: a statement that fails on the server aborts the transaction, and the COMMIT behind it rolls
//! back. Parameters can be refused before they are sent, so all of them are encoded once before BEGIN is sent.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Instant;

use futures_util::future::{OptionFuture, join_all};

use crate::error::{ClientError, Outcome};
use crate::pool::prepared::Prepared;
use crate::pool::session::Session;
use crate::pool::sql_facts::SettingsChange;
use crate::pool::statement_text::Pace;
use crate::pool::task::{After, Sharing};
use crate::query::Context;
use crate::query::call::Call;
use crate::query::cancellation::{Ended, GivenUp, cancel_until_ended, with_cancellation};
use crate::query::commit::end_transaction;
use crate::query::execute::{Ahead, run};
use crate::query::failure::{Failure, may_run_again, run_error};
use crate::query::opening::Opening;
use crate::query::prepare::prepare;
use crate::query::promise::{Company, Finished, Promise};
use crate::query::retry_policy::{Cause, Phase, Verdict, Work, plan_is_outdated, verdict};
use crate::query::single::Query;
use crate::query::statement::{Statement, check_params};

/// How often a batch runs at most while DDL makes its plans useless.
const PLANS: usize = 5;

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
        self.call.prepare_retry(session).await;
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
        let work = async {
            // A statement that cannot be prepared gets its error when it runs.
            drop(plans_of(&context, session, items.iter().map(|query| &query.statement)).await);
            let run = |mut query: Box<Query>| {
                query.call.cancellation.given_up = Some(given_up.clone());
                query.call.promise.company = Company::OfItsBatch;
                query.run(session)
            };
            join_all(items.into_iter().map(run)).await
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
        let work = async {
            let mut plans = 1;
            loop {
                let may_be_outdated = plans < PLANS;
                let limited = self.call.cancellation.is_limited();
                match send_transaction(&context, session, sql, items, limited, may_be_outdated).await {
                    Err(BatchFailure::Outdated) => forget_plans(session, items),
                    result => return result,
                }
                plans += 1;
            }
        };
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

/// Why a transaction in one flight failed.
enum BatchFailure {
    /// It was not applied, and may run again on another connection.
    Again,
    /// It was not applied, and may run again when its statements are prepared anew.
    Outdated,
    /// With the index of the statement that has failed, if one has.
    Failed(Option<usize>, ClientError),
}

/// The plans of these statements, by the numbers of their texts. Missing ones are prepared in one flight.
async fn plans_of(
    context: &Context,
    session: &Session,
    statements: impl Iterator<Item = &Statement>,
) -> Result<HashMap<u32, Arc<Prepared>>, (u32, Failure)> {
    let mut plans = HashMap::new();
    let mut missing = HashMap::new();
    for Statement { text, .. } in statements {
        if let Some(plan) = session.plan_of(text) {
            plans.insert(text.id, plan);
        } else {
            missing.insert(text.id, text);
        }
    }
    let prepared = missing.into_values().map(|text| async move {
        let plan = prepare(context, session, text).await.map_err(|failure| (text.id, failure))?;
        Ok((text.id, plan))
    });
    for plan in join_all(prepared).await {
        plans.extend([plan?]);
    }
    Ok(plans)
}

fn forget_plans(session: &Session, items: &mut [(Promise, Statement)]) {
    for (promise, statement) in items {
        session.forget_plan(&statement.text);
        promise.start_again();
    }
}

fn check_all_params(
    items: &[(Promise, Statement)],
    plans: &HashMap<u32, Arc<Prepared>>,
    may_be_outdated: bool,
) -> Result<(), BatchFailure> {
    for (index, (_, statement)) in items.iter().enumerate() {
        let Some(plan) = plans.get(&statement.text.id) else { continue };
        if let Err(error) = check_params(statement, plan) {
            // The types of the parameters may have changed since the statement was prepared.
            return Err(if may_be_outdated {
                BatchFailure::Outdated
            } else {
                BatchFailure::Failed(Some(index), error)
            });
        }
    }
    Ok(())
}

/// Sends BEGIN, the statements and COMMIT.
async fn send_transaction(
    context: &Context,
    session: &Session,
    sql: &str,
    items: &mut [(Promise, Statement)],
    limited: bool,
    may_be_outdated: bool,
) -> Result<Vec<Finished>, BatchFailure> {
    let conn = &session.conn;
    let plans = match plans_of(context, session, items.iter().map(|(_, statement)| statement)).await {
        Ok(plans) => plans,
        Err((id, failure)) => {
            let culprit = items.iter().position(|(_, statement)| statement.text.id == id);
            return Err(unsent_failure(session, culprit, failure));
        }
    };
    check_all_params(items, &plans, may_be_outdated)?;
    let mut opening = Opening::new(sql);
    // A transaction that only reads would succeed on a fenced node. So BEGIN goes alone: its answer says whether the
    // node is fenced.
    let may_be_fenced = session.route.must_write() && conn.is_stale();
    if limited || may_be_fenced || !opening.may_go_together(conn) {
        opening.send_alone(context, session).await.map_err(|failure| unsent_failure(session, None, failure))?;
    }
    let begin = opening.is_unsent().then(|| opening.send_with_statement(session));
    let mut begin = OptionFuture::from(begin.map(Box::pin));
    let mut running: Vec<_> = items
        .iter_mut()
        .filter_map(|(promise, statement)| {
            let plan = plans.get(&statement.text.id)?;
            promise.company = Company::OfItsBatch;
            Some(Box::pin(
                async move { run(context, session, plan, statement, promise, &mut Ahead::Nothing, false).await },
            ))
        })
        .collect();
    // A statement is sent when its future is first polled. COMMIT must be sent after all of them, and not at all if one
    // of them was not sent.
    let mut results: Vec<Option<Result<Finished, Failure>>> = Vec::new();
    let mut begun = None;
    poll_fn(|cx| {
        if let Poll::Ready(early) = std::pin::Pin::new(&mut begin).poll(cx) {
            begun = Some(early);
        }
        results = running.iter_mut().map(|one| ready(one.as_mut().poll(cx))).collect();
        Poll::Ready(())
    })
    .await;
    let all_sent = results.iter().all(Option::is_none);
    let commit = end_transaction(session, if all_sent { "COMMIT" } else { "ROLLBACK" });
    let rest = running.iter_mut().zip(&mut results).filter(|(_, result)| result.is_none());
    let rest = join_all(rest.map(|(one, result)| async move { *result = Some(one.await) }));
    let begun_later = async {
        match begun {
            Some(begun) => begun,
            None => begin.await,
        }
    };
    let (begun, committed, _) = futures_util::future::join3(begun_later, commit, rest).await;
    let results = results.into_iter().flatten().collect();
    result_of_transaction(context, session, begun.unwrap_or(Ok(())), results, committed).await
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A failure before any statement was sent.
fn unsent_failure(session: &Session, culprit: Option<usize>, failure: Failure) -> BatchFailure {
    match failure {
        Failure::Client(error) => BatchFailure::Failed(culprit, error),
        Failure::Run { cause, .. } => match verdict(&cause, Phase::NotSent, Work::Opening) {
            Verdict::Again | Verdict::AgainIfFenced => BatchFailure::Again,
            Verdict::Fail(outcome) => BatchFailure::Failed(culprit, run_error(cause, session, outcome)),
        },
    }
}

/// What a failure of BEGIN means after all statements were sent. `was_bypassed`: a statement has run all the same.
fn failure_of_begin(session: &Session, failure: Failure, was_bypassed: bool) -> BatchFailure {
    match failure {
        Failure::Client(error) => BatchFailure::Failed(None, error),
        Failure::Run { cause: Cause::Lost, phase, .. } => {
            let outcome = verdict(&Cause::Lost, phase, Work::BeforeCommit).outcome();
            BatchFailure::Failed(None, run_error(Cause::Lost, session, outcome))
        }
        Failure::Run { cause: Cause::Server(mut error), .. } if !error.ends_session && was_bypassed => {
            error.message = format!("{}: BEGIN failed, and statements sent with it took effect", error.message);
            BatchFailure::Failed(None, ClientError::Database { error, outcome: Outcome::Unknown })
        }
        failure @ Failure::Run { .. } => unsent_failure(session, None, failure),
    }
}

/// The result of a transaction, from the answers to BEGIN, to the statements and to COMMIT.
async fn result_of_transaction(
    context: &Context,
    session: &Session,
    begun: Result<(), Failure>,
    results: Vec<Result<Finished, Failure>>,
    committed: Result<(), Failure>,
) -> Result<Vec<Finished>, BatchFailure> {
    if let Err(failure) = begun {
        let was_bypassed = results.iter().any(Result::is_ok);
        return Err(failure_of_begin(session, failure, was_bypassed));
    }
    let mut finished = Vec::with_capacity(results.len());
    for (index, result) in results.into_iter().enumerate() {
        let failure = match result {
            Ok(one) => {
                finished.push(one);
                continue;
            }
            Err(failure) => failure,
        };
        let (cause, phase, sequence) = match failure {
            // All statements have run; the answer to COMMIT says whether their effect lasts.
            Failure::Client(ClientError::TooLarge { limit, .. }) if committed.is_err() => {
                let outcome = match &committed {
                    Err(Failure::Run { cause, phase, .. }) => verdict(cause, *phase, Work::Commit).outcome(),
                    _ => Outcome::Unknown,
                };
                return Err(BatchFailure::Failed(Some(index), ClientError::TooLarge { limit, outcome }));
            }
            Failure::Client(error) => return Err(BatchFailure::Failed(Some(index), error)),
            Failure::Run { cause, phase, sequence } => (cause, phase, sequence),
        };
        if plan_is_outdated(&cause, phase) {
            return Err(BatchFailure::Outdated);
        }
        let verdict = verdict(&cause, phase, Work::BeforeCommit);
        if may_run_again(context, session, verdict, sequence).await {
            return Err(BatchFailure::Again);
        }
        // No statement is to blame for a lost connection.
        let culprit = (!matches!(cause, Cause::Lost)).then_some(index);
        return Err(BatchFailure::Failed(culprit, run_error(cause, session, verdict.outcome())));
    }
    match committed {
        Ok(()) => Ok(finished),
        Err(Failure::Client(error)) => Err(BatchFailure::Failed(None, error)),
        Err(Failure::Run { cause, phase, .. }) => {
            let outcome = verdict(&cause, phase, Work::Commit).outcome();
            Err(BatchFailure::Failed(None, run_error(cause, session, outcome)))
        }
    }
}
