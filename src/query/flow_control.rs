//! Credit from the reader of a stream: how many pieces may be on their way to it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// The reader grants more credit with a frame; the writer waits for that. Without credit the rows of the statement stay
/// in the socket, and the server waits.
#[derive(Debug, Default)]
pub(crate) struct FlowControl {
    credit: AtomicU32,
    /// What still comes is dropped: the reader has left, or the work was cancelled.
    closed: AtomicBool,
    /// The reader has left by itself.
    left: AtomicBool,
    changed: Notify,
    /// The most rows of a piece.
    pub(crate) piece_rows: u32,
    /// A closed flow ends the work without a cancel request: a load, which gets no more data.
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

    /// Notes that the reader has left by itself; the cancel of the work follows.
    pub(crate) fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Waits until the reader has left.
    pub(crate) async fn closed(&self) {
        while !self.is_closed() {
            self.changed.notified().await;
        }
    }

    /// Uses credit for one piece, and waits for credit if there is none. Does not wait when the reader has left.
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
