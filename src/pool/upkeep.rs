//! Keeps the idle connections of a pool: closes those that are too old, and opens as many as the pool keeps at least.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::engine::lock;
use crate::pool::node_pool::NodePool;
use crate::pool::route_pool::RoutePool;
use crate::pool::router::Router;
use crate::pool::session::Session;
use crate::pool::task::Task;

impl<T: Task> Router<T> {
    /// Begins the upkeep, which ends with the pool.
    pub(super) fn keep_idle(self: &Arc<Self>) {
        drop(tokio::spawn(close_stale_regularly(Arc::downgrade(self))));
    }

    /// Closes the idle connections that are too old, or whose node was fenced or lost. False: the pool is closed.
    fn close_stale_idle(&self) -> bool {
        let idle = self.limits.idle_timeout;
        let state = lock(&self.state);
        for pool in &state.routes {
            let spare = Cell::new(pool.size().saturating_sub(pool.least));
            let may_close = || spare.replace(spare.get().saturating_sub(1)) > 0;
            let keep = |session: &Arc<Session>| {
                session.may_be_reused(&self.cluster) && (session.conn.idle_for() < idle || !may_close())
            };
            pool.nodes.iter().for_each(|node| node.retain(keep));
        }
        !state.routes.iter().flat_map(|pool| &pool.nodes).all(NodePool::is_closed)
    }

    /// Opens connections until there are as many as the pool keeps at least; what fails is tried at the next look.
    fn open_least_of_all(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if !state.closing {
            state.routes.iter_mut().for_each(|pool| self.open_least(pool));
        }
    }

    pub(super) fn open_least(self: &Arc<Self>, pool: &mut RoutePool<T>) {
        while pool.begin_attempt_for_least() {
            drop(tokio::spawn(self.clone().acquire_connection(pool.route)));
        }
    }
}

/// Closes stale idle connections until the pool is closed or dropped.
async fn close_stale_regularly<T: Task>(router: std::sync::Weak<Router<T>>) {
    loop {
        let Some(strong) = router.upgrade() else { return };
        if !strong.close_stale_idle() {
            return;
        }
        strong.open_least_of_all();
        let cluster = strong.cluster.clone();
        let interval = (strong.limits.idle_timeout / 4).clamp(Duration::from_millis(50), Duration::from_secs(10));
        drop(strong);
        tokio::select! {
            () = sleep(interval) => {}
            () = cluster.retired.notified() => {}
        }
    }
}
