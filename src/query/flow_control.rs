//! Credit from the reader of a stream: how many pieces may be on their way to it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

/// The reader's end is a frame that grants more; the writer's end waits for it. Without credit the statement's rows stay
/// in the socket, and the server waits.
#[derive(Debug, Default)]
pub(crate) struct FlowControl {
    credit: AtomicU32,
    /// Nobody reads any more: what still comes is to be dropped.
    closed: AtomicBool,
    changed: Notify,
    /// Rows in a piece at most.
    pub(crate) piece_rows: u32,
    /// What it belongs to ends by itself, without the server's help, when it is closed.
    pub(crate) ends_itself: bool,
}

impl FlowControl {
    pub(crate) fn new(credit: u32, piece_rows: u32) -> Self {
        Self { credit: AtomicU32::new(credit), piece_rows, ..Self::default() }
    }

    /// That of a load, which JavaScript feeds.
    pub(crate) fn of_load() -> Self {
        Self { ends_itself: true, ..Self::default() }
    }

    /// The reader has taken `pieces`.
    pub(crate) fn grant(&self, pieces: u32) {
        self.credit.fetch_add(pieces, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// The reader has gone.
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

    /// Takes credit for one piece, waiting for it if there is none; at once when nobody reads any more.
    pub(crate) async fn take(&self) {
        while !self.is_closed() {
            let taken = self.credit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |credit| credit.checked_sub(1));
            if taken.is_ok() {
                return;
            }
            self.changed.notified().await;
        }
    }
}
