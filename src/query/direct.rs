//! A prepared statement sent by the stream itself (`protocol::direct`): from its parameters to its packed rows in one pass.
//!
//! - `collector`: takes the answer as it comes
//! - `command`: COMMIT and ROLLBACK, which may have to follow such a statement

mod collector;
mod command;

use std::pin::pin;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use futures_util::future;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use tokio::sync::oneshot;

use crate::connection::connection::Sequence;
use crate::error::{ClientError, Outcome, ServerError};
use crate::pool::prepared::Prepared;
use crate::pool::session::Session;
use crate::protocol::direct::DirectAnswer;
use crate::protocol::{Naming, prefix};
use crate::query::Context;
use crate::query::cancellation::end_early;
use crate::query::collect::{Unread, read_with_new_plan};
use crate::query::direct::collector::{Collector, Recipient, Reply};
use crate::query::failure::{Failure, lost, refused};
use crate::query::opening::Opening;
use crate::query::promise::{Finished, Outlet, Promise};
use crate::query::retry_policy::Phase;
use crate::query::statement::{Numbered, Statement, bind};
pub(super) use command::{LostCommand, run_command};

/// Whether a statement may go this way.
pub(super) fn may_go_direct(session: &Session, promise: &Promise) -> bool {
    session.conn.session_state.naming() != Naming::None
        && !session.conn.responses.is_listening()
        && promise.may_be_direct()
}

/// A statement that was sent, for a future. The channel closes without a reply if the connection was closed before.
pub(super) struct SentStatement(oneshot::Receiver<Reply>);

/// Sends a statement. What it waits for is the future's: see [`wait`].
pub(super) fn send(
    context: &Context,
    session: &Session,
    prepared: &Arc<Prepared>,
    params: &[Numbered<'_>],
    promise: &Promise,
) -> Result<SentStatement, ClientError> {
    let (reply, replied) = oneshot::channel();
    session.conn.direct.send(|out| {
        write(session, prepared, params, out)?;
        Ok::<_, ClientError>(
            Box::new(Collector::new(context, prepared, promise.outlet(), Recipient::Future(reply))) as _
        )
    })?;
    Ok(SentStatement(replied))
}

/// Writes the request of a statement that is sent without a future.
pub(super) fn write_request(
    session: &Session,
    prepared: &Prepared,
    statement: &Statement,
    out: &mut BytesMut,
) -> Result<(), ClientError> {
    write(session, prepared, &bind(statement, prepared)?, out)
}

/// Takes the answer to such a statement. The reply goes to a function, which must not lock the state of the pool at once.
pub(super) fn answer_for(
    context: &Context,
    prepared: &Arc<Prepared>,
    outlet: Outlet,
    reply: impl FnOnce(Reply) + Send + Sync + 'static,
) -> Box<dyn DirectAnswer> {
    Box::new(Collector::new(context, prepared, outlet, Recipient::Call(Box::new(reply))))
}

/// A statement that was sent without a future, and whose end needs one: it has failed, or its rows cannot be read.
pub(super) struct Begun {
    pub(super) plan: Arc<Prepared>,
    pub(super) answered: Answered,
}

/// The reply to a statement, and its place among those of its connection.
pub(super) type Answered = (Sequence, Reply);

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Begun")
    }
}

/// The result of a statement that was sent without a future.
pub(super) fn finish_at_once(
    reply: Reply,
    session: &Session,
    plan: &Arc<Prepared>,
    statement: &Statement,
    promise: &mut Promise,
    sequence: Sequence,
) -> Result<Finished, Begun> {
    match reply {
        Reply::Ended(mut collector)
            if collector.is_whole() && (statement.read_only || !session.conn.is_unreplicated(sequence)) =>
        {
            promise.note_delivered(collector.outlet.has_delivered());
            let busy_us = note_answer(session, &collector, statement, sequence);
            statement.text.record_run(busy_us);
            Ok(Finished { busy_us, ..collector.finish() })
        }
        reply => Err(Begun { plan: plan.clone(), answered: (sequence, reply) }),
    }
}

/// The server has run a statement. Returns how long it was busy with it, in microseconds.
fn note_answer(session: &Session, collector: &Collector, statement: &Statement, sequence: Sequence) -> u64 {
    let busy_us = session.conn.answered_in(sequence);
    session.confirm_plan(&collector.prepared);
    session.note_statement(&statement.text, &statement.params);
    busy_us
}

/// Writes Bind, Execute and Sync.
fn write(
    session: &Session,
    prepared: &Prepared,
    params: &[Numbered<'_>],
    out: &mut BytesMut,
) -> Result<(), ClientError> {
    let naming = session.conn.session_state.naming();
    let types = prepared.statement.params();
    let prefixed = (naming == Naming::Prefixed).then(|| format!("{}{}", prefix(), prepared.name));
    let formats = params.iter().zip(types).map(|(param, ty)| param.format(ty));
    let write_param =
        |(param, ty): (&Numbered<'_>, _), out: &mut BytesMut| -> Result<IsNull, _> { param.write(ty, out) };
    let name = prefixed.as_deref().unwrap_or(&prepared.name);
    let values = params.iter().zip(types);
    let written = match &prepared.text_columns {
        None => frontend::bind("", name, formats, values, write_param, Some(1), out),
        Some(text) => {
            let wanted = text.iter().map(|&text| i16::from(!text));
            frontend::bind("", name, formats, values, write_param, wanted, out)
        }
    };
    written.map_err(|error| match error {
        frontend::BindError::Conversion(error) => ClientError::InvalidParam(error.to_string()),
        frontend::BindError::Serialization(error) => {
            ClientError::InvalidParam(format!("error encoding message: {error}"))
        }
    })?;
    // Execute of the unnamed portal, to its end, and Sync.
    out.put_slice(b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04");
    Ok(())
}

/// Waits for the answer to a statement. `opening`: the BEGIN that is to be sent ahead of it.
pub(super) async fn wait(
    context: &Context,
    session: &Arc<Session>,
    statement: &Statement,
    promise: &mut Promise,
    opening: Option<&mut Opening<'_>>,
    SentStatement(replied): SentStatement,
) -> Result<Finished, Failure> {
    let replied =
        async { replied.await.unwrap_or(Reply::Lost { phase: Phase::NotSent, delivered: false, error: None }) };
    let answered = match opening {
        Some(opening) => {
            // tokio-postgres sends it ahead of what the stream itself sends.
            let begin = opening.send_with_statement(session);
            let sequence = session.conn.sending();
            let (begun, reply) = Box::pin(future::join(begin, replied)).await;
            if let Err(failure) = begun {
                if matches!(&reply, Reply::Ended(collector) if collector.error.is_none()) {
                    opening.was_bypassed();
                }
                return Err(failure);
            }
            (sequence, reply)
        }
        None => (session.conn.sending(), replied.await),
    };
    finish(context, session, statement, promise, answered).await
}

/// The end of a statement, whatever its reply is.
pub(super) async fn finish(
    context: &Context,
    session: &Arc<Session>,
    statement: &Statement,
    promise: &mut Promise,
    (sequence, reply): Answered,
) -> Result<Finished, Failure> {
    let conn = &session.conn;
    let mut collector = match reply {
        Reply::Ended(collector) => collector,
        Reply::TooLarge(rest) => {
            return Err(Box::pin(drop_rest(rest, session, context)).await);
        }
        Reply::Lost { phase, delivered, error } => {
            promise.note_delivered(delivered);
            return Err(Box::pin(lose(session, phase, error, sequence)).await);
        }
    };
    promise.note_delivered(collector.outlet.has_delivered());
    let mut busy_us = 0;
    if collector.phase == Phase::Begun {
        busy_us = note_answer(session, &collector, statement, sequence);
    } else {
        conn.answered_work(sequence);
    }
    if let Some(error) = collector.error.take() {
        return Err(refused(session, error, collector.phase, sequence));
    }
    if let Some(error) = collector.unreadable.take() {
        return Err(Failure::Client(error));
    }
    let mut finished = collector.finish();
    if !collector.unread.is_empty() {
        let unread = Unread::Bodies(std::mem::take(&mut collector.unread));
        finished = Box::pin(read_with_new_plan(
            finished,
            unread,
            &collector.prepared,
            &statement.text,
            context,
            session,
            promise,
        ))
        .await?;
    }
    // A statement that only reads has nothing to replicate.
    if conn.is_unreplicated(sequence) && !statement.read_only {
        return Err(Failure::Client(ClientError::Unreplicated { node: conn.endpoint.label() }));
    }
    statement.text.record_run(busy_us);
    finished.busy_us = busy_us;
    Ok(finished)
}

/// Waits for the end of a statement whose rows are more than a result may have. The last answer of the server says what the
/// statement has done.
async fn drop_rest(rest: oneshot::Receiver<Reply>, session: &Session, context: &Context) -> Failure {
    let rest = async {
        match rest.await {
            Ok(Reply::Ended(collector)) => match &collector.error {
                None => Outcome::Applied,
                Some(error) if !error.ends_session => Outcome::NotApplied,
                Some(_) => Outcome::Unknown,
            },
            _ => Outcome::Unknown,
        }
    };
    let outcome = end_early(session, true, pin!(rest)).await.unwrap_or(Outcome::Unknown);
    Failure::Client(ClientError::TooLarge { limit: context.result_limit(), outcome })
}

/// The connection was lost under a statement.
async fn lose(session: &Session, phase: Phase, error: Option<Box<ServerError>>, sequence: Sequence) -> Failure {
    if let Some(error) = error {
        session.conn.answered_work(sequence);
        return refused(session, error, phase, sequence);
    }
    session.conn.answered();
    session.conn.cut();
    lost(session, phase, sequence).await
}
