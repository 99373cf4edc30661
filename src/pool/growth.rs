//! How a pool opens more connections while tasks wait for them.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::sleep;

use crate::cluster::route::Route;
use crate::connection::connection::Connection;
use crate::connection::failure::ConnectFailure;
use crate::engine::{Backoff, lock};
use crate::error::ClientError;
use crate::pool::prepared::PreparedCache;
use crate::pool::router::Router;
use crate::pool::session::Session;
use crate::pool::task::Task;

impl<T: Task> Router<T> {
    /// Tries to open a connection for a route, until an attempt succeeds or no task of the route waits.
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

    /// Notes the result of an attempt to connect. False: the caller shall try again.
    fn handle_attempt(self: &Arc<Self>, route: Route, opened: Result<Connection, ConnectFailure>) -> bool {
        let mut state = lock(&self.state);
        let closing = state.closing;
        let pool = state.route_pool(route);
        let failure = match opened {
            Ok(conn) => {
                pool.attempts -= 1;
                pool.last_attempt_failed = false;
                let node = conn.endpoint.index;
                let prepared = PreparedCache::new(self.limits.statements, self.cluster.statistics.clone());
                let session = Session::new(conn, route, self.limits.max_lifetime, prepared, self.setters.clone());
                session.announce_life(&self.cluster);
                // The session is idle until the dispatch below takes it. A closed pool drops the session.
                pool.nodes[node].add(Arc::new(session));
                self.dispatch_waiting(pool);
                if !closing {
                    self.open_least(pool);
                }
                return true;
            }
            Err(failure) => failure,
        };
        // A read goes to another node.
        let refused = match failure.hopeless() {
            None if route.node().is_some() => {
                Some(ClientError::NoPrimary { wanted: route.wanted(), waited_ms: 0, nodes: Vec::new() })
            }
            hopeless => hopeless,
        };
        if let Some(refusal) = refused.filter(|_| pool.active.is_empty()) {
            pool.attempts -= 1;
            let waiting = pool.waiting.drain();
            drop(state);
            for task in waiting {
                task.fail(refusal.clone());
            }
            return true;
        }
        pool.last_attempt_failed = true;
        // While attempts fail, one repeated attempt is enough for all waiting tasks.
        let unneeded = pool.attempts > 1 || pool.waiting.is_empty() || (closing && pool.is_drained());
        if unneeded {
            pool.attempts -= 1;
        }
        unneeded
    }

    /// Ends a repeated attempt if no task of the route waits any more. True: the attempt has ended.
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
