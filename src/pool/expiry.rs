//! The sweeper fails the tasks that were cancelled or have waited for too long.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep_until;

use crate::cluster::route::Route;
use crate::engine::lock;
use crate::error::ClientError;
use crate::pool::router::{Router, RouterState};
use crate::pool::task::Task;

impl<T: Task> Router<T> {
    /// Makes sure that the sweeper checks the waiting tasks at `next_check` at the latest.
    pub(super) fn schedule_sweep(self: &Arc<Self>, state: &mut RouterState<T>, next_check: Instant) {
        match state.next_sweep {
            None => {
                state.next_sweep = Some(next_check);
                drop(tokio::spawn(self.clone().run_sweeper()));
            }
            Some(at) if next_check < at => {
                state.next_sweep = Some(next_check);
                self.sweep_now.notify_one();
            }
            Some(_) => {}
        }
    }

    /// Runs until no task waits.
    async fn run_sweeper(self: Arc<Self>) {
        loop {
            let Some(at) = lock(&self.state).next_sweep else { return };
            tokio::select! {
                () = sleep_until(at.into()) => {}
                () = self.sweep_now.notified() => {}
            }
            let idle = self.fail_expired(Instant::now());
            if idle {
                self.drained.notify_waiters();
                return;
            }
        }
    }

    /// True: no task waits any more.
    fn fail_expired(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        let mut failed = Vec::new();
        for pool in &mut state.routes {
            let shortage = Shortage {
                route: pool.route,
                // If a busy connection suits, the pool is too small; else no node suits.
                no_node_suits: !pool.active.iter().any(|active| active.session().is_usable()),
                reduced_size: pool.reduced_size(),
            };
            failed.extend(pool.waiting.remove_with_reason(|task| match task.rejection(now) {
                None if task.deadline() <= now => Some(self.timeout_error(task, shortage, now)),
                rejection => rejection,
            }));
        }
        state.next_sweep = state.routes.iter().filter_map(|pool| pool.waiting.next_check()).min();
        let idle = state.next_sweep.is_none();
        drop(state);
        for (task, error) in failed {
            task.fail(error);
        }
        idle
    }

    fn timeout_error(&self, task: &T, shortage: Shortage, now: Instant) -> ClientError {
        let waited_ms = now.duration_since(task.submitted()).as_millis() as u64;
        if shortage.no_node_suits {
            let (wanted, nodes) = (shortage.route.wanted(), self.cluster.reasons(shortage.route));
            return ClientError::NoPrimary { wanted, waited_ms, nodes };
        }
        let nodes = shortage.reduced_size.map_or_else(Vec::new, |_| self.cluster.refusals());
        let limit = if task.route().node().is_some() { self.limits.reads_size } else { self.limits.size };
        ClientError::AcquireTimeout { size: shortage.reduced_size.unwrap_or(limit), waited_ms, nodes }
    }
}

/// Why the tasks of a route got no connection in time.
#[derive(Clone, Copy)]
struct Shortage {
    route: Route,
    /// True: no node suits. False: all connections are busy.
    no_node_suits: bool,
    /// See [`RoutePool::reduced_size`](crate::pool::route_pool::RoutePool::reduced_size).
    reduced_size: Option<usize>,
}
