//! The JavaScript promise behind a piece of work. It is settled exactly once, whatever happens.

use std::sync::Arc;

use crate::codec::Packer;
use crate::engine::{CompletionQueue, Kind, Message};
use crate::error::ClientError;
use crate::pool::prepared::Shape;

/// Whom to tell. Dropped without having been told anything (a panic of ours), it reports an internal error.
#[derive(Debug)]
pub(crate) struct Caller {
    id: u32,
    queue: Arc<CompletionQueue>,
    settled: bool,
    /// Some rows are on their way already.
    delivered: bool,
    /// Those rows do not count: the statement is being run again.
    anew: bool,
}

impl Caller {
    pub(crate) fn new(id: u32, queue: Arc<CompletionQueue>) -> Self {
        Self { id, queue, settled: false, delivered: false, anew: false }
    }

    /// Rows of a result that is not complete yet. Waits while JavaScript is behind.
    pub(crate) async fn rows(&mut self, rows: u32, shape: u32, packer: &mut Packer) {
        let anew = std::mem::take(&mut self.anew);
        self.delivered = true;
        self.queue.push(&Message { anew, rows, shape, ..Message::new(Kind::Rows, self.id) }, packer);
        self.queue.has_room().await;
    }

    /// The last rows, and the end.
    pub(crate) fn done(mut self, mut finished: Finished, node: usize) {
        self.settled = true;
        let message = Message {
            anew: self.anew,
            rows: finished.rows,
            shape: finished.shape.as_ref().map_or(0, |shape| shape.id),
            row_count: finished.row_count,
            node: node as i32,
            ..Message::new(Kind::Done, self.id)
        };
        self.queue.push(&message, &mut finished.packer);
    }

    /// The statement will be run again.
    pub(crate) fn start_anew(&mut self) {
        self.anew = std::mem::take(&mut self.delivered) || self.anew;
    }

    /// The end of something that returns no rows.
    pub(crate) fn done_empty(self, node: usize) {
        self.done(Finished::default(), node);
    }

    pub(crate) fn fail(mut self, error: &ClientError, attempts: u32, node: Option<usize>) {
        self.settled = true;
        self.tell(error, attempts, node);
    }

    fn tell(&self, error: &ClientError, attempts: u32, node: Option<usize>) {
        let node = node.map_or(-1, |node| node as i32);
        self.queue.push_text(&Message { node, ..Message::new(Kind::Error, self.id) }, error.to_json(attempts));
    }
}

impl Drop for Caller {
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
}
