//! What commands do to an open transaction, and how it ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{ClientError, Outcome};
use crate::pool::session::Session;
use crate::pool::sql_facts::SettingsChange;
use crate::pool::task::Answer;
use crate::query::Context;
use crate::query::cancellation::{Cancellation, Ended, with_cancellation};
use crate::query::execute::{Ahead, execute};
use crate::query::failure::{Failure, cancelled_error, run_error};
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Work, verdict};
use crate::query::statement::Statement;

/// How a transaction has ended.
pub(super) struct End {
    /// The server has confirmed that no transaction is open; if not, the connection is closed.
    pub(super) confirmed: bool,
    /// It was committed, or prepared for that.
    pub(super) committed: bool,
    /// Settles the promise of the command that has ended the transaction.
    pub(super) answer: Answer,
}

impl End {
    pub(super) fn silent(confirmed: bool) -> Self {
        Self { confirmed, committed: false, answer: Box::new(|| ()) }
    }

    pub(super) fn rolled_back(confirmed: bool, promise: Promise, node: usize) -> Self {
        Self { confirmed, committed: false, answer: Box::new(move || promise.resolve_empty(node)) }
    }

    pub(super) fn committed(promise: Promise, finished: Finished, node: usize) -> Self {
        Self { confirmed: true, committed: true, answer: Box::new(move || promise.resolve(finished, node)) }
    }

    pub(super) fn failed(confirmed: bool, promise: Promise, error: ClientError, node: usize) -> Self {
        Self { confirmed, committed: false, answer: Box::new(move || promise.reject(&error, 1, Some(node))) }
    }
}

/// An error comes with whether it has aborted the transaction.
pub(in crate::query) type InTransaction = Result<Finished, (ClientError, bool)>;

/// What is known of an open transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::query) struct Block {
    /// As PostgreSQL means it: only ROLLBACK (or ROLLBACK TO) is possible. After a statement that has succeeded, a
    /// transaction is not aborted.
    pub(in crate::query) aborted: bool,
    /// It may have changed something.
    pub(in crate::query) wrote: bool,
}

/// Settles the promise of a statement, and notes what the statement has done to the transaction.
pub(super) fn settle(
    session: &Session,
    promise: Promise,
    statement: &Statement,
    answer: InTransaction,
    block: &mut Block,
) {
    let node = session.conn.endpoint.index;
    match answer {
        Ok(finished) => {
            block.aborted = false;
            block.wrote |= statement.text.facts.writes;
            promise.resolve(finished, node);
        }
        Err((error, aborts)) => {
            block.aborted |= aborts;
            promise.reject(&error, 1, Some(node));
        }
    }
}

pub(in crate::query) fn lost_error(session: &Session, outcome: Outcome) -> ClientError {
    let reason = format!("{}; the transaction was rolled back", session.conn.loss_reason());
    ClientError::ConnectionLost { node: session.conn.endpoint.label(), reason, outcome }
}

/// The result of a statement in a transaction. `work`: whether COMMIT was sent behind it.
pub(in crate::query) fn result_in_transaction(
    session: &Session,
    ended: Ended<Result<Finished, Failure>>,
    work: Work,
) -> InTransaction {
    match ended {
        Ended::Itself(Ok(finished)) => Ok(finished),
        // Nothing in a transaction is applied before COMMIT.
        Ended::GivenUp(given_up, last_answer) => {
            let aborts = !matches!(last_answer, Some(Ok(_)));
            Err((cancelled_error(given_up, last_answer, work), aborts))
        }
        // Nothing in a transaction is applied before COMMIT. The outcome says whether the statement was cancelled.
        Ended::Itself(Err(Failure::Client(ClientError::TooLarge { limit, outcome }))) => {
            Err((ClientError::TooLarge { limit, outcome: work.outcome_of_silence() }, outcome != Outcome::Applied))
        }
        Ended::Itself(Err(Failure::Client(error))) => Err((error, false)),
        Ended::Itself(Err(Failure::Run { cause, phase, .. })) => {
            let outcome = verdict(&cause, phase, work).outcome();
            let error = match cause {
                Cause::Lost | Cause::Ignored | Cause::ReadOnlyBefore | Cause::NotReplayed
                    if outcome == Outcome::NotApplied =>
                {
                    lost_error(session, outcome)
                }
                cause => run_error(cause, session, outcome),
            };
            Err((error, true))
        }
    }
}

/// Runs a statement. An error comes with whether it has aborted the transaction.
pub(super) async fn run_query(
    context: &Context,
    session: &Arc<Session>,
    promise: &mut Promise,
    statement: &Statement,
    cancellation: &Cancellation,
) -> InTransaction {
    if let Some(given_up) = cancellation.reached_limit(Instant::now()) {
        return Err((given_up.error(Outcome::NotApplied), false));
    }
    let changes = session.conn.session_state.changes();
    let work = pin!(execute(context, session, statement, promise, Ahead::Savepoint));
    let ended = with_cancellation(&session.conn, cancellation, work).await;
    let ended = result_in_transaction(session, ended, Work::InTransaction);
    if statement.text.facts.settings_change == SettingsChange::Local {
        session.conn.session_state.restore_changes(changes);
    }
    ended
}
