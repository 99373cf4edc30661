//! A connection with work on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::engine::clock;
use crate::pool::node_pool::PooledSession;
use crate::pool::session::Session;
use crate::pool::task::Sharing;

/// A connection that has answered nothing for this long gets no more work behind what it has.
const STALLED_US: u64 = 5_000;

#[derive(Debug)]
pub(super) struct ActiveConnection {
    pub(super) object: PooledSession,
    /// Tasks on it that nobody may go behind.
    barriers: AtomicUsize,
    /// What runs on it takes long.
    long: AtomicBool,
    /// It is to come free: a task waits that needs it alone.
    reserved: AtomicBool,
    /// When it last made progress, by [`clock`].
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

    /// The node it leads to, by its place in the pool's list of hosts.
    pub(super) fn node(&self) -> usize {
        self.object.conn.endpoint.index
    }

    /// Tasks on it.
    pub(super) fn load(&self) -> usize {
        self.object.load.load(Ordering::Relaxed)
    }

    /// One more worker runs on it.
    pub(super) fn add_worker(&self) {
        self.object.conn.endpoint.statement_began();
        if self.object.load.fetch_add(1, Ordering::Relaxed) == 0 {
            self.note_progress();
        }
    }

    /// A worker leaves. True: it was the last one.
    pub(super) fn remove_worker(&self) -> bool {
        self.object.conn.endpoint.statement_ended();
        self.object.load.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// A task with this way of sharing begins on it. (A task's way may change with time, so it is kept beside it.)
    pub(super) fn begin_task(&self, sharing: Sharing) {
        self.barriers.fetch_add(usize::from(sharing != Sharing::Any), Ordering::Relaxed);
        self.long.store(sharing == Sharing::Long, Ordering::Relaxed);
    }

    /// A task with this way of sharing has ended on it.
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

    /// Whether what comes next may go behind what it has.
    pub(super) fn may_pipeline(&self) -> bool {
        !self.is_reserved() && !self.object.is_sharing_paused() && self.barriers.load(Ordering::Relaxed) == 0
    }

    /// Whether one more task may be sent down behind those it has.
    pub(super) fn has_pipeline_room(&self, depth: usize, now: u64) -> bool {
        self.may_pipeline()
            && self.load() < depth
            && now.saturating_sub(self.last_progress.load(Ordering::Relaxed)) < STALLED_US
    }
}
