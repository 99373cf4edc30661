//! COPY: bulk load and unload, as a job or within its caller's transaction.
//!
//! A load is a transaction of its own (or part of its caller's), so it leaves all of its rows or none, and how it ended
//! is never in doubt before COMMIT. JavaScript is asked for data only when the server has said that it is ready: until
//! then the load may go to another connection. After that the source is being used up, and every failure is final.

mod load;
mod unload;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::error::{ClientError, Outcome};
use crate::pool::session::Session;
use crate::pool::task::After;
use crate::query::Context;
use crate::query::call::Call;
use crate::query::cancellation::{Ended, GivenUp, with_cancellation};
use crate::query::commit::{end_transaction, roll_back};
use crate::query::failure::{Failure, cancelled_error, failure, prepare_another_attempt, run_error};
use crate::query::flow_control::FlowControl;
use crate::query::opening::send_begin;
use crate::query::promise::Promise;
use crate::query::retry_policy::{Cause, Phase, Work, verdict};
use load::{Load, PIECES, Transfer};
pub(crate) use load::{LoadTarget, Piece};

#[derive(Debug)]
enum Direction {
    In { target: LoadTarget, pieces: UnboundedReceiver<Piece>, begun: bool },
    Out { sql: String },
}

/// A load or an unload.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) call: Call,
    direction: Direction,
}

impl Copy {
    pub(crate) fn load(call: Call, target: LoadTarget, pieces: UnboundedReceiver<Piece>) -> Self {
        Self { call, direction: Direction::In { target, pieces, begun: false } }
    }

    pub(crate) fn unload(call: Call, sql: String) -> Self {
        Self { call, direction: Direction::Out { sql } }
    }

    /// Whether the copy cannot run again: data of its source was used up, or data was handed to its reader.
    fn is_final(&self) -> bool {
        match self.direction {
            Direction::In { begun, .. } => begun,
            Direction::Out { .. } => self.call.promise.has_streamed(),
        }
    }

    /// Runs the copy in a transaction of its own.
    pub(crate) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let node = session.conn.endpoint.index;
        if let Some(given_up) = self.call.cancellation.reached_limit(Instant::now()) {
            return self.call.failed(given_up.error(Outcome::NotApplied), None);
        }
        self.call.attempts += 1;
        let context = self.call.context.clone();
        let committing = AtomicBool::new(false);
        let flow = self.call.cancellation.flow.clone().unwrap_or_default();
        let work = copy_alone(&context, session, &mut self.call.promise, &mut self.direction, &flow, &committing);
        let ended = with_cancellation(&session.conn, &self.call.cancellation, Box::pin(work).as_mut()).await;
        let failure = match ended {
            Ended::Itself(Ok(Transfer::Complete(finished))) => {
                return After::Settled(Box::new(move || self.call.promise.resolve(finished, node)));
            }
            Ended::Itself(Ok(Transfer::Undone)) => return self.call.failed(stopped(), Some(node)),
            Ended::GivenUp(given_up, last_answer) => {
                let error = given_up_error(given_up, last_answer, committing.load(Ordering::Relaxed));
                return self.call.failed(error, Some(node));
            }
            Ended::Itself(Err(failure)) => failure,
        };
        let (cause, phase, sequence) = match failure {
            Failure::Client(error) => return self.call.failed(error, Some(node)),
            Failure::Run { cause, phase, sequence } => (cause, phase, sequence),
        };
        if committing.load(Ordering::Relaxed) {
            let outcome = verdict(&cause, phase, Work::Commit).outcome();
            return self.call.failed(run_error(cause, session, outcome), Some(node));
        }
        let work = if self.is_final() { Work::InTransaction } else { Work::Opening };
        if prepare_another_attempt(&mut self.call, session, verdict(&cause, phase, work), &cause, sequence).await {
            return After::Again(self);
        }
        self.call.failed(not_applied(cause, session), Some(node))
    }

    /// Runs the copy in the transaction of its caller. `aborted`: whether only ROLLBACK is possible there.
    pub(crate) async fn run_in_transaction(mut self: Box<Self>, session: &Arc<Session>, aborted: &mut bool) {
        let node = session.conn.endpoint.index;
        self.call.attempts += 1;
        if let Some(given_up) = self.call.cancellation.reached_limit(Instant::now()) {
            return self.call.fail(&given_up.error(Outcome::NotApplied), None);
        }
        let flow = self.call.cancellation.flow.clone().unwrap_or_default();
        let work = copy_in_transaction(session, &mut self.call.promise, &mut self.direction, &flow);
        let ended = with_cancellation(&session.conn, &self.call.cancellation, Box::pin(work).as_mut()).await;
        *aborted = !matches!(
            ended,
            Ended::Itself(Ok(Transfer::Complete(_))) | Ended::GivenUp(_, Some(Ok(Transfer::Complete(_))))
        );
        let error = match ended {
            Ended::Itself(Ok(Transfer::Complete(finished))) => return self.call.promise.resolve(finished, node),
            Ended::Itself(Ok(Transfer::Undone)) => stopped(),
            Ended::GivenUp(given_up, last_answer) => given_up_error(given_up, last_answer, false),
            Ended::Itself(Err(Failure::Client(error))) => error,
            Ended::Itself(Err(Failure::Run { cause, .. })) => not_applied(cause, session),
        };
        self.call.fail(&error, Some(node));
    }

    /// Runs the copy on a pinned session. Outside of a transaction block it commits by itself, so what was lost with the
    /// connection may have been applied. The row count of an unload is the server's, not that of its bytes.
    pub(crate) async fn run_pinned(mut self: Box<Self>, session: &Arc<Session>, in_block: bool) {
        self.call.attempts += 1;
        let flow = self.call.cancellation.flow.clone().unwrap_or_default();
        let unloads = matches!(self.direction, Direction::Out { .. });
        self.call.promise.served_by = Some(session.conn.endpoint.index);
        self.call.promise.is_write = !unloads && !in_block;
        let sequence = session.conn.sending();
        let responses = unloads.then(|| session.conn.responses.listen_to_script());
        let work = copy_in_transaction(session, &mut self.call.promise, &mut self.direction, &flow);
        let ended = with_cancellation(&session.conn, &self.call.cancellation, Box::pin(work).as_mut()).await;
        let status = usize::from(in_block);
        let error = match ended {
            Ended::Itself(Ok(Transfer::Complete(_))) if !in_block && session.conn.is_unreplicated(sequence) => {
                ClientError::Unreplicated { node: session.conn.endpoint.label() }
            }
            Ended::Itself(Ok(Transfer::Complete(mut finished))) => {
                if let Some(answers) = responses.map(|responses| responses.answers()) {
                    let count = |tag: &str| tag.rsplit(' ').next().and_then(|count| count.parse().ok());
                    finished.row_count =
                        answers.results.iter().rev().find_map(|answer| count(&answer.tag)).unwrap_or(0);
                }
                return self.call.promise.resolve(finished, status);
            }
            Ended::Itself(Ok(Transfer::Undone)) => stopped(),
            Ended::GivenUp(given_up, last_answer) => given_up_error(given_up, last_answer, !in_block),
            Ended::Itself(Err(Failure::Client(error))) => error,
            Ended::Itself(Err(Failure::Run { cause, phase, .. })) => {
                let work = if in_block { Work::InTransaction } else { Work::Statement };
                let outcome = verdict(&cause, phase, work).outcome();
                run_error(cause, session, outcome)
            }
        };
        self.call.fail(&error, Some(status));
    }
}

/// The error for a copy that failed before COMMIT. It is the same whether or not the server could still say why the
/// session has ended.
fn not_applied(cause: Cause, session: &Session) -> ClientError {
    let outcome = Outcome::NotApplied;
    match cause {
        Cause::Server(error) if error.ends_session => {
            ClientError::ConnectionLost { node: session.conn.endpoint.label(), reason: error.brief(), outcome }
        }
        cause => run_error(cause, session, outcome),
    }
}

/// The error for a load whose source failed; JavaScript rejects with the error of the source instead.
fn stopped() -> ClientError {
    ClientError::Aborted { outcome: Outcome::NotApplied }
}

/// The error for a copy that was cancelled.
fn given_up_error(given_up: GivenUp, last_answer: Option<Result<Transfer, Failure>>, committing: bool) -> ClientError {
    match last_answer {
        Some(Ok(Transfer::Undone)) => given_up.error(Outcome::NotApplied),
        last_answer => {
            cancelled_error(given_up, last_answer, if committing { Work::Commit } else { Work::InTransaction })
        }
    }
}

async fn copy_alone(
    context: &Context,
    session: &Session,
    promise: &mut Promise,
    direction: &mut Direction,
    flow: &FlowControl,
    committing: &AtomicBool,
) -> Result<Transfer, Failure> {
    if let Err(failure) = send_begin(context, session, "BEGIN").await {
        // A transaction may be open, so the connection is not used again.
        session.conn.cut();
        return Err(failure);
    }
    let transferred = transfer(session, promise, direction, flow).await;
    if matches!(transferred, Ok(Transfer::Complete(_))) {
        committing.store(true, Ordering::Relaxed);
        end_transaction(session, "COMMIT").await?;
    } else if session.conn.is_closed() || !roll_back(context, session).await {
        session.conn.cut();
    }
    transferred
}

/// Runs the copy in a transaction that is open.
async fn copy_in_transaction(
    session: &Session,
    promise: &mut Promise,
    direction: &mut Direction,
    flow: &FlowControl,
) -> Result<Transfer, Failure> {
    // The answer to an empty query comes after all earlier answers, so the observer begins at the beginning of a
    // message.
    let sequence = session.conn.sending();
    if let Err(error) = session.conn.client.batch_execute("").await {
        return Err(failure(session, error, Phase::NotSent, sequence).await);
    }
    transfer(session, promise, direction, flow).await
}

/// Runs the copy. All that was sent before must have been answered.
async fn transfer(
    session: &Session,
    promise: &mut Promise,
    direction: &mut Direction,
    flow: &FlowControl,
) -> Result<Transfer, Failure> {
    // It may run functions: triggers, or those of a query.
    session.note_settings();
    match direction {
        Direction::In { target, pieces, begun } => {
            let responses = session.conn.responses.listen();
            let mut load = Load::open(session, target).await?;
            if flow.is_closed() {
                load.undo().await;
                return Ok(Transfer::Undone);
            }
            *begun = true;
            promise.grant(PIECES, 0, load.columns());
            let transferred = load.run(promise, pieces, flow, &responses).await;
            if !matches!(transferred, Ok(Transfer::Complete(_))) {
                load.undo().await;
            }
            transferred.map_err(|failure| load.located(failure))
        }
        Direction::Out { sql } => unload::unload(session, promise, sql, flow).await.map(Transfer::Complete),
    }
}
