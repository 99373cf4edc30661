//! The end of a transaction that its caller commits: COMMIT by itself, or with the last statement.
//!
//! COMMIT right behind a statement, in one flight, is safe: a statement that fails aborts the transaction, and the server
//! answers COMMIT with ROLLBACK. A plan that may be out of date is bound behind a savepoint, and its failure need not be the
//! end: the statement may run again with a new plan. There COMMIT goes ahead of the Sync of the statement
//! (`protocol::frontend`), so that the server skips it and leaves the transaction open.
//!
//! A statement that the server has executed is committed, also if its rows cannot be handed over: whether COMMIT was
//! sent with it or behind it must not decide that. The outcome of the error says so.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use futures_util::future::join;
use futures_util::poll;
use tokio::sync::oneshot;

use crate::engine::clock;
use crate::error::{ClientError, Outcome};
use crate::pool::prepared::Prepared;
use crate::pool::schema_changes;
use crate::pool::session::Session;
use crate::pool::sql_facts::SettingsChange;
use crate::protocol::Naming;
use crate::query::Context;
use crate::query::cancellation::{Cancellation, Ended, with_cancellation};
use crate::query::commit::{Ending, end_transaction, note_end, roll_back};
use crate::query::execute::{Ahead, execute, forget_failed_plan, run, undo_savepoint};
use crate::query::failure::{Failure, cancelled_error, run_error};
use crate::query::prepare::prepare;
use crate::query::promise::{Company, Finished, Promise};
use crate::query::retry_policy::{Cause, Phase, Work, needs_new_plan, verdict};
use crate::query::statement::Statement;
use crate::query::transaction::block::{End, InTransaction, lost_error};
use crate::query::transaction::command::TransactionQuery;

/// Why a transaction was not committed, or its last rows could not be handed over.
struct LastFailure {
    failure: Failure,
    /// What has failed: the statement, alone or with COMMIT behind it, or COMMIT.
    work: Work,
}

impl LastFailure {
    /// COMMIT was not sent.
    fn before_commit_was_sent(failure: Failure) -> Self {
        Self { failure, work: Work::InTransaction }
    }
}

/// Runs SQL that ends the transaction: COMMIT, or PREPARE TRANSACTION.
pub(super) async fn run_commit(
    context: &Context,
    session: &Session,
    promise: Promise,
    cancellation: &Cancellation,
    sql: &str,
) -> End {
    let work = async { judge(session, Ok(Finished::default()), end_transaction(session, sql).await) };
    let ended = with_cancellation(&session.conn, cancellation, pin!(work)).await;
    end_of(context, session, promise, ended, true).await
}

/// Commits after a statement that was answered, or rolls back if it has failed.
pub(super) async fn commit_answered(
    context: &Context,
    session: &Session,
    query: TransactionQuery,
    answer: InTransaction,
) -> End {
    let TransactionQuery { mut promise, statement, cancellation, .. } = query;
    let result = answer.map_err(|(error, _)| Failure::Client(error));
    if !was_executed(&result) {
        let ended = Ended::Itself(result.map_err(LastFailure::before_commit_was_sent));
        return end_of(context, session, promise, ended, false).await;
    }
    promise.is_write = statement.text.facts.writes;
    let work = async { judge(session, result, end_transaction(session, Ending::Commit.sql()).await) };
    let ended = with_cancellation(&session.conn, &cancellation, Box::pin(work).as_mut()).await;
    end_of(context, session, promise, ended, true).await
}

/// The flight in which a last statement is sent behind others.
pub(super) struct Behind {
    /// All statements of the flight are bound behind savepoints.
    pub(super) with_savepoints: bool,
    /// Says, when the flight was answered, whether its statements run again because of a plan that was out of date. Those
    /// ahead of the last one have done so then.
    pub(super) runs_again: oneshot::Receiver<bool>,
}

/// Runs a statement and commits with it. `wrote`: whether the transaction may have changed something before.
///
/// If the plan of the statement is known, statement and COMMIT are sent when the future is first polled.
pub(super) async fn run_last(
    context: &Context,
    session: &Arc<Session>,
    mut query: TransactionQuery,
    wrote: bool,
    behind: Option<Behind>,
) -> End {
    let conn = &session.conn;
    let TransactionQuery { promise, statement, cancellation, .. } = &mut query;
    let facts = &statement.text.facts;
    let is_sent = AtomicBool::new(false);
    let ended = match cancellation.reached_limit(Instant::now()) {
        Some(given_up) => Ended::GivenUp(given_up, None),
        None => {
            let changes = conn.session_state.changes();
            let last = Last { context, session, statement, is_sent: &is_sent };
            let ended = with_cancellation(conn, cancellation, pin!(last.run(promise, behind))).await;
            if facts.settings_change == SettingsChange::Local {
                conn.session_state.restore_changes(changes);
            }
            ended
        }
    };
    promise.is_write = wrote || facts.writes;
    end_of(context, session, query.promise, ended, is_sent.into_inner()).await
}

/// A last statement.
#[derive(Clone, Copy)]
struct Last<'a> {
    context: &'a Context,
    session: &'a Arc<Session>,
    statement: &'a Statement,
    /// COMMIT was sent, and not certainly skipped.
    is_sent: &'a AtomicBool,
}

impl Last<'_> {
    async fn run(self, promise: &mut Promise, behind: Option<Behind>) -> Result<Finished, LastFailure> {
        let Self { context, session, statement, is_sent } = self;
        let company = promise.company;
        match self.run_at_once(promise, behind).await? {
            Some(finished) => return Ok(finished),
            None => is_sent.store(false, Ordering::Relaxed),
        }
        promise.company = company;
        let result = Box::pin(execute(context, session, statement, promise, Ahead::Savepoint)).await;
        if !was_executed(&result) {
            return result.map_err(LastFailure::before_commit_was_sent);
        }
        is_sent.store(true, Ordering::Relaxed);
        judge(session, result, end_transaction(session, Ending::Commit.sql()).await)
    }

    /// Sends the statement and COMMIT together. None: they have done nothing, and the statement is to run by itself.
    async fn run_at_once(self, promise: &mut Promise, behind: Option<Behind>) -> Result<Option<Finished>, LastFailure> {
        let Self { context, session, statement, is_sent } = self;
        let text = &statement.text;
        let known = session.plan_of(text, clock());
        let was_known = known.is_some();
        let plan = match known {
            Some(plan) => plan,
            None => Box::pin(prepare(context, session, text)).await.map_err(LastFailure::before_commit_was_sent)?,
        };
        let has_savepoint =
            behind.as_ref().is_some_and(|flight| flight.with_savepoints) || session.needs_savepoint(text, &plan);
        if has_savepoint && !may_have_savepoint(session, &plan) {
            return Ok(None);
        }
        schema_changes::announce_statement(&text.facts);
        if has_savepoint {
            session.conn.session_state.set_commit(true);
            // A cancel request, because the result is too large, could hit COMMIT.
            promise.company = Company::OfItsBatch;
        }
        let result = {
            let mut ahead = Ahead::Savepoint;
            let mut running = pin!(run(context, session, &plan, statement, promise, &mut ahead, has_savepoint));
            match poll!(running.as_mut()) {
                Poll::Pending => {
                    if was_known {
                        context.cluster.statistics.prepared_hits.add(1);
                    }
                    is_sent.store(true, Ordering::Relaxed);
                    if !has_savepoint {
                        let (result, committed) = join(running, end_transaction(session, Ending::Commit.sql())).await;
                        return judge(session, result, committed).map(Some);
                    }
                    running.await
                }
                // Nothing was sent. The types of the parameters may be others than when the statement was prepared.
                Poll::Ready(result) => {
                    session.conn.session_state.set_commit(false);
                    return match result {
                        Err(_) if was_known => Ok(None),
                        result => result.map(Some).map_err(LastFailure::before_commit_was_sent),
                    };
                }
            }
        };
        // It must not go behind another statement if it was not written.
        session.conn.session_state.set_commit(false);
        let sequence = session.conn.position();
        let is_open = session.conn.session_state.is_in_block();
        match result {
            // The server says that it has ended the transaction, and its status says that one is open.
            Ok(_) if is_open => {
                session.conn.cut();
                let (cause, phase) = (Cause::Lost, Phase::Begun);
                let failure = Failure::Run { cause, phase, sequence: Some(sequence) };
                Err(LastFailure { failure, work: Work::Commit })
            }
            // COMMIT was skipped.
            Err(Failure::Run { cause: Cause::Server(error), phase, sequence }) if is_open && !error.ends_session => {
                let cause = Cause::Server(error);
                let is_outdated = needs_new_plan(&cause, phase, !was_known, 1);
                is_sent.store(false, Ordering::Relaxed);
                let runs_again = match behind {
                    Some(Behind { runs_again, .. }) if !is_outdated => runs_again.await.unwrap_or(false),
                    _ => is_outdated && undo_savepoint(session).await,
                };
                if !runs_again {
                    let failure = Failure::Run { cause, phase, sequence };
                    return Err(LastFailure::before_commit_was_sent(failure));
                }
                if is_outdated {
                    forget_failed_plan(session, text);
                }
                promise.start_again();
                Ok(None)
            }
            // The rest of the result was an error.
            Err(failure @ Failure::Client(_)) if is_open => {
                is_sent.store(false, Ordering::Relaxed);
                Err(LastFailure::before_commit_was_sent(failure))
            }
            Err(failure @ Failure::Run { cause: Cause::Server(_), phase: Phase::Sent | Phase::Begun, .. }) => {
                note_end(session);
                let is_of_commit = session.conn.session_state.has_completed();
                Err(LastFailure { failure, work: if is_of_commit { Work::Commit } else { Work::BeforeCommit } })
            }
            result => {
                note_end(session);
                let committed = match &result {
                    Err(Failure::Run { phase: Phase::Sent | Phase::Begun, .. }) => {
                        Err(Failure::Run { cause: Cause::Lost, phase: Phase::Begun, sequence: Some(sequence) })
                    }
                    _ if session.conn.is_unreplicated(sequence) => {
                        Err(ClientError::Unreplicated { node: session.conn.endpoint.label() }.into())
                    }
                    _ => Ok(()),
                };
                judge(session, result, committed).map(Some)
            }
        }
    }
}

/// Whether a statement with this plan can be bound behind a savepoint. A statement without a name is parsed with each
/// run: the client learns too late that its columns have changed.
pub(super) fn may_have_savepoint(session: &Session, plan: &Prepared) -> bool {
    session.conn.session_state.naming() != Naming::None || !plan.has_columns()
}

/// Whether the server has executed a statement, although its rows may not have been handed over.
fn was_executed(result: &Result<Finished, Failure>) -> bool {
    match result {
        Ok(_) => true,
        Err(Failure::Client(error)) => error.outcome() == Some(Outcome::Applied),
        Err(Failure::Run { .. }) => false,
    }
}

/// What the answers to the last statement and to COMMIT mean together.
fn judge(
    session: &Session,
    result: Result<Finished, Failure>,
    committed: Result<(), Failure>,
) -> Result<Finished, LastFailure> {
    let (failure, work) = match (result, committed) {
        (Ok(finished), Ok(())) => return Ok(finished),
        // The rest of the result was an error of the server.
        (Err(Failure::Client(error @ ClientError::TooLarge { outcome: Outcome::NotApplied, .. })), _) => {
            (Failure::Client(error), Work::Commit)
        }
        (Err(Failure::Client(ClientError::TooLarge { limit, .. })), Ok(())) => {
            (Failure::Client(ClientError::TooLarge { limit, outcome: Outcome::Applied }), Work::Commit)
        }
        // The rows were to be read with a new plan, when all of them had come.
        (Err(Failure::Run { cause, .. }), Ok(())) => {
            (Failure::Client(run_error(cause, session, Outcome::Applied)), Work::Commit)
        }
        (Err(failure @ Failure::Client(_)), Ok(())) | (Ok(_) | Err(Failure::Client(_)), Err(failure)) => {
            (failure, Work::Commit)
        }
        // The COMMIT behind the statement has rolled back, or was not answered.
        (Err(failure @ Failure::Run { .. }), Err(_)) => (failure, Work::BeforeCommit),
    };
    Err(LastFailure { failure, work })
}

/// `is_sent`: whether COMMIT was sent. If not, the transaction is rolled back here.
async fn end_of(
    context: &Context,
    session: &Session,
    promise: Promise,
    ended: Ended<Result<Finished, LastFailure>>,
    is_sent: bool,
) -> End {
    let node = session.conn.endpoint.index;
    let (error, is_answered) = match ended {
        // The server had finished COMMIT before it was cancelled.
        Ended::Itself(Ok(finished)) | Ended::GivenUp(_, Some(Ok(finished))) => {
            return End::committed(promise, finished, node);
        }
        Ended::GivenUp(given_up, answer) => {
            let work = match &answer {
                Some(Err(LastFailure { work, .. })) => *work,
                _ if is_sent => Work::Commit,
                _ => Work::InTransaction,
            };
            let is_answered = answer.is_some();
            let answer = answer.map(|answer| answer.map_err(|LastFailure { failure, .. }| failure));
            (cancelled_error(given_up, answer, work), is_answered)
        }
        Ended::Itself(Err(LastFailure { failure: Failure::Client(error), .. })) => match error {
            ClientError::TooLarge { limit, .. } if !is_sent => {
                (ClientError::TooLarge { limit, outcome: Outcome::NotApplied }, true)
            }
            error => (error, true),
        },
        Ended::Itself(Err(LastFailure { failure: Failure::Run { cause, phase, .. }, work })) => {
            let outcome = verdict(&cause, phase, work).outcome();
            let is_answered = matches!(&cause, Cause::Server(error) if !error.ends_session);
            let error = match cause {
                Cause::Server(_) => run_error(cause, session, outcome),
                _ if outcome == Outcome::NotApplied => lost_error(session, outcome),
                _ => run_error(cause, session, outcome),
            };
            (error, is_answered)
        }
    };
    let confirmed = !session.conn.is_closed()
        && if is_sent {
            is_answered && !session.conn.session_state.is_in_block()
        } else {
            roll_back(context, session).await
        };
    End::failed(confirmed, promise, error, node)
}
