//! Notices of the server on their way to JavaScript. While nobody listens they end here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::error::DbError;

use super::Observer;
use crate::error::notice_event;

/// Where a connection's notices go.
pub(super) struct Notices {
    pub(super) observer: Observer,
    /// Somebody listens.
    pub(super) wanted: Arc<AtomicBool>,
    /// The node's name, which goes with each.
    pub(super) node: String,
}

impl Notices {
    /// Tells of a notice. Waits while JavaScript is behind: notices pile up in the server, not here.
    pub(super) async fn tell(&self, notice: &DbError) {
        if self.wanted.load(Ordering::Relaxed)
            && let Some(room) = (self.observer)(notice_event(notice, &self.node))
        {
            room.await;
        }
    }
}
