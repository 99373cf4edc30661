//! Credit from the reader of a stream: how many pieces may be on their way to it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// The reader grants more by a frame, for which the writer waits. Without credit the rows of the statement stay in the
/// socket, and the server waits.
#[derive(Debug, Default)]
pub(crate) struct FlowControl {
    credit: AtomicU32,
    /// The reader has left: what still comes is dropped.
    closed: AtomicBool,
    changed: Notify,
    /// The most rows of a piece.
    pub(crate) piece_rows: u32,
    /// The work ends without a cancel request when this is closed: a load, which then gets no more data.
    pub(crate) ends_itself: bool,
}

impl FlowControl {
    pub(crate) fn new(credit: u32, piece_rows: u32) -> Self {
        Self { credit: AtomicU32::new(credit), piece_rows, ..Self::default() }
    }

    /// The credit of a load, whose data JavaScript sends.
    pub(crate) fn of_load() -> Self {
        Self { ends_itself: true, ..Self::default() }
    }

    /// Grants `pieces` more.
    pub(crate) fn grant(&self, pieces: u32) {
        self.credit.fetch_add(pieces, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Notes that the reader has left.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Resolves when it is closed.
    pub(crate) async fn closed(&self) {
        while !self.is_closed() {
            self.changed.notified().await;
        }
    }

    /// Uses credit for one piece, and waits for it if there is none; does not wait when the reader has left.
    pub(crate) async fn use_credit(&self) {
        while !self.is_closed() {
            let taken = self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |credit| credit.checked_sub(1));
            if taken.is_ok() {
                return;
            }
            self.changed.notified().await;
        }
    }
}
