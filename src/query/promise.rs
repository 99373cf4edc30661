//! The JavaScript promise behind a piece of work. It is settled exactly once, whatever happens.

use std::sync::Arc;

use crate::codec::Packer;
use crate::engine::{CompletionQueue, Kind, Message, Packed};
use crate::error::ClientError;
use crate::pool::prepared::Shape;
use crate::query::flow_control::FlowControl;
use crate::query::retry_policy::is_retryable;

/// Whom to tell. Dropped without having been told anything (a panic of ours), it reports an internal error.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "four facts that have nothing to do with each other")]
pub(crate) struct Promise {
    id: u32,
    queue: Arc<CompletionQueue>,
    settled: bool,
    /// Some rows are on their way already.
    delivered: bool,
    /// Those rows do not count: the statement is being run again.
    anew: bool,
    /// A stream's reader, who says how fast.
    flow: Option<Arc<FlowControl>>,
    pub(super) company: Company,
    /// Its statement has been sent, and not only its Parse.
    pub(super) was_sent: bool,
}

/// Who else is on the connection with a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Company {
    #[default]
    OfOthers,
    /// Statements of its own batch, too, of which the router does not know.
    OfItsBatch,
}

impl Promise {
    pub(crate) fn new(id: u32, queue: Arc<CompletionQueue>) -> Self {
        Self {
            id,
            queue,
            settled: false,
            delivered: false,
            anew: false,
            flow: None,
            company: Company::default(),
            was_sent: false,
        }
    }

    /// One that reads its rows as they come.
    pub(crate) fn streaming(id: u32, queue: Arc<CompletionQueue>, flow: Arc<FlowControl>) -> Self {
        let mut promise = Self::new(id, queue);
        promise.flow = Some(flow);
        promise
    }

    /// Whether its rows are read one by one.
    pub(crate) fn is_streaming(&self) -> bool {
        self.flow.is_some()
    }

    /// Whether rows have gone out that cannot be taken back.
    pub(crate) fn has_streamed(&self) -> bool {
        self.delivered && self.flow.is_some()
    }

    /// Rows in a piece at most.
    pub(crate) fn piece_rows(&self) -> u32 {
        self.flow.as_ref().map_or(u32::MAX, |flow| flow.piece_rows)
    }

    /// Whether nobody wants the rows any more.
    pub(crate) fn is_deaf(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.is_closed())
    }

    /// Rows of a result that is not complete yet. Waits while JavaScript is behind.
    pub(crate) async fn rows(&mut self, rows: u32, shape: u32, packer: &mut Packer) {
        let anew = std::mem::take(&mut self.anew);
        self.delivered = true;
        self.queue.push(&Message { anew, rows, shape, ..Message::new(Kind::Rows, self.id) }, packer);
        match &self.flow {
            Some(flow) => flow.take().await,
            None => self.queue.has_room().await,
        }
    }

    /// A load may send so many pieces more. `sent`: bytes that have gone to the server; `columns`: of the table, as JSON.
    pub(crate) fn grant(&self, pieces: u32, sent: u64, columns: String) {
        let message = Message { rows: pieces, row_count: sent, ..Message::new(Kind::Grant, self.id) };
        self.queue.push_text(&message, columns);
    }

    /// A piece of an unload, the bytes in `piece.bin`. Waits for credit.
    pub(crate) async fn bytes(&mut self, piece: &mut Packed) {
        self.delivered = true;
        let bytes = piece.bin.len() as u32;
        self.queue.push(&Message { rows: bytes, ..Message::new(Kind::Bytes, self.id) }, piece);
        if let Some(flow) = &self.flow {
            flow.take().await;
        }
    }

    /// The last rows, and the end.
    pub(crate) fn done(mut self, mut finished: Finished, node: usize) {
        self.settled = true;
        let message = Message {
            anew: self.anew,
            structure: finished.takes_structure,
            rows: finished.rows,
            shape: finished.shape.as_ref().map_or(0, |shape| shape.id),
            row_count: finished.row_count,
            node: node as i32,
            ..Message::new(Kind::Done, self.id)
        };
        self.queue.push(&message, &mut finished.packer);
        // Not before their rows are on their way.
        drop(finished.held);
    }

    /// The statement will be run again.
    pub(crate) fn start_anew(&mut self) {
        self.anew = std::mem::take(&mut self.delivered) || self.anew;
    }

    /// The end of something that returns no rows.
    pub(crate) fn done_empty(self, node: usize) {
        self.done(Finished::default(), node);
    }

    /// Tells of success ahead of the end; what comes later is for others to tell.
    pub(crate) fn done_early(&mut self, node: usize) {
        if !std::mem::replace(&mut self.settled, true) {
            let message = Message { node: node as i32, ..Message::new(Kind::Done, self.id) };
            self.queue.push(&message, &mut Packer::default());
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Tells why it failed, unless success was told already.
    pub(crate) fn fail(mut self, error: &ClientError, attempts: u32, node: Option<usize>) {
        if !std::mem::replace(&mut self.settled, true) {
            self.tell(error, attempts, node);
        }
    }

    fn tell(&self, error: &ClientError, attempts: u32, node: Option<usize>) {
        let node = node.map_or(-1, |node| node as i32);
        self.queue.push_text(
            &Message { node, ..Message::new(Kind::Error, self.id) },
            error.to_json(attempts, is_retryable(error)),
        );
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.settled {
            self.tell(&ClientError::Internal("the work ended without an answer".into()), 0, None);
        }
    }
}

/// The end of a result.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Rows in `packer`.
    pub(crate) rows: u32,
    /// None: a statement without rows. Held until the rows are on their way, so that it is not forgotten before them.
    pub(crate) shape: Option<Arc<Shape>>,
    /// Rows returned or changed in all.
    pub(crate) row_count: u64,
    pub(crate) packer: Packer,
    /// Whether the statement takes objects by their members.
    pub(crate) takes_structure: bool,
    /// More shapes, for the same reason.
    pub(crate) held: Vec<Arc<Shape>>,
}
