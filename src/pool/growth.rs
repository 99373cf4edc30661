//! How a pool gets more connections while work waits for them.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::sleep;

use crate::cluster::route::Route;
use crate::connection::connection::Connection;
use crate::connection::failure::ConnectFailure;
use crate::engine::{Backoff, lock};
use crate::pool::router::Router;
use crate::pool::session::Session;
use crate::pool::task::Task;

impl<T: Task> Router<T> {
    /// Gets a connection for what waits on a route; as long as something waits.
    pub(super) async fn acquire(self: Arc<Self>, route: Route) {
        let mut backoff = Backoff::default();
        loop {
            let mut appeared = pin!(self.cluster.appeared.notified());
            appeared.as_mut().enable();
            let opened = self.cluster.connect(route).await;
            if self.acquired(route, opened) {
                break;
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = appeared => backoff = Backoff::default(),
            }
            if self.nobody_waits(route) {
                break;
            }
        }
        self.drained.notify_waiters();
    }

    /// What follows from an attempt to get a connection. True: this attempt is over.
    fn acquired(self: &Arc<Self>, route: Route, opened: Result<Connection, ConnectFailure>) -> bool {
        let mut state = lock(&self.state);
        let closing = state.closing;
        let pool = state.of(route);
        let failure = match opened {
            Ok(conn) => {
                pool.acquiring -= 1;
                pool.failing = false;
                let node = conn.endpoint.index;
                let session = Session::new(conn, route, self.limits.max_lifetime, self.limits.statements);
                // Idle for a moment: dispatch takes the idle ones first. A closed pool drops it.
                pool.nodes[node].add(Arc::new(session));
                self.dispatch(pool);
                return true;
            }
            Err(failure) => failure,
        };
        if let Some(refusal) = failure.hopeless().filter(|_| pool.active.is_empty()) {
            pool.acquiring -= 1;
            let waiting = pool.waiting.take_all();
            drop(state);
            for task in waiting {
                task.fail(refusal.clone());
            }
            return true;
        }
        pool.failing = true;
        // One is enough to keep trying for all.
        let needless = pool.acquiring > 1 || pool.waiting.is_empty() || (closing && pool.is_drained());
        if needless {
            pool.acquiring -= 1;
        }
        needless
    }

    /// Whether an attempt has nobody to try for any more; it is counted off then.
    fn nobody_waits(&self, route: Route) -> bool {
        let mut state = lock(&self.state);
        let pool = state.of(route);
        let nobody = pool.waiting.is_empty();
        if nobody {
            pool.acquiring -= 1;
            pool.failing = false;
        }
        nobody
    }
}
