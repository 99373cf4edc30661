//! Notices of the server on their way to JavaScript. While nobody listens they end here.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tokio_postgres::error::DbError;

use crate::error::notice_event;

/// What happened in the cluster, as the pool's events tell it.
pub(crate) type EventSink = Arc<dyn Fn(Value) -> Room + Send + Sync>;

/// What to wait for before more is told, where there is much to tell; None: there is room.
pub(crate) type Room = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Where a connection's notices go.
pub(crate) struct Notices {
    pub(crate) event_sink: EventSink,
    /// Somebody listens.
    pub(crate) wanted: Arc<AtomicBool>,
    /// The node's name, which goes with each.
    pub(crate) node: String,
}

impl Notices {
    /// Tells of a notice. Waits while JavaScript is behind: notices pile up in the server, not here.
    pub(crate) async fn forward(&self, notice: &DbError) {
        if self.wanted.load(Ordering::Relaxed)
            && let Some(room) = (self.event_sink)(notice_event(notice, &self.node))
        {
            room.await;
        }
    }
}
