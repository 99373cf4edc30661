//! The connections of one route to one node. deadpool owns them: it knows which are idle and how many there are, and
//! calls the `pre_recycle` hook before it hands out an idle connection.
//!
//! The cluster opens the connections, not deadpool, because a race over all hosts may decide which node is used.
//! [`NodePool::add`] puts a new connection into a queue, and deadpool's `create` takes the connection from there.

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

#[derive(Debug, thiserror::Error)]
#[error("no connection was opened")]
pub(super) struct NoNewSession;

/// A connection that is checked out. Its drop returns the connection to deadpool.
pub(super) type PooledSession = managed::Object<SessionManager>;

impl managed::Manager for SessionManager {
    type Type = Arc<Session>;
    type Error = NoNewSession;

    async fn create(&self) -> Result<Arc<Session>, NoNewSession> {
        lock(&self.opened).pop_front().ok_or(NoNewSession)
    }

    /// Sends no query: the hook has checked the fence by what the server reports without being asked.
    async fn recycle(&self, session: &mut Arc<Session>, _: &Metrics) -> RecycleResult<NoNewSession> {
        if session.conn.is_closed() { Err(RecycleError::message("closed")) } else { Ok(()) }
    }
}

/// A check-out never waits: hooks are synchronous, and connections are opened before deadpool creates their objects.
const NO_WAIT: Timeouts = Timeouts { wait: Some(Duration::ZERO), create: None, recycle: None };

#[derive(Debug)]
pub(super) struct NodePool {
    objects: managed::Pool<SessionManager>,
}

impl NodePool {
    pub(super) fn new(cluster: &Arc<Cluster>, size: usize) -> Result<Self, managed::BuildError> {
        let cluster = cluster.clone();
        // The connection that was returned last is used first: it has reported its state most recently, and connections
        // that are not needed become old enough to be closed.
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

    /// The number of connections, idle or busy.
    pub(super) fn size(&self) -> usize {
        self.objects.status().size
    }

    pub(super) fn has_idle(&self) -> bool {
        self.objects.status().available > 0
    }

    /// An idle connection, if there is one that may be used again.
    pub(super) fn check_out(&self) -> Option<PooledSession> {
        self.objects.timeout_get(&NO_WAIT).now_or_never()?.ok()
    }

    /// Adds a new idle connection. False: the pool is closed.
    pub(super) fn add(&self, session: Arc<Session>) -> bool {
        lock(&self.objects.manager().opened).push_back(session);
        // deadpool creates an object for the new connection only after all idle ones are checked out. They return at
        // the end.
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

    /// The idle connections for which `which` is true.
    pub(super) fn idle_where(&self, which: impl Fn(&Arc<Session>) -> bool) -> Vec<Arc<Session>> {
        let mut found = Vec::new();
        drop(self.objects.retain(|session, _| {
            if which(session) {
                found.push(session.clone());
            }
            true
        }));
        found
    }

    /// Closes the idle connections for which `keep` is false.
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
