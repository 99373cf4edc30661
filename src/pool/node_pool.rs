//! The connections of one route to one node. deadpool owns them: it knows which are idle and how many there are, and asks
//! before it hands out one again.
//!
//! The cluster opens connections, not deadpool: which node answers may be the result of a race over all hosts. So a new
//! connection is put here by [`NodePool::add`], and deadpool's `create` only takes it over.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool::managed::{self, Hook, HookError, Metrics, QueueMode, RecycleError, RecycleResult};
use deadpool_postgres::{PoolConfig, Runtime, Timeouts};
use futures_util::FutureExt;

use crate::cluster::Cluster;
use crate::engine::lock;
use crate::pool::session::Session;

/// Hands new connections over to deadpool.
#[derive(Debug, Default)]
pub(super) struct SessionManager {
    opened: Mutex<VecDeque<Arc<Session>>>,
}

/// There is no new connection.
#[derive(Debug, thiserror::Error)]
#[error("no connection was opened")]
pub(super) struct NoNewSession;

/// A connection taken out of the pool.
pub(super) type PooledSession = managed::Object<SessionManager>;

impl managed::Manager for SessionManager {
    type Type = Arc<Session>;
    type Error = NoNewSession;

    async fn create(&self) -> Result<Arc<Session>, NoNewSession> {
        lock(&self.opened).pop_front().ok_or(NoNewSession)
    }

    /// There is nothing to ask the server: the hook has checked the fence by what the server reports by itself.
    async fn recycle(&self, session: &mut Arc<Session>, _: &Metrics) -> RecycleResult<NoNewSession> {
        if session.conn.is_closed() { Err(RecycleError::message("closed")) } else { Ok(()) }
    }
}

/// Nothing here ever waits: hooks do not, and a connection is opened before deadpool hears of it.
const NO_WAIT: Timeouts = Timeouts { wait: Some(Duration::ZERO), create: None, recycle: None };

/// The connections of one route to one node.
#[derive(Debug)]
pub(super) struct NodePool {
    objects: managed::Pool<SessionManager>,
}

impl NodePool {
    pub(super) fn new(cluster: &Arc<Cluster>, size: usize) -> Result<Self, managed::BuildError> {
        let cluster = cluster.clone();
        // The last one returned is the first one used: its flags are fresh, and the others may grow old and go.
        let config = PoolConfig { queue_mode: QueueMode::Lifo, ..PoolConfig::new(size) };
        let objects = managed::Pool::builder(SessionManager::default())
            .config(config)
            .runtime(Runtime::Tokio1)
            .pre_recycle(Hook::sync_fn(move |session: &mut Arc<Session>, _| {
                if session.may_be_reused(&cluster) { Ok(()) } else { Err(HookError::message("retired")) }
            }))
            .build()?;
        Ok(Self { objects })
    }

    /// Connections, idle or not.
    pub(super) fn size(&self) -> usize {
        self.objects.status().size
    }

    pub(super) fn has_idle(&self) -> bool {
        self.objects.status().available > 0
    }

    /// An idle connection, if there is one that is still good.
    pub(super) fn check_out(&self) -> Option<PooledSession> {
        self.objects.timeout_get(&NO_WAIT).now_or_never()?.ok()
    }

    /// Takes a new connection, which is idle then. False: the pool is closed.
    pub(super) fn add(&self, session: Arc<Session>) -> bool {
        lock(&self.objects.manager().opened).push_back(session);
        // Idle ones come first; the new one comes when they are all out.
        let mut out = Vec::new();
        while !lock(&self.objects.manager().opened).is_empty() {
            let Some(object) = self.check_out() else {
                lock(&self.objects.manager().opened).clear();
                return false;
            };
            out.push(object);
        }
        true
    }

    /// Closes the idle connections that `keep` does not want.
    pub(super) fn retain(&self, keep: impl Fn(&Arc<Session>) -> bool) {
        drop(self.objects.retain(|session, _| keep(session)));
    }

    pub(super) fn is_closed(&self) -> bool {
        self.objects.is_closed()
    }

    pub(super) fn close(&self) {
        self.objects.close();
    }
}
