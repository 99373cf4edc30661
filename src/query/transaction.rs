//! A transaction that has begun, to its COMMIT or ROLLBACK.
//!
//! A transaction holds its connection from its begin on and takes its commands from a mailbox, one after another. However
//! it ends (COMMIT, ROLLBACK, forgotten, pool closed), the connection goes back only when the server has confirmed
//! that no transaction is open; else it is closed.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::error::{ClientError, Outcome};
use crate::pool::prepared::SettingsChange;
use crate::pool::session::Session;
use crate::pool::task::{After, Answer};
use crate::query::Context;
use crate::query::cancellation::{Cancellation, Ended, with_cancellation};
use crate::query::commit::{aborted_error, end, roll_back};
use crate::query::copy::Copy;
use crate::query::execute::{Ahead, execute};
use crate::query::failure::{Failure, cancelled_error, run_error};
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Work, verdict};
use crate::query::script::Script;
use crate::query::statement::Statement;

/// What a transaction's user wants next.
#[derive(Debug)]
pub(crate) enum Command {
    Query {
        promise: Promise,
        statement: Statement,
        cancellation: Cancellation,
    },
    Copy(Box<Copy>),
    Script(Box<Script>),
    Commit(Promise, Cancellation),
    Rollback(Promise),
    /// Nobody is left who could want anything.
    Abandon,
}

impl Command {
    /// Tells the caller that the transaction is gone.
    pub(crate) fn refuse(self, error: &ClientError, attempts: u32, node: Option<usize>) {
        match self {
            Self::Query { promise, .. } | Self::Commit(promise, _) => promise.fail(error, attempts, node),
            Self::Copy(copy) => copy.call.fail(error, node),
            Self::Script(script) => script.call.fail(error, node),
            // What was to be undone has been undone.
            Self::Rollback(promise) => promise.done_empty(0),
            Self::Abandon => {}
        }
    }
}

/// How the conversation with the transaction's user ended.
struct End {
    /// The server confirmed that no transaction is open; if not, the connection is of no more use.
    confirmed: bool,
    /// What whoever ended it is told.
    answer: Answer,
}

impl End {
    fn silent(confirmed: bool) -> Self {
        Self { confirmed, answer: Box::new(|| ()) }
    }

    fn done(confirmed: bool, promise: Promise, node: usize) -> Self {
        Self { confirmed, answer: Box::new(move || promise.done_empty(node)) }
    }

    fn failed(confirmed: bool, promise: Promise, error: ClientError, node: usize) -> Self {
        Self { confirmed, answer: Box::new(move || promise.fail(&error, 1, Some(node))) }
    }
}

/// Serves a transaction that has begun to its end. `aborted`: its first statement has failed.
pub(super) async fn serve<T>(
    context: &Context,
    session: &Arc<Session>,
    mut commands: UnboundedReceiver<Command>,
    aborted: bool,
) -> After<T> {
    let End { confirmed, answer } = converse(context, session, &mut commands, aborted).await;
    if !confirmed {
        session.conn.cut();
        // The user may still want something of it: that is refused without holding the connection's place.
        drop(tokio::spawn(refuse_all(commands, lost(session, Outcome::NotApplied))));
    }
    After::Settled(answer)
}

pub(super) fn lost(session: &Session, outcome: Outcome) -> ClientError {
    let reason = format!("{}; the transaction was rolled back", session.conn.loss_reason());
    ClientError::ConnectionLost { node: session.conn.endpoint.label(), reason, outcome }
}

/// `aborted` in PostgreSQL's sense: only ROLLBACK (or ROLLBACK TO) is possible. tokio-postgres does not show the status
/// byte, but after a statement that succeeded the transaction cannot be in that state.
async fn converse(
    context: &Context,
    session: &Arc<Session>,
    commands: &mut UnboundedReceiver<Command>,
    mut aborted: bool,
) -> End {
    loop {
        if session.conn.is_closed() {
            return End::silent(false);
        }
        let command = tokio::select! {
            biased;
            command = commands.recv() => command.unwrap_or(Command::Abandon),
            () = session.conn.ended() => return End::silent(false),
        };
        match command {
            Command::Query { mut promise, statement, cancellation } => {
                let answer = query(context, session, &mut promise, &statement, &cancellation).await;
                let node = session.conn.endpoint.index;
                match answer {
                    Ok(finished) => {
                        aborted = false;
                        promise.done(finished, node);
                    }
                    Err((error, spoils)) => {
                        aborted |= spoils;
                        promise.fail(&error, 1, Some(node));
                    }
                }
            }
            Command::Copy(copy) => {
                copy.run_within(session, &mut aborted).await;
            }
            Command::Script(script) => script.run_within(session, &mut aborted).await,
            Command::Commit(promise, _) if aborted => {
                let ended = roll_back(context, session).await;
                return End::failed(ended, promise, aborted_error(), session.conn.endpoint.index);
            }
            Command::Commit(promise, cancellation) => return commit(session, promise, &cancellation).await,
            Command::Rollback(promise) => {
                let ended = roll_back(context, session).await;
                // If the connection broke, the server has rolled back as well.
                return End::done(ended, promise, session.conn.endpoint.index);
            }
            Command::Abandon => return End::silent(roll_back(context, session).await),
        }
    }
}

/// One statement. An error comes with whether it has spoilt the transaction.
async fn query(
    context: &Context,
    session: &Session,
    promise: &mut Promise,
    statement: &Statement,
    cancellation: &Cancellation,
) -> Result<Finished, (ClientError, bool)> {
    if let Some(given_up) = cancellation.has_ended(std::time::Instant::now()) {
        return Err((given_up.error(Outcome::NotApplied), false));
    }
    let changes = session.conn.session_state.changes();
    let work = pin!(execute(context, session, statement, promise, Ahead::Nothing, true));
    let ended = settled(session, with_cancellation(&session.conn, cancellation, work).await);
    if statement.text.settings_change == SettingsChange::Local {
        session.conn.session_state.restore_changes(changes);
    }
    ended
}

/// How a statement in a transaction ended.
pub(super) fn settled(
    session: &Session,
    ended: Ended<Result<Finished, Failure>>,
) -> Result<Finished, (ClientError, bool)> {
    match ended {
        Ended::Itself(Ok(finished)) => Ok(finished),
        // Nothing in a transaction is applied before COMMIT.
        Ended::GivenUp(given_up, last_word) => {
            let spoils = !matches!(last_word, Some(Ok(_)));
            Err((cancelled_error(given_up, last_word, Work::InTransaction), spoils))
        }
        // It has run, unless it was cancelled; nothing in a transaction is applied before COMMIT.
        Ended::Itself(Err(Failure::Client(ClientError::TooLarge { limit, outcome }))) => {
            Err((ClientError::TooLarge { limit, outcome: Outcome::NotApplied }, outcome != Outcome::Applied))
        }
        Ended::Itself(Err(Failure::Client(error))) => Err((error, false)),
        Ended::Itself(Err(Failure::Run { cause, phase, .. })) => {
            let outcome = verdict(&cause, phase, Work::InTransaction).outcome();
            let error = match cause {
                Cause::Server(_) => run_error(cause, session, outcome),
                Cause::Lost | Cause::NeverLookedAt | Cause::ReadOnlyBefore => lost(session, outcome),
            };
            Err((error, true))
        }
    }
}

async fn commit(session: &Session, promise: Promise, cancellation: &Cancellation) -> End {
    let node = session.conn.endpoint.index;
    let failure = match with_cancellation(&session.conn, cancellation, pin!(end(session, "COMMIT"))).await {
        // Given up, but the server had finished it: it is committed.
        Ended::Itself(Ok(())) | Ended::GivenUp(_, Some(Ok(()))) => return End::done(true, promise, node),
        Ended::GivenUp(given_up, last_word) => {
            let confirmed = last_word.is_some();
            let error = cancelled_error(given_up, last_word, Work::Commit);
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

/// Answers everything with an error, until nobody wants anything any more.
pub(super) async fn refuse_all(mut commands: UnboundedReceiver<Command>, error: ClientError) {
    while let Some(command) = commands.recv().await {
        command.refuse(&error, 0, None);
    }
}
