//! A connection with work on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::engine::clock;
use crate::pool::node_pool::PooledSession;
use crate::pool::session::Session;
use crate::pool::task::Sharing;

/// A busy connection on which no task has ended for this long gets no more tasks.
const STALLED_US: u64 = 5_000;

#[derive(Debug)]
pub(super) struct ActiveConnection {
    pub(super) object: PooledSession,
    /// How many running tasks let no other task be sent behind them.
    barriers: AtomicUsize,
    /// Whether a long statement runs.
    long: AtomicBool,
    /// A reserved connection gets no more tasks, so that it becomes idle for a task that needs a connection to itself.
    reserved: AtomicBool,
    /// When a task last ended, or the first one began, by [`clock`].
    last_progress: AtomicU64,
}

impl ActiveConnection {
    pub(super) fn new(object: PooledSession) -> Arc<Self> {
        Arc::new(Self {
            object,
            barriers: AtomicUsize::new(0),
            long: AtomicBool::new(false),
            reserved: AtomicBool::new(false),
            last_progress: AtomicU64::new(0),
        })
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.object
    }

    /// The connection's node, as an index in the pool's list of hosts.
    pub(super) fn node(&self) -> usize {
        self.object.conn.endpoint.index
    }

    /// How many workers, each with one task, are on the connection.
    pub(super) fn load(&self) -> usize {
        self.object.load.load(Ordering::Relaxed)
    }

    pub(super) fn add_worker(&self) {
        self.object.conn.endpoint.statement_began();
        if self.object.load.fetch_add(1, Ordering::Relaxed) == 0 {
            self.note_progress();
        }
    }

    /// True: no worker is left.
    pub(super) fn remove_worker(&self) -> bool {
        self.object.conn.endpoint.statement_ended();
        self.object.load.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// `sharing` is what the task asked for when it began: `Task::sharing` may change while the task runs.
    pub(super) fn begin_task(&self, sharing: Sharing) {
        self.barriers.fetch_add(usize::from(sharing != Sharing::Any), Ordering::Relaxed);
        self.long.store(sharing == Sharing::Long, Ordering::Relaxed);
    }

    /// `sharing` must be the value that [`Self::begin_task`] got.
    pub(super) fn end_task(&self, sharing: Sharing) {
        self.barriers.fetch_sub(usize::from(sharing != Sharing::Any), Ordering::Relaxed);
        self.long.store(false, Ordering::Relaxed);
        self.note_progress();
    }

    pub(super) fn is_long(&self) -> bool {
        self.long.load(Ordering::Relaxed)
    }

    fn note_progress(&self) {
        self.last_progress.store(clock(), Ordering::Relaxed);
    }

    pub(super) fn reserve(&self) {
        self.reserved.store(true, Ordering::Relaxed);
    }

    pub(super) fn cancel_reservation(&self) {
        self.reserved.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Whether one more task may be sent behind the tasks that run.
    pub(super) fn may_pipeline(&self) -> bool {
        !self.is_reserved() && !self.object.is_sharing_paused() && self.barriers.load(Ordering::Relaxed) == 0
    }

    /// Whether one more task may be sent, and the connection is neither full nor stalled.
    pub(super) fn has_pipeline_room(&self, depth: usize, now: u64) -> bool {
        self.may_pipeline()
            && self.load() < depth
            && now.saturating_sub(self.last_progress.load(Ordering::Relaxed)) < STALLED_US
    }
}
