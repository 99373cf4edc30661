//! A transaction that is open, to its COMMIT or ROLLBACK.
//!
//! A transaction has its connection to itself and runs its commands one after another. However it ends (COMMIT,
//! ROLLBACK, its handle is dropped, the pool is closed), the connection is used again only if the server has confirmed
//! that no transaction is open; if not, it is closed.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::error::{ClientError, Outcome};
use crate::pool::session::Session;
use crate::pool::sql_facts::SettingsChange;
use crate::pool::task::{After, Answer};
use crate::query::Context;
use crate::query::cancellation::{Cancellation, Ended, with_cancellation};
use crate::query::commit::{Ending, aborted_error, end_transaction, roll_back};
use crate::query::copy::Copy;
use crate::query::execute::{Ahead, execute};
use crate::query::failure::{Failure, cancelled_error, run_error};
use crate::query::pinned::command::PinnedCommand;
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Work, verdict};
use crate::query::script::Script;
use crate::query::statement::Statement;

/// What the caller asks of a transaction.
#[derive(Debug)]
pub(crate) enum TransactionCommand {
    Query {
        promise: Promise,
        statement: Statement,
        cancellation: Cancellation,
    },
    Copy(Box<Copy>),
    Script(Box<Script>),
    /// Of a pinned session.
    Pinned(Box<PinnedCommand>),
    /// COMMIT, or PREPARE TRANSACTION: the SQL is given.
    Commit(Promise, Cancellation, Ending),
    Rollback(Promise),
    /// The handle of the transaction was dropped.
    Abandon,
}

impl TransactionCommand {
    pub(super) fn promise(&mut self) -> Option<&mut Promise> {
        match self {
            Self::Query { promise, .. } | Self::Commit(promise, ..) | Self::Rollback(promise) => Some(promise),
            Self::Copy(copy) => Some(&mut copy.call.promise),
            Self::Script(script) => Some(&mut script.call.promise),
            Self::Pinned(command) => Some(command.promise()),
            Self::Abandon => None,
        }
    }

    /// Rejects the command, because there is no transaction.
    pub(crate) fn refuse(self, error: &ClientError, attempts: u32, node: Option<usize>) {
        match self {
            Self::Query { promise, .. } | Self::Commit(promise, ..) => promise.reject(error, attempts, node),
            Self::Copy(copy) => copy.call.fail(error, node),
            Self::Script(script) => script.call.fail(error, node),
            Self::Pinned(command) => command.refuse(error, attempts, node),
            // There is nothing to roll back.
            Self::Rollback(promise) => promise.resolve_empty(0),
            Self::Abandon => {}
        }
    }
}

/// How a transaction has ended.
struct End {
    /// The server has confirmed that no transaction is open; if not, the connection is closed.
    confirmed: bool,
    /// It was committed, or prepared for that.
    committed: bool,
    /// Settles the promise of the command that has ended the transaction.
    answer: Answer,
}

impl End {
    fn silent(confirmed: bool) -> Self {
        Self { confirmed, committed: false, answer: Box::new(|| ()) }
    }

    fn done((confirmed, committed): (bool, bool), promise: Promise, node: usize) -> Self {
        Self { confirmed, committed, answer: Box::new(move || promise.resolve_empty(node)) }
    }

    fn failed(confirmed: bool, promise: Promise, error: ClientError, node: usize) -> Self {
        Self { confirmed, committed: false, answer: Box::new(move || promise.reject(&error, 1, Some(node))) }
    }
}

/// Runs the commands of an open transaction to its end. `begun`: whether its first command has failed, and whether that
/// may have written.
pub(super) async fn serve_transaction<T>(
    context: &Context,
    session: &Arc<Session>,
    mut commands: UnboundedReceiver<TransactionCommand>,
    begun: (bool, bool),
) -> After<T> {
    let statistics = &context.cluster.statistics;
    statistics.begun.add(1);
    let End { confirmed, committed, answer } = run_commands(context, session, &mut commands, begun).await;
    (if committed { &statistics.committed } else { &statistics.rolled_back }).add(1);
    if !confirmed {
        session.conn.cut();
        // More commands may follow. A task of its own rejects them, because this task occupies the connection.
        drop(tokio::spawn(refuse_all(commands, lost_error(session, Outcome::NotApplied))));
    }
    After::Settled(answer)
}

pub(super) fn lost_error(session: &Session, outcome: Outcome) -> ClientError {
    let reason = format!("{}; the transaction was rolled back", session.conn.loss_reason());
    ClientError::ConnectionLost { node: session.conn.endpoint.label(), reason, outcome }
}

/// Runs commands until one ends the transaction. `aborted` as PostgreSQL means it: only ROLLBACK (or ROLLBACK TO) is
/// possible. After a statement that has succeeded, a transaction is not aborted.
async fn run_commands(
    context: &Context,
    session: &Arc<Session>,
    commands: &mut UnboundedReceiver<TransactionCommand>,
    (mut aborted, mut wrote): (bool, bool),
) -> End {
    loop {
        if session.conn.is_closed() {
            return End::silent(false);
        }
        let command = tokio::select! {
            biased;
            command = commands.recv() => command.unwrap_or(TransactionCommand::Abandon),
            () = session.conn.ended() => return End::silent(false),
        };
        match command {
            TransactionCommand::Query { mut promise, statement, cancellation } => {
                let answer = run_query(context, session, &mut promise, &statement, &cancellation).await;
                let node = session.conn.endpoint.index;
                match answer {
                    Ok(finished) => {
                        aborted = false;
                        wrote |= statement.text.facts.writes;
                        promise.resolve(finished, node);
                    }
                    Err((error, aborts)) => {
                        aborted |= aborts;
                        promise.reject(&error, 1, Some(node));
                    }
                }
            }
            TransactionCommand::Copy(copy) => {
                wrote = true;
                copy.run_in_transaction(session, &mut aborted).await;
            }
            TransactionCommand::Script(script) => {
                wrote = true;
                script.run_in_transaction(session, &mut aborted).await;
            }
            command @ TransactionCommand::Pinned(_) => {
                command.refuse(&ClientError::Internal("no command of a transaction".into()), 0, None);
            }
            TransactionCommand::Commit(promise, ..) if aborted => {
                let ended = roll_back(context, session).await;
                return End::failed(ended, promise, aborted_error(), session.conn.endpoint.index);
            }
            TransactionCommand::Commit(mut promise, cancellation, ending) => {
                promise.is_write = wrote;
                return run_commit(session, promise, &cancellation, ending.sql()).await;
            }
            TransactionCommand::Rollback(promise) => {
                let ended = roll_back(context, session).await;
                // If the connection is lost, the server has rolled back.
                return End::done((ended, false), promise, session.conn.endpoint.index);
            }
            TransactionCommand::Abandon => return End::silent(roll_back(context, session).await),
        }
    }
}

/// Runs a statement. An error comes with whether it has aborted the transaction.
async fn run_query(
    context: &Context,
    session: &Arc<Session>,
    promise: &mut Promise,
    statement: &Statement,
    cancellation: &Cancellation,
) -> Result<Finished, (ClientError, bool)> {
    if let Some(given_up) = cancellation.reached_limit(std::time::Instant::now()) {
        return Err((given_up.error(Outcome::NotApplied), false));
    }
    let changes = session.conn.session_state.changes();
    let work = pin!(execute(context, session, statement, promise, Ahead::Savepoint));
    let ended = result_in_transaction(session, with_cancellation(&session.conn, cancellation, work).await);
    if statement.text.facts.settings_change == SettingsChange::Local {
        session.conn.session_state.restore_changes(changes);
    }
    ended
}

/// The result of a statement in a transaction. An error comes with whether it has aborted the transaction.
pub(super) fn result_in_transaction(
    session: &Session,
    ended: Ended<Result<Finished, Failure>>,
) -> Result<Finished, (ClientError, bool)> {
    match ended {
        Ended::Itself(Ok(finished)) => Ok(finished),
        // Nothing in a transaction is applied before COMMIT.
        Ended::GivenUp(given_up, last_answer) => {
            let aborts = !matches!(last_answer, Some(Ok(_)));
            Err((cancelled_error(given_up, last_answer, Work::InTransaction), aborts))
        }
        // Nothing in a transaction is applied before COMMIT. The outcome says whether the statement was cancelled.
        Ended::Itself(Err(Failure::Client(ClientError::TooLarge { limit, outcome }))) => {
            Err((ClientError::TooLarge { limit, outcome: Outcome::NotApplied }, outcome != Outcome::Applied))
        }
        Ended::Itself(Err(Failure::Client(error))) => Err((error, false)),
        Ended::Itself(Err(Failure::Run { cause, phase, .. })) => {
            let outcome = verdict(&cause, phase, Work::InTransaction).outcome();
            let error = match cause {
                Cause::Server(_) => run_error(cause, session, outcome),
                Cause::Lost | Cause::Ignored | Cause::ReadOnlyBefore | Cause::NotReplayed => {
                    lost_error(session, outcome)
                }
            };
            Err((error, true))
        }
    }
}

async fn run_commit(session: &Session, promise: Promise, cancellation: &Cancellation, sql: &str) -> End {
    let node = session.conn.endpoint.index;
    let failure = match with_cancellation(&session.conn, cancellation, pin!(end_transaction(session, sql))).await {
        // The server had finished COMMIT before it was cancelled.
        Ended::Itself(Ok(())) | Ended::GivenUp(_, Some(Ok(()))) => return End::done((true, true), promise, node),
        Ended::GivenUp(given_up, last_answer) => {
            let confirmed = last_answer.is_some();
            let error = cancelled_error(given_up, last_answer, Work::Commit);
            return End::failed(confirmed, promise, error, node);
        }
        Ended::Itself(Err(failure)) => failure,
    };
    match failure {
        Failure::Client(error) => End::failed(true, promise, error, node),
        Failure::Run { cause, phase, .. } => {
            let outcome = verdict(&cause, phase, Work::Commit).outcome();
            let confirmed = matches!(&cause, Cause::Server(error) if !error.ends_session);
            End::failed(confirmed, promise, run_error(cause, session, outcome), node)
        }
    }
}

/// Like [`refuse_all`], for an error that was counted as that of BEGIN, or of the request for a session.
pub(super) async fn refuse_rest(mut commands: UnboundedReceiver<TransactionCommand>, error: ClientError) {
    while let Some(mut command) = commands.recv().await {
        if let Some(promise) = command.promise() {
            promise.count_without_error();
        }
        command.refuse(&error, 0, None);
    }
}

/// Rejects all commands until the caller has dropped its handle.
pub(super) async fn refuse_all(mut commands: UnboundedReceiver<TransactionCommand>, error: ClientError) {
    while let Some(command) = commands.recv().await {
        command.refuse(&error, 0, None);
    }
}
