//! Statements that the stream itself sends, and whose answers it reads itself.
//!
//! tokio-postgres hands each message of an answer through a channel to a task, which parses it again. That is most of what
//! a small statement costs the client. A prepared statement does not need it: its Bind, Execute and Sync go into the
//! [`DirectLane`] of the connection, the stream writes them where tokio-postgres has written whole requests, and of the
//! answer tokio-postgres sees nothing: `backend` checks each message, and gives it to the [`Answer`].
//!
//! What tokio-postgres has been asked to send in the same turn of the I/O thread goes ahead of the lane. Nothing that must
//! come behind a direct statement may be sent by tokio-postgres before the answer has come.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use crate::engine::lock;

/// Takes the answer to a direct statement as it comes. One that is dropped before [`Answer::ended`] gets no answer any more:
/// the connection is lost.
pub(crate) trait Answer: Send {
    /// The statement is written with what is sent next.
    fn sent(&mut self);
    /// Whether it takes more rows now. If not, nothing more is read before it has woken the task.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// The server begins with it (BindComplete).
    fn begun(&mut self);
    /// A row: the body of its DataRow. None: it is none.
    fn row(&mut self, body: &[u8]) -> Option<()>;
    /// A row that is larger than a row may be.
    fn row_too_large(&mut self);
    /// The body of the CommandComplete; empty for an empty statement.
    fn completed(&mut self, tag: &[u8]);
    /// The body of the ErrorResponse. None: it is none.
    fn failed(&mut self, fields: &[u8]) -> Option<()>;
    /// The server has come to the end of the statement, and the connection to all that came ahead of that.
    fn ended(self: Box<Self>);
}

#[derive(Default)]
struct Lane {
    /// Whole requests that are not written yet, one for each of `waiting`.
    requests: BytesMut,
    waiting: Vec<Box<dyn Answer>>,
    /// Of the task that drives the connection.
    waker: Option<Waker>,
    closed: bool,
}

/// The way of direct statements to the stream of their connection.
#[derive(Default)]
pub(crate) struct DirectLane(Mutex<Lane>);

impl fmt::Debug for DirectLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectLane")
    }
}

impl DirectLane {
    /// Sends a request, which `write` appends: messages that end with one Sync. If `write` fails, nothing is sent. An answer
    /// whose connection is closed is dropped.
    pub(crate) fn send<E>(
        &self,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
        answer: Box<dyn Answer>,
    ) -> Result<(), E> {
        let mut lane = lock(&self.0);
        if lane.closed {
            drop(lane);
            return Ok(());
        }
        let before = lane.requests.len();
        if let Err(error) = write(&mut lane.requests) {
            lane.requests.truncate(before);
            drop(lane);
            return Err(error);
        }
        lane.waiting.push(answer);
        let waker = lane.waker.take();
        drop(lane);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Moves the requests that wait behind `out`, and their answers behind `awaited`. Returns how many they are. The task is
    /// woken when there are more.
    pub(super) fn take(
        &self,
        cx: &mut Context<'_>,
        out: &mut BytesMut,
        awaited: &mut VecDeque<Box<dyn Answer>>,
    ) -> usize {
        let mut lane = lock(&self.0);
        match &mut lane.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => lane.waker = Some(cx.waker().clone()),
        }
        let count = lane.waiting.len();
        if count > 0 {
            if out.is_empty() {
                std::mem::swap(out, &mut lane.requests);
                lane.requests.clear();
            } else {
                out.extend_from_slice(&lane.requests);
                lane.requests.clear();
            }
            awaited.extend(lane.waiting.drain(..).map(|mut answer| {
                answer.sent();
                answer
            }));
        }
        count
    }

    /// The stream is gone.
    pub(super) fn close(&self) {
        let mut lane = lock(&self.0);
        lane.closed = true;
        let lost = std::mem::take(&mut lane.waiting);
        drop(lane);
        drop(lost);
    }
}

/// The answers that a stream reads.
#[derive(Default)]
pub(super) struct Answers {
    /// Of the statements that were sent, in their order.
    pub(super) awaited: VecDeque<Box<dyn Answer>>,
    /// They are complete. They end when tokio-postgres has read what came ahead of them: a report of the fence, a notice.
    complete: Vec<Box<dyn Answer>>,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("awaited", &self.awaited.len()).finish_non_exhaustive()
    }
}

impl Answers {
    pub(super) fn current(&mut self) -> Option<&mut Box<dyn Answer>> {
        self.awaited.front_mut()
    }

    pub(super) fn complete_current(&mut self) {
        self.complete.extend(self.awaited.pop_front());
    }

    /// tokio-postgres has read all that has come so far.
    pub(super) fn end_complete(&mut self) {
        for answer in self.complete.drain(..) {
            answer.ended();
        }
    }
}
