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
    pub(super) async fn acquire_connection(self: Arc<Self>, route: Route) {
        let mut backoff = Backoff::default();
        loop {
            let mut appeared = pin!(self.cluster.appeared.notified());
            appeared.as_mut().enable();
            let opened = self.cluster.connect(route).await;
            if self.handle_attempt(route, opened) {
                break;
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = appeared => backoff = Backoff::default(),
            }
            if self.end_attempt_if_unneeded(route) {
                break;
            }
        }
        self.drained.notify_waiters();
    }

    /// What follows from an attempt to get a connection. True: this attempt is over.
    fn handle_attempt(self: &Arc<Self>, route: Route, opened: Result<Connection, ConnectFailure>) -> bool {
        let mut state = lock(&self.state);
        let closing = state.closing;
        let pool = state.route_pool(route);
        let failure = match opened {
            Ok(conn) => {
                pool.attempts -= 1;
                pool.last_attempt_failed = false;
                let node = conn.endpoint.index;
                let session = Session::new(conn, route, self.limits.max_lifetime, self.limits.statements);
                // Idle for a moment: dispatch takes the idle ones first. A closed pool drops it.
                pool.nodes[node].add(Arc::new(session));
                self.dispatch_waiting(pool);
                return true;
            }
            Err(failure) => failure,
        };
        if let Some(refusal) = failure.hopeless().filter(|_| pool.active.is_empty()) {
            pool.attempts -= 1;
            let waiting = pool.waiting.drain();
            drop(state);
            for task in waiting {
                task.fail(refusal.clone());
            }
            return true;
        }
        pool.last_attempt_failed = true;
        // One is enough to keep trying for all.
        let unneeded = pool.attempts > 1 || pool.waiting.is_empty() || (closing && pool.is_drained());
        if unneeded {
            pool.attempts -= 1;
        }
        unneeded
    }

    /// Whether an attempt has nobody to try for any more; it is counted off then.
    fn end_attempt_if_unneeded(&self, route: Route) -> bool {
        let mut state = lock(&self.state);
        let pool = state.route_pool(route);
        let unneeded = pool.waiting.is_empty();
        if unneeded {
            pool.attempts -= 1;
            pool.last_attempt_failed = false;
        }
        unneeded
    }
}
