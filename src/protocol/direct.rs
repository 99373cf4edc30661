//! Statements that the stream itself sends, and whose answers it reads itself.
//!
//! tokio-postgres hands each message of an answer through a channel to a task, which parses it again. That is most of what
//! a small statement costs the client. A prepared statement does not need it: its Bind, Execute and Sync go into the
//! [`DirectLane`] of the connection, the stream writes them where tokio-postgres has written whole requests, and of the
//! answer tokio-postgres sees nothing: `backend` checks each message, and gives it to the [`DirectAnswer`].
//!
//! What tokio-postgres has been asked to send in the same turn of the I/O thread goes ahead of the lane. So what must come
//! behind a direct statement in the same flight (COMMIT) goes into the lane, too.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;

use crate::engine::lock;
use crate::protocol::message::put;
use crate::protocol::pending_responses::{Due, PendingResponses};

/// Takes the answer to a direct statement as it comes. One that is dropped before [`DirectAnswer::ended`] gets no answer any more:
/// the connection is lost. A command, which has no rows, needs the methods without a body only.
pub(crate) trait DirectAnswer: Send {
    /// The statement is written with what is sent next.
    fn sent(&mut self) {}
    /// Whether it takes more rows now. If not, nothing more is read before it has woken the task.
    fn poll_room(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
    /// The server begins with it (BindComplete).
    fn begun(&mut self) {}
    /// A row: the body of its DataRow. None: it is none.
    fn row(&mut self, _: &[u8]) -> Option<()> {
        None
    }
    /// A row that is larger than a row may be.
    fn row_too_large(&mut self) {}
    /// The tag of the CommandComplete. An empty statement has none.
    fn completed(&mut self, _: &str) {}
    /// The body of the ErrorResponse. None: it is none.
    fn failed(&mut self, fields: &[u8]) -> Option<()>;
    /// The server has come to the end of the statement, and the connection to all that came ahead of that.
    fn ended(self: Box<Self>);
}

/// A larger buffer for what is to be written is given back when it is empty: one large parameter, or the text of one long
/// statement, must not cost the connection that memory for ever. 16 statements of five parameters fit.
pub(super) const KEPT: usize = 2 << 10;

#[derive(Default)]
struct Lane {
    /// Whole requests that are not written yet, one for each of `waiting`.
    requests: BytesMut,
    waiting: Vec<(Due, Box<dyn DirectAnswer>)>,
    /// They are complete, and the connection has come to all that came ahead of them.
    ended: Vec<Box<dyn DirectAnswer>>,
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
    /// Sends a command without rows.
    pub(crate) fn send_command(&self, sql: &str, answer: Box<dyn DirectAnswer>) {
        let request = |out: &mut BytesMut| {
            put(out, b'Q', &[sql.as_bytes(), b"\0"]);
            Ok::<_, Infallible>(answer)
        };
        let Ok(()) = self.send_request(Due::DirectResult, request);
    }

    /// Sends a statement: `request` appends Bind, Execute and Sync, and makes what takes their answer. If it fails, nothing is
    /// sent. An answer whose connection is closed is dropped.
    pub(crate) fn send<E>(
        &self,
        request: impl FnOnce(&mut BytesMut) -> Result<Box<dyn DirectAnswer>, E>,
    ) -> Result<(), E> {
        self.send_request(Due::DirectBound, request)
    }

    fn send_request<E>(
        &self,
        due: Due,
        request: impl FnOnce(&mut BytesMut) -> Result<Box<dyn DirectAnswer>, E>,
    ) -> Result<(), E> {
        let mut lane = lock(&self.0);
        let before = lane.requests.len();
        let answer = request(&mut lane.requests);
        if lane.closed || answer.is_err() {
            lane.requests.truncate(before);
            // What an answer does when it is dropped may take the lane.
            drop(lane);
            return answer.map(drop);
        }
        lane.waiting.extend(answer.into_iter().map(|answer| (due, answer)));
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
        awaited: &mut VecDeque<Box<dyn DirectAnswer>>,
        pending: &mut PendingResponses,
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
            } else {
                out.extend_from_slice(&lane.requests);
            }
            if lane.requests.capacity() > KEPT {
                lane.requests = BytesMut::new();
            }
            lane.requests.clear();
            awaited.extend(lane.waiting.drain(..).map(|(due, mut answer)| {
                pending.owe(due);
                answer.sent();
                answer
            }));
        }
        count
    }

    /// Ends the answers that are complete. To be called when all that the connection has read was noted.
    pub(crate) fn end_complete(&self) {
        let mut lane = lock(&self.0);
        if lane.ended.is_empty() {
            return;
        }
        let mut ended = std::mem::take(&mut lane.ended);
        drop(lane);
        for answer in ended.drain(..) {
            answer.ended();
        }
        let mut lane = lock(&self.0);
        if lane.ended.is_empty() {
            lane.ended = ended;
        }
    }

    /// The stream is gone.
    fn close(&self) {
        let mut lane = lock(&self.0);
        lane.closed = true;
        let lost = std::mem::take(&mut lane.waiting);
        drop(lane);
        drop(lost);
    }
}

/// The stream's end of the lane.
#[derive(Debug)]
pub(super) struct LaneEnd(pub(super) Arc<DirectLane>);

impl Drop for LaneEnd {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The answers that a stream reads.
#[derive(Default)]
pub(super) struct DirectAnswers {
    /// Of the statements that were sent, in their order.
    pub(super) awaited: VecDeque<Box<dyn DirectAnswer>>,
    /// They are complete, each with how many bytes of `Backend::held` came ahead of its end. They end when tokio-postgres has read
    /// those: a report of the fence, a notice.
    complete: Vec<(u64, Box<dyn DirectAnswer>)>,
}

impl fmt::Debug for DirectAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectAnswers").field("awaited", &self.awaited.len()).finish_non_exhaustive()
    }
}

impl DirectAnswers {
    pub(super) fn current(&mut self) -> Option<&mut Box<dyn DirectAnswer>> {
        self.awaited.front_mut()
    }

    pub(super) fn complete_current(&mut self, ahead: u64) {
        self.complete.extend(self.awaited.pop_front().map(|answer| (ahead, answer)));
    }

    /// tokio-postgres has read so many bytes. Returns how many it may read before the next answer ends, if it may not read all.
    pub(super) fn hand_over(&mut self, lane: &DirectLane, read: u64) -> Option<u64> {
        let count = self.complete.partition_point(|(ahead, _)| *ahead <= read);
        if count > 0 {
            lock(&lane.0).ended.extend(self.complete.drain(..count).map(|(_, answer)| answer));
        }
        self.complete.first().map(|(ahead, _)| ahead - read)
    }
}
