//! The end of a transaction: COMMIT, ROLLBACK, and the two phases of one that spans clusters (PREPARE TRANSACTION, then
//! COMMIT PREPARED or ROLLBACK PREPARED), and whether the server has carried them out.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;

use crate::cluster::fence;
use crate::error::{ClientError, Outcome, ServerError};
use crate::pool::session::Session;
use crate::pool::task::After;
use crate::query::Context;
use crate::query::call::Call;
use crate::query::cancellation::{Ended, with_cancellation};
use crate::query::direct::{LostCommand, run_command};
use crate::query::failure::{Failure, cancelled_error, failure, lost, prepare_another_attempt, refused, run_error};
use crate::query::retry_policy::{Cause, Phase, Work, verdict};

/// What is to become of an open transaction that is not undone.
#[derive(Debug)]
pub(crate) enum Ending {
    Commit,
    /// PREPARE TRANSACTION with its identifier: the SQL.
    Prepare(String),
}

impl Ending {
    pub(crate) fn sql(&self) -> &str {
        match self {
            Self::Commit => "COMMIT",
            Self::Prepare(sql) => sql,
        }
    }
}

/// A server answers COMMIT of an aborted transaction with success and the tag ROLLBACK.
fn aborted() -> ServerError {
    ServerError {
        code: "25P02".into(),
        message: "the transaction was rolled back: one of its statements had failed".into(),
        fields: vec![("severity", "ERROR".into())],
        ..ServerError::default()
    }
}

pub(super) fn aborted_error() -> ClientError {
    ClientError::Database { error: Box::new(aborted()), outcome: Outcome::NotApplied }
}

/// Rolls back. Returns whether the server has confirmed it in time; if not, the caller cuts the connection, and the
/// server rolls back because of that.
pub(super) async fn roll_back(context: &Context, session: &Session) -> bool {
    timeout(context.acquire_timeout, end_transaction(session, "ROLLBACK")).await.is_ok_and(|ended| ended.is_ok())
}

/// Runs SQL that ends a transaction, which is sent when the future is first polled.
pub(super) async fn end_transaction(session: &Session, sql: &str) -> Result<(), Failure> {
    let sequence = session.conn.sending();
    let ended = run_command(session, sql).await;
    session.conn.answered_work(sequence);
    note_end(session);
    if sql == "ROLLBACK" && ended.is_ok() {
        session.forget_settings();
    }
    match ended {
        Ok(()) if session.conn.is_unreplicated(sequence) => {
            Err(Failure::Client(ClientError::Unreplicated { node: session.conn.endpoint.label() }))
        }
        // The server says that it has ended the transaction, and its status says that one is open.
        Ok(()) if session.conn.session_state.is_in_block() => {
            session.conn.cut();
            Err(Failure::Run { cause: Cause::Lost, phase: Phase::Begun, sequence: Some(sequence) })
        }
        Ok(()) if !sql.starts_with("ROLLBACK") && session.conn.session_state.has_rolled_back() => Err(Failure::Run {
            cause: Cause::Server(Box::new(aborted())),
            phase: Phase::Begun,
            sequence: Some(sequence),
        }),
        Ok(()) => Ok(()),
        Err(LostCommand(Some(error))) => Err(refused(session, error, Phase::Begun, sequence)),
        Err(LostCommand(None)) => {
            session.conn.cut();
            Err(lost(session, Phase::Begun, sequence).await)
        }
    }
}

/// A transaction has ended.
pub(super) fn note_end(session: &Session) {
    if session.names.transaction_ends() {
        session.prepared.remove_scopes();
    }
}

/// COMMIT PREPARED or ROLLBACK PREPARED, on any session of the primary. No statement is prepared for it: its text does not
/// come twice.
#[derive(Debug)]
pub(crate) struct EndPrepared {
    pub(crate) call: Call,
    pub(crate) sql: String,
}

impl EndPrepared {
    pub(crate) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let node = session.conn.endpoint.index;
        if let Some(given_up) = self.call.cancellation.reached_limit(Instant::now()) {
            return self.call.failed(given_up.error(Outcome::NotApplied), None);
        }
        self.call.attempts += 1;
        let ended =
            with_cancellation(&session.conn, &self.call.cancellation, pin!(end_prepared(session, &self.sql))).await;
        let failure = match ended {
            Ended::Itself(Ok(())) => {
                return After::Settled(Box::new(move || self.call.promise.resolve_empty(node)));
            }
            Ended::GivenUp(given_up, last_answer) => {
                let error = cancelled_error(given_up, last_answer, Work::Statement);
                return self.call.failed(error, Some(node));
            }
            Ended::Itself(Err(failure)) => failure,
        };
        let (cause, phase, sequence) = match failure {
            Failure::Client(error) => return self.call.failed(error, Some(node)),
            Failure::Run { cause, phase, sequence } => (cause, phase, sequence),
        };
        let verdict = verdict(&cause, phase, Work::Statement);
        if prepare_another_attempt(&mut self.call, session, verdict, &cause, sequence).await {
            return After::Again(self);
        }
        self.call.failed(run_error(cause, session, verdict.outcome()), Some(node))
    }
}

/// A fenced primary does not refuse these commands as read-only (PostgreSQL's utility.c, ClassifyUtilityCommandAsReadOnly), so it is
/// asked before them, unless it has answered just now.
async fn end_prepared(session: &Session, sql: &str) -> Result<(), Failure> {
    if session.route.must_write() && session.conn.is_stale() {
        let sequence = session.conn.sending();
        let shown = match session.conn.client.simple_query("SHOW transaction_read_only").await {
            Ok(shown) => shown,
            Err(error) => return Err(failure(session, error, Phase::NotSent, sequence).await),
        };
        session.conn.answered();
        if fence::is_on(&shown) {
            let (cause, phase) = (Cause::ReadOnlyBefore, Phase::NotSent);
            return Err(Failure::Run { cause, phase, sequence: Some(sequence) });
        }
    }
    end_transaction(session, sql).await?;
    if session.refuses_writes() {
        // The answer has brought the news of a fence. Whether the next primary has what was ended here, that one knows.
        let reason = "the node was fenced at this moment".to_owned();
        let (node, outcome) = (session.conn.endpoint.label(), Outcome::Unknown);
        return Err(ClientError::ConnectionLost { node, reason, outcome }.into());
    }
    Ok(())
}
