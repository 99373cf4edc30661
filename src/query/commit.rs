//! The end of a transaction: COMMIT and ROLLBACK, and whether the server has carried them out.

use tokio::time::timeout;

use crate::error::{ClientError, Outcome, ServerError};
use crate::pool::session::Session;
use crate::query::Context;
use crate::query::failure::{Failure, failure};
use crate::query::retry_policy::{Cause, Phase};

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

/// Runs COMMIT or ROLLBACK, which is sent when the future is first polled.
pub(super) async fn end_transaction(session: &Session, sql: &str) -> Result<(), Failure> {
    let sequence = session.conn.sending();
    let ended = session.conn.client.batch_execute(sql).await;
    session.conn.answered();
    if session.names.transaction_ends() {
        session.prepared.remove_scopes();
    }
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
        Ok(()) if sql == "COMMIT" && session.conn.session_state.has_rolled_back() => Err(Failure::Run {
            cause: Cause::Server(Box::new(aborted())),
            phase: Phase::Begun,
            sequence: Some(sequence),
        }),
        Ok(()) => Ok(()),
        Err(error) => Err(failure(session, error, Phase::Begun, sequence).await),
    }
}
