//! How a pool closes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use crate::engine::lock;
use crate::error::ClientError;
use crate::pool::node_pool::NodePool;
use crate::pool::route_pool::RoutePool;
use crate::pool::router::Router;
use crate::pool::session::Session;
use crate::pool::task::Task;

/// How long a closing pool waits for the cancelled statements to end.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

impl<T: Task> Router<T> {
    /// Refuses new tasks, waits for the present ones (after `limit` it cancels them), and closes every connection.
    pub(crate) async fn close(self: &Arc<Self>, limit: Option<Duration>) {
        lock(&self.state).closing = true;
        let finished = async {
            loop {
                let drained = self.drained.notified();
                if self.is_drained() {
                    return;
                }
                drained.await;
            }
        };
        match limit {
            None => finished.await,
            Some(limit) => {
                let mut finished = std::pin::pin!(finished);
                if timeout(limit, finished.as_mut()).await.is_err() {
                    self.cancel_all().await;
                    finished.await;
                }
            }
        }
        lock(&self.state).routes.iter().flat_map(|pool| &pool.nodes).for_each(NodePool::close);
        self.cluster.retired.notify_one();
        self.cluster.close().await;
    }

    fn is_drained(&self) -> bool {
        self.held.load(Ordering::Relaxed) == 0 && lock(&self.state).routes.iter().all(RoutePool::is_drained)
    }

    fn take_waiting_and_list_running(&self) -> (Vec<T>, Vec<Arc<Session>>) {
        let mut state = lock(&self.state);
        let active = state.routes.iter().flat_map(|pool| &pool.active);
        let running = active.map(|active| active.session().clone()).collect();
        (state.routes.iter_mut().flat_map(|pool| pool.waiting.drain()).collect(), running)
    }

    async fn cancel_all(&self) {
        self.giving_up.store(true, Ordering::Relaxed);
        let (waiting, running) = self.take_waiting_and_list_running();
        for task in waiting {
            task.fail(ClientError::PoolClosed);
        }
        for session in &running {
            session.conn.abandon();
        }
        let cancels = running.iter().map(|session| session.conn.cancel());
        let _ = timeout(CANCEL_GRACE, futures_util::future::join_all(cancels)).await;
        // A statement that does not obey the cancel request ends with its connection.
        let _ = timeout(CANCEL_GRACE, self.drained.notified()).await;
        for session in &running {
            session.conn.cut();
        }
    }
}
