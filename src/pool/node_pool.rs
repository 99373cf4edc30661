//! What deadpool needs to know: how a connection is made, and whether one may be used again.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{self, Hook, HookError, Metrics, QueueMode, RecycleResult};
use deadpool_postgres::{PoolConfig, Runtime};

use crate::cluster::Cluster;
use crate::connection::failure::ConnectFailure;
use crate::pool::session::Session;

/// Makes connections to the cluster.
#[derive(Debug)]
pub(crate) struct Manager {
    cluster: Arc<Cluster>,
    max_lifetime: Duration,
    statements: usize,
}

/// A connection taken out of the pool.
pub(crate) type Object = managed::Object<Manager>;

impl managed::Manager for Manager {
    type Type = Arc<Session>;
    type Error = ConnectFailure;

    async fn create(&self) -> Result<Arc<Session>, ConnectFailure> {
        let conn = self.cluster.connect().await?;
        Ok(Arc::new(Session::new(conn, self.max_lifetime, self.statements)))
    }

    /// Nothing to ask the server: the fence was checked by the hook, from what the server reports by itself.
    async fn recycle(&self, _: &mut Arc<Session>, _: &Metrics) -> RecycleResult<ConnectFailure> {
        Ok(())
    }
}

/// The pool of connections. Its deadlines are the router's and the connector's: deadpool's own do not cover hooks.
pub(super) fn build(
    cluster: &Arc<Cluster>,
    size: usize,
    max_lifetime: Duration,
    statements: usize,
) -> Result<managed::Pool<Manager>, managed::BuildError> {
    let manager = Manager { cluster: cluster.clone(), max_lifetime, statements };
    let fence = cluster.clone();
    // The last one returned is the first one used: its flags are fresh, and the others may grow old and go.
    let config = PoolConfig { queue_mode: QueueMode::Lifo, ..PoolConfig::new(size) };
    managed::Pool::builder(manager)
        .config(config)
        .runtime(Runtime::Tokio1)
        .pre_recycle(Hook::sync_fn(move |session: &mut Arc<Session>, _| {
            if session.may_be_reused(&fence) { Ok(()) } else { Err(HookError::message("retired")) }
        }))
        .build()
}
