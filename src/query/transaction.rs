//! BEGIN to COMMIT on one connection.
//!
//! A transaction holds its connection from BEGIN on and takes its commands from a mailbox, one after another. However
//! it ends (COMMIT, ROLLBACK, forgotten, pool closed), the connection goes back only when the server has confirmed
//! that no transaction is open; else it is closed.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use super::Context;
use super::caller::Caller;
use super::cancel::{Ended, Patience, with_patience};
use super::execute::{Failure, Fence, Statement, execute, failure};
use super::job::{Call, Job, last_word_error, run_error};
use super::outcome::{Cause, Next, Phase, next};
use crate::cluster::fence;
use crate::error::{ClientError, Outcome, ServerError};
use crate::pool::router::{After, Answer};
use crate::pool::session::Session;

/// What a transaction's user wants next.
#[derive(Debug)]
pub(crate) enum Command {
    Query {
        caller: Caller,
        statement: Statement,
        patience: Patience,
    },
    Commit(Caller, Patience),
    Rollback(Caller),
    /// Nobody is left who could want anything.
    Abandon,
}

impl Command {
    /// Tells the caller that the transaction is gone.
    pub(crate) fn refuse(self, error: &ClientError) {
        match self {
            Self::Query { caller, .. } | Self::Commit(caller, _) => caller.fail(error, 0, None),
            // What was to be undone has been undone.
            Self::Rollback(caller) => caller.done_empty(0),
            Self::Abandon => {}
        }
    }
}

/// A transaction that is to begin.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) call: Call,
    /// `BEGIN ...` with its options.
    pub(crate) sql: String,
    pub(crate) commands: UnboundedReceiver<Command>,
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

    fn done(confirmed: bool, caller: Caller, node: usize) -> Self {
        Self { confirmed, answer: Box::new(move || caller.done_empty(node)) }
    }

    fn failed(confirmed: bool, caller: Caller, error: ClientError, node: usize) -> Self {
        Self { confirmed, answer: Box::new(move || caller.fail(&error, 1, Some(node))) }
    }
}

impl Begin {
    pub(crate) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Job> {
        let node = session.conn.node.index;
        self.call.attempts += 1;
        let context = self.call.context.clone();
        let begun = begin(&context, session, &self.sql);
        let failure = match with_patience(&session.conn, &self.call.patience, begun).await {
            Ended::Itself(Ok(())) => {
                let Begin { call, mut commands, .. } = *self;
                call.caller.done_empty(node);
                return serve(&context, session, &mut commands).await;
            }
            Ended::GivenUp(given_up, last_word) => {
                // Whatever came of the BEGIN, this connection does not go back with it.
                session.conn.cut();
                let _ = last_word;
                return self.call.failed(given_up.error(Outcome::NotApplied), Some(node));
            }
            Ended::Itself(Err(failure)) => failure,
        };
        session.conn.cut();
        match failure {
            // A BEGIN that failed has done nothing, whatever the reason.
            Failure::Run { cause, phase, .. } if next(&cause, phase, true) != Next::Fail(Outcome::NotApplied) => {
                self.call.prepare_retry();
                After::Again(Job::Begin(self))
            }
            Failure::Run { cause, .. } => {
                let error = run_error(cause, session, Outcome::NotApplied);
                self.call.failed(error, Some(node))
            }
            Failure::Client(error) => self.call.failed(error, Some(node)),
        }
    }
}

/// Sends BEGIN and looks at the fence with its answer.
async fn begin(context: &Context, session: &Session, sql: &str) -> Result<(), Failure> {
    let conn = &session.conn;
    let sequence = conn.sending();
    // A server that does not report its role (before 14) is asked in the same flight.
    let must_ask = context.cluster.mode.must_write() && conn.is_stale();
    let sent = if must_ask {
        let show = conn.client.simple_query("SHOW transaction_read_only");
        let (shown, sent) = futures_util::future::join(show, conn.client.batch_execute(sql)).await;
        let read_only = shown.is_ok_and(|messages| {
            messages.iter().any(
                |message| matches!(message, tokio_postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some("on")),
            )
        });
        sent.map(|()| read_only)
    } else {
        conn.client.batch_execute(sql).await.map(|()| false)
    };
    conn.answered();
    let read_only = match sent {
        Ok(read_only) => read_only,
        Err(error) => return Err(failure(session, error, Phase::Sent, sequence).await),
    };
    if context.cluster.mode.must_write() && (read_only || !session.is_usable(&context.cluster)) {
        fence::judge(&context.cluster, conn, sequence).await;
        return Err(Failure::Run { cause: Cause::ReadOnlyBefore, phase: Phase::Sent, sequence: Some(sequence) });
    }
    Ok(())
}

async fn serve(context: &Context, session: &Arc<Session>, commands: &mut UnboundedReceiver<Command>) -> After<Job> {
    let End { confirmed, answer } = converse(context, session, commands).await;
    if !confirmed {
        session.conn.cut();
        // The user may still want something of it: that is refused without holding the connection's place.
        let (_, empty) = tokio::sync::mpsc::unbounded_channel();
        let rest = std::mem::replace(commands, empty);
        let error = lost(session, Outcome::NotApplied);
        drop(tokio::spawn(refuse_all(rest, error)));
    }
    After::Settled(answer)
}

async fn refuse_all(mut commands: UnboundedReceiver<Command>, error: ClientError) {
    while let Some(command) = commands.recv().await {
        command.refuse(&error);
    }
}

fn lost(session: &Session, outcome: Outcome) -> ClientError {
    let reason = format!("{}; the transaction was rolled back", session.conn.loss_reason());
    ClientError::ConnectionLost { node: session.conn.node.label(), reason, outcome }
}

async fn converse(context: &Context, session: &Arc<Session>, commands: &mut UnboundedReceiver<Command>) -> End {
    // In PostgreSQL's sense: only ROLLBACK (or ROLLBACK TO) is possible. tokio-postgres does not show the status byte,
    // but after a statement that succeeded the transaction cannot be in that state.
    let mut aborted = false;
    loop {
        let command = tokio::select! {
            biased;
            command = commands.recv() => command.unwrap_or(Command::Abandon),
            () = session.conn.ended() => return End::silent(false),
        };
        match command {
            Command::Query { mut caller, statement, patience } => {
                let answer = query(context, session, &mut caller, &statement, &patience).await;
                let node = session.conn.node.index;
                match answer {
                    Ok(finished) => {
                        aborted = false;
                        caller.done(finished, node);
                    }
                    Err((error, spoils)) => {
                        aborted |= spoils;
                        caller.fail(&error, 1, Some(node));
                    }
                }
                if session.conn.is_closed() {
                    return End::silent(false);
                }
            }
            Command::Commit(caller, _) if aborted => {
                let ended = end(session, "ROLLBACK").await.is_ok();
                return End::failed(ended, caller, aborted_error(), session.conn.node.index);
            }
            Command::Commit(caller, patience) => return commit(session, caller, &patience).await,
            Command::Rollback(caller) => {
                let ended = end(session, "ROLLBACK").await.is_ok();
                // If the connection broke, the server has rolled back as well.
                return End::done(ended, caller, session.conn.node.index);
            }
            Command::Abandon => return End::silent(end(session, "ROLLBACK").await.is_ok()),
        }
    }
}

/// One statement. An error comes with whether it has spoilt the transaction.
async fn query(
    context: &Context,
    session: &Session,
    caller: &mut Caller,
    statement: &Statement,
    patience: &Patience,
) -> Result<super::caller::Finished, (ClientError, bool)> {
    if let Some(given_up) = patience.has_ended(std::time::Instant::now()) {
        return Err((given_up.error(Outcome::NotApplied), false));
    }
    let work = execute(context, session, statement, caller, Fence::Known, true);
    match with_patience(&session.conn, patience, work).await {
        Ended::Itself(Ok(finished)) => Ok(finished),
        // Nothing in a transaction is applied before COMMIT.
        Ended::GivenUp(given_up, last_word) => {
            let spoils = !matches!(last_word, Some(Ok(_)));
            Err((last_word_error(last_word, |_| given_up.error(Outcome::NotApplied)), spoils))
        }
        Ended::Itself(Err(Failure::Client(error))) => Err((error, false)),
        Ended::Itself(Err(Failure::Run { cause: Cause::Server(error), .. })) => {
            Err((ClientError::Database { error, outcome: Outcome::NotApplied }, true))
        }
        Ended::Itself(Err(Failure::Run { .. })) => Err((lost(session, Outcome::NotApplied), true)),
    }
}

/// COMMIT is answered with success by a server that in truth rolled back, when the transaction was aborted.
fn aborted_error() -> ClientError {
    let error = ServerError {
        code: "25P02".into(),
        message: "the transaction was rolled back: one of its statements had failed".into(),
        ends_session: false,
        fields: vec![("severity", "ERROR".into())],
    };
    ClientError::Database { error: Box::new(error), outcome: Outcome::NotApplied }
}

async fn end(session: &Session, sql: &str) -> Result<(), Failure> {
    let sequence = session.conn.sending();
    let ended = session.conn.client.batch_execute(sql).await;
    session.conn.answered();
    match ended {
        Ok(()) if session.conn.is_unreplicated(sequence) => {
            Err(Failure::Client(ClientError::Unreplicated { node: session.conn.node.label() }))
        }
        Ok(()) => Ok(()),
        Err(error) => Err(failure(session, error, Phase::Begun, sequence).await),
    }
}

async fn commit(session: &Session, caller: Caller, patience: &Patience) -> End {
    let node = session.conn.node.index;
    let failure = match with_patience(&session.conn, patience, end(session, "COMMIT")).await {
        // Given up, but the server had finished it: it is committed.
        Ended::Itself(Ok(())) | Ended::GivenUp(_, Some(Ok(()))) => return End::done(true, caller, node),
        Ended::GivenUp(given_up, last_word) => {
            let confirmed = last_word.is_some();
            let error = last_word_error(last_word, |outcome| given_up.error(outcome));
            return End::failed(confirmed, caller, error, node);
        }
        Ended::Itself(Err(failure)) => failure,
    };
    match failure {
        Failure::Client(error) => End::failed(true, caller, error, node),
        Failure::Run { cause, phase, .. } => {
            // Refused (a deferred constraint, a serialization failure): the server has rolled back. Lost: who knows.
            let outcome = match next(&cause, phase, false) {
                Next::Fail(outcome) => outcome,
                Next::Again | Next::AskFence => Outcome::NotApplied,
            };
            let confirmed = matches!(&cause, Cause::Server(error) if !error.ends_session);
            End::failed(confirmed, caller, run_error(cause, session, outcome), node)
        }
    }
}
