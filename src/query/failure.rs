//! Why work failed on its connection, and the error that its caller gets. `retry_policy` decides what follows from a
//! failure; this file asks the session for what the decision needs, and builds the error.

use std::error::Error as _;
use std::io;

use crate::cluster::fence::{self, ReadOnlyReason};
use crate::connection::connection::Sequence;
use crate::connection::failure::describe;
use crate::engine::RetryCause;
use crate::error::{ClientError, Outcome, ServerError, is_sqlstate};
use crate::pool::session::Session;
use crate::query::Context;
use crate::query::call::Call;
use crate::query::cancellation::GivenUp;
use crate::query::retry_policy::{Cause, Phase, READ_ONLY, Verdict, Work, is_end_of_session, verdict};
use crate::query::statement::NumberedParamError;

/// The hint for the error of a pooler that has lost a prepared statement, or has another one by its name.
const NAMES: &str = "A connection pooler stands between the client and the server, and does not know its prepared \
    statements: prepare: false in the options of the pool sends statements without names.";

/// Why a statement did not finish.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A mistake of the caller or of this client; another attempt cannot help.
    Client(ClientError),
    /// The server refused it or the connection broke: `retry_policy` decides.
    Run { cause: Cause, phase: Phase, sequence: Option<Sequence> },
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// The failure that an error of tokio-postgres means.
pub(crate) async fn failure(
    session: &Session,
    error: tokio_postgres::Error,
    phase: Phase,
    sequence: Sequence,
) -> Failure {
    if let Some(error) = error.as_db_error().filter(|error| is_sqlstate(error.code().code())) {
        return refused(session, Box::new(ServerError::from(error)), phase, sequence);
    }
    if let Some(error) = error.source().and_then(|source| source.downcast_ref::<NumberedParamError>()) {
        return Failure::Client(ClientError::InvalidParam(error.to_string()));
    }
    // An answer that cannot be parsed has an error of the same kind, with other words.
    let is_of_encoding = error.to_string().starts_with("error encoding");
    if let Some(error) = error.source().and_then(|source| source.downcast_ref::<io::Error>())
        && error.kind() == io::ErrorKind::InvalidInput
        && is_of_encoding
    {
        // The message could not be encoded (larger than the protocol allows): nothing was sent.
        return Failure::Client(ClientError::InvalidParam(error.to_string()));
    }
    // The connection is broken, or its bytes cannot be parsed.
    let is_closed = error.is_closed();
    if is_closed {
        session.conn.cut();
    } else {
        session.conn.break_off(describe(&error));
    }
    let lost = lost(session, phase, sequence).await;
    // Another connection would get the same answer.
    if phase == Phase::NotSent && (!is_closed || session.conn.is_confused()) {
        let (node, reason) = (session.conn.endpoint.label(), session.conn.loss_reason());
        return Failure::Client(ClientError::Protocol { node, reason });
    }
    lost
}

/// The failure that an error of the server means.
pub(super) fn refused(session: &Session, mut error: Box<ServerError>, phase: Phase, sequence: Sequence) -> Failure {
    if session.conn.is_pooled() && error.is_about_names() {
        error.hint(NAMES);
    }
    if error.ends_session {
        session.conn.session_ended_at(sequence);
    }
    Failure::Run { cause: Cause::Server(error), phase, sequence: Some(sequence) }
}

/// The failure of a statement whose connection has broken.
pub(super) async fn lost(session: &Session, phase: Phase, sequence: Sequence) -> Failure {
    // The statement ahead of this one learns first why the session has ended.
    tokio::task::yield_now().await;
    let cause = if session.conn.was_never_looked_at(sequence) { Cause::Ignored } else { Cause::Lost };
    Failure::Run { cause, phase, sequence: Some(sequence) }
}

/// Whether work with this verdict may run again on another connection. If that depends on a fence, the session is
/// asked.
pub(super) async fn may_run_again(
    context: &Context,
    session: &Session,
    verdict: Verdict,
    sequence: Option<Sequence>,
) -> bool {
    match (verdict, sequence) {
        (Verdict::Again, _) => true,
        (Verdict::AgainIfFenced, Some(sequence)) if session.route.must_write() => {
            fence::why_read_only(&context.cluster, &session.conn, sequence).await == ReadOnlyReason::Fenced
        }
        (Verdict::AgainIfFenced | Verdict::Fail(_), _) => false,
    }
}

/// What a retry is counted by.
pub(super) fn retry_cause(cause: &Cause) -> RetryCause {
    match cause {
        Cause::Lost | Cause::Ignored => RetryCause::ConnectionLost,
        Cause::ReadOnlyBefore => RetryCause::Fenced,
        Cause::Server(error) if error.code == READ_ONLY => RetryCause::Fenced,
        Cause::Server(error) if is_end_of_session(error) => RetryCause::SessionEnded,
        Cause::Server(_) | Cause::NotReplayed => RetryCause::Standby,
    }
}

/// What a retry is counted by whose cause only its session knows.
pub(super) fn retry_cause_of(session: &Session) -> RetryCause {
    if session.refuses_writes() { RetryCause::Fenced } else { RetryCause::ConnectionLost }
}

/// Prepares another attempt at work that had its connection to itself, if it may run again.
pub(super) async fn prepare_another_attempt(
    call: &mut Call,
    session: &Session,
    verdict: Verdict,
    cause: &Cause,
    sequence: Option<Sequence>,
) -> bool {
    let context = call.context.clone();
    if !may_run_again(&context, session, verdict, sequence).await {
        return false;
    }
    if let (Cause::ReadOnlyBefore, Some(sequence)) = (cause, sequence) {
        // So the other sessions of the node learn of the fence.
        fence::why_read_only(&context.cluster, &session.conn, sequence).await;
    }
    session.conn.retire();
    call.prepare_retry(session, retry_cause(cause)).await;
    true
}

/// The error for work that failed on its connection.
pub(crate) fn run_error(cause: Cause, session: &Session, outcome: Outcome) -> ClientError {
    match cause {
        Cause::Server(error) if outcome == Outcome::Unknown && is_end_of_session(&error) => {
            let node = session.conn.endpoint.label();
            ClientError::ConnectionLost { node, reason: error.brief(), outcome }
        }
        Cause::Server(error) => database_error(error, session, outcome),
        Cause::Lost | Cause::Ignored | Cause::ReadOnlyBefore | Cause::NotReplayed => {
            let node = session.conn.endpoint.label();
            ClientError::ConnectionLost { node, reason: session.conn.loss_reason(), outcome }
        }
    }
}

/// The error for work that the server refused.
pub(super) fn database_error(mut error: Box<ServerError>, session: &Session, outcome: Outcome) -> ClientError {
    error.is_of_fence = error.code == READ_ONLY && session.refuses_writes();
    if error.code == READ_ONLY && session.route.node().is_some() {
        error.message.push_str(" (read() only reads: a statement that writes belongs in query())");
    }
    ClientError::Database { error, outcome }
}

/// The error for work that was cancelled, from the last answer of the server (None: there was none).
pub(crate) fn cancelled_error<T>(
    given_up: GivenUp,
    last_answer: Option<Result<T, Failure>>,
    work: Work,
) -> ClientError {
    let outcome = match last_answer {
        Some(Ok(_)) => work.outcome_of_success(),
        None | Some(Err(Failure::Client(ClientError::Unreplicated { .. }))) => work.outcome_of_silence(),
        Some(Err(Failure::Client(error))) => return error,
        Some(Err(Failure::Run { cause, phase, .. })) => match (verdict(&cause, phase, work).outcome(), cause) {
            // It failed before the cancel request arrived.
            (outcome, Cause::Server(error)) if error.code != CANCELLED && outcome != Outcome::Unknown => {
                return ClientError::Database { error, outcome };
            }
            (outcome, _) => outcome,
        },
    };
    given_up.error(outcome)
}

/// query_canceled.
const CANCELLED: &str = "57014";
