//! Notices of the server on their way to JavaScript. They are dropped here while JavaScript has no listener.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tokio_postgres::error::DbError;

use crate::error::notice_event;

/// Sends an event of the pool to JavaScript.
pub(crate) type EventSink = Arc<dyn Fn(Value) -> Room + Send + Sync>;

/// What to wait for before the next event, if JavaScript is behind; None: there is room.
pub(crate) type Room = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Where a connection's notices go.
pub(crate) struct Notices {
    pub(crate) event_sink: EventSink,
    /// JavaScript has a listener for notices.
    pub(crate) wanted: Arc<AtomicBool>,
    /// The node's name, which each event has.
    pub(crate) node: String,
}

impl Notices {
    /// Sends a notice to JavaScript. Waits while JavaScript is behind, so that notices pile up in the server and not
    /// here.
    pub(crate) async fn forward(&self, notice: &DbError) {
        if self.wanted.load(Ordering::Relaxed)
            && let Some(room) = (self.event_sink)(notice_event(notice, &self.node))
        {
            room.await;
        }
    }
}
