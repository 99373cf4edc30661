//! The router decides which task runs on which connection, and which task waits.
//!
//! A task carries its route. The router chooses one of the nodes that suit the route (`cluster::balance`), then a
//! connection to that node: an idle one; else, if the task allows it, a busy one (pipelining) that has not been silent
//! for a while. Meanwhile the pool opens connections up to its size. A task that gets no connection waits, first come
//! first served (`wait_queue`).
//!
//! For each waiting task that needs a connection to itself (a transaction, a statement that can be cancelled) the
//! router reserves one busy connection: a reserved connection gets no more tasks, and so becomes idle. Long statements
//! leave the last connection to quick statements, as long as quick statements arrive.
//!
//! deadpool owns the connections (`node_pool`). An [`ActiveConnection`] is checked out of deadpool and has work on it.
//! It goes back when its last task has ended and no task waits.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use deadpool::managed::BuildError;
use tokio::sync::Notify;

use crate::cluster::Cluster;
use crate::cluster::route::Route;
use crate::engine::{clock, lock};
use crate::error::ClientError;
use crate::pool::active_connection::ActiveConnection;
use crate::pool::node_pool::PooledSession;
use crate::pool::route_pool::RoutePool;
use crate::pool::setters::Setters;
use crate::pool::task::{Sharing, Task};

/// The limits of a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most connections of one route.
    pub(crate) size: usize,
    /// So many connections of the pool's own route are kept open when they are idle, too.
    pub(crate) min_size: usize,
    /// The most connections to one node for reads.
    pub(crate) reads_size: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_lifetime: Duration,
    /// The most statements that a connection keeps prepared.
    pub(crate) statements: NonZeroUsize,
    /// The most tasks on one connection at a time.
    pub(crate) depth: usize,
}

#[derive(Debug)]
pub(super) struct RouterState<T> {
    /// One for each route in use, the pool's default first.
    pub(super) routes: Vec<RoutePool<T>>,
    pub(super) closing: bool,
    /// When the sweeper runs next. None: no sweeper runs.
    pub(super) next_sweep: Option<Instant>,
}

impl<T: Task> RouterState<T> {
    pub(super) fn route_pool(&mut self, route: Route) -> &mut RoutePool<T> {
        // Every connection and every waiting task has a route in use, so the default (index 0) is never needed.
        let index = self.routes.iter().position(|pool| pool.route == route).unwrap_or_default();
        &mut self.routes[index]
    }
}

/// The result of the public `status()`, which any thread may call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolStatus {
    pub(crate) size: usize,
    pub(crate) in_use: usize,
    pub(crate) waiting: usize,
    pub(crate) pipelined: u64,
}

/// The pool: its connections, and the tasks that wait for them.
#[derive(Debug)]
pub(crate) struct Router<T> {
    pub(crate) cluster: Arc<Cluster>,
    pub(super) limits: Limits,
    pub(super) setters: Arc<Setters>,
    pub(super) state: Mutex<RouterState<T>>,
    /// Wakes the sweeper before its time.
    pub(super) sweep_now: Notify,
    /// Makes [`Self::close`] check again whether tasks are left.
    pub(super) drained: Notify,
    /// How many tasks were pipelined: they began on a connection that had other tasks.
    pipelined: AtomicU64,
    /// How many tasks wait elsewhere, and will come back ([`Self::hold`]).
    pub(super) held: AtomicUsize,
    /// The pool closes, and does not wait any longer for its tasks.
    pub(super) giving_up: AtomicBool,
}

/// A task that waits elsewhere, as long as this lives: a pool that closes waits for it.
pub(crate) struct Held<T: Task>(Arc<Router<T>>);

impl<T: Task> Drop for Held<T> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
        self.0.drained.notify_waiters();
    }
}

impl<T: Task> Router<T> {
    /// `route` is the default: the route of the calls that name none.
    pub(crate) fn new(cluster: Arc<Cluster>, route: Route, limits: Limits) -> Result<Arc<Self>, BuildError> {
        let mut own = RoutePool::new(&cluster, route, limits.size)?;
        own.least = limits.min_size;
        let routes = vec![own];
        cluster.serve(route);
        let state = Mutex::new(RouterState { routes, closing: false, next_sweep: None });
        Ok(Arc::new(Self {
            cluster,
            limits,
            setters: Arc::default(),
            state,
            sweep_now: Notify::new(),
            drained: Notify::new(),
            pipelined: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            giving_up: AtomicBool::new(false),
        }))
    }

    /// Starts the background work. Must be called on the I/O thread.
    pub(crate) fn start(self: &Arc<Self>) {
        self.cluster.watch();
        self.keep_idle();
        self.keep_leases();
    }

    /// Connections for reads are beside the pool's own, and have a limit of their own: they do not count.
    pub(crate) fn status(&self) -> PoolStatus {
        let state = lock(&self.state);
        let own = state.routes.iter().filter(|pool| pool.route.node().is_none());
        let sum = |of: fn(&RoutePool<T>) -> usize| own.clone().map(of).sum::<usize>();
        let size = sum(RoutePool::size);
        let in_use = sum(|pool| pool.active.len()).min(size);
        let waiting = sum(|pool| pool.waiting.len());
        PoolStatus { size, in_use, waiting, pipelined: self.pipelined.load(Ordering::Relaxed) }
    }

    /// Takes a new task. It begins with [`Self::begin_submitted`].
    pub(crate) fn submit(self: &Arc<Self>, task: T) {
        let state = lock(&self.state);
        if state.closing {
            drop(state);
            return task.fail(ClientError::PoolClosed);
        }
        self.enqueue(state, task);
    }

    /// Finds connections for the tasks that were submitted together.
    pub(crate) fn begin_submitted(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        let mut next_check = None;
        for pool in &mut state.routes {
            let Some(fresh) = pool.fresh.take() else { continue };
            self.dispatch_waiting(pool);
            if !pool.waiting.is_empty() {
                pool.waiting.note_last(fresh.count);
                next_check = Some(next_check.map_or(fresh.next_check, |at: Instant| at.min(fresh.next_check)));
            }
        }
        if let Some(next_check) = next_check {
            self.schedule_sweep(&mut state, next_check);
        }
    }

    /// Whether new tasks are refused.
    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.state).closing
    }

    /// Whether also the tasks that have begun are refused.
    pub(crate) fn is_giving_up(&self) -> bool {
        self.giving_up.load(Ordering::Relaxed)
    }

    /// Counts a task that waits elsewhere.
    pub(crate) fn hold(self: &Arc<Self>) -> Held<T> {
        self.held.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    /// Takes a task that was new before the pool began to close.
    pub(crate) fn accept(self: &Arc<Self>, task: T) {
        self.enqueue(lock(&self.state), task);
        self.begin_submitted();
    }

    fn enqueue(self: &Arc<Self>, mut state: MutexGuard<'_, RouterState<T>>, task: T) {
        let route = task.route();
        if state.routes.iter().all(|pool| pool.route != route)
            && let Err(error) = self.add_route(&mut state, route)
        {
            drop(state);
            return task.fail(ClientError::Internal(error.to_string()));
        }
        let pool = state.route_pool(route);
        if task.sharing() == Sharing::Any {
            pool.last_quick = clock();
        }
        self.cluster.statistics.acquires.add(1);
        pool.push_fresh(task);
    }

    /// Begins to use a route: its first task has come.
    fn add_route(&self, state: &mut RouterState<T>, route: Route) -> Result<(), BuildError> {
        let is_of_reads = route.node().is_some();
        let size = if is_of_reads { self.limits.reads_size } else { self.limits.size };
        state.routes.push(RoutePool::new(&self.cluster, route, size)?);
        if !is_of_reads {
            self.cluster.serve(route);
        }
        Ok(())
    }

    /// Checks the waiting tasks now: one of them may have been cancelled.
    pub(crate) fn wake_sweeper(self: &Arc<Self>) {
        self.sweep_now.notify_one();
    }

    /// Starts the waiting tasks for which there are connections now, and opens more connections for the others.
    pub(super) fn dispatch_waiting(self: &Arc<Self>, pool: &mut RoutePool<T>) {
        let share = pool.fair_share(self.limits.depth);
        loop {
            let long = pool.may_begin_long();
            if pool.waiting.len() == if long { 0 } else { pool.waiting.count_long() } {
                break;
            }
            let (active, task) = match pool.check_out(&self.cluster) {
                Some(object) => {
                    let active = ActiveConnection::new(object);
                    pool.active.push(active.clone());
                    (Some(active), pool.waiting.pop_oldest(long))
                }
                None => {
                    let growing = self.grow(pool);
                    pool.reserve_connections();
                    let active = match pool.waiting.first_sharing() {
                        None | Some(Sharing::Alone | Sharing::Long) => None,
                        // The task may be slow, so it waits for the new connection.
                        Some(Sharing::Last) if growing => None,
                        Some(Sharing::Last | Sharing::Any) => pool.best_shared(&self.cluster, self.limits.depth),
                    };
                    let task = active.as_ref().and_then(|_| pool.waiting.pop_sharing());
                    (active, task)
                }
            };
            let (Some(active), Some(task)) = (active, task) else { break };
            self.begin_on(&active, task);
            while active.load() < share && active.may_pipeline() && pool.waiting.first_sharing() == Some(Sharing::Any) {
                let Some(task) = pool.waiting.pop_sharing() else { break };
                self.begin_on(&active, task);
            }
        }
    }

    /// Begins to open more connections, if tasks need them and the limit allows it.
    /// True: attempts are under way, and the last attempt did not fail.
    fn grow(self: &Arc<Self>, pool: &mut RoutePool<T>) -> bool {
        while pool.begin_attempt() {
            drop(tokio::spawn(self.clone().acquire_connection(pool.route)));
        }
        pool.is_growing()
    }

    pub(super) fn begin_task(&self, active: &ActiveConnection, sharing: Sharing) {
        active.begin_task(sharing);
        if active.load() > 1 {
            self.pipelined.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Begins the next task for a worker of this connection, if there is one that may run there.
    pub(super) fn begin_next_task(&self, active: &ActiveConnection) -> Option<(T, Sharing)> {
        let mut state = lock(&self.state);
        if !active.session().is_usable() {
            return None;
        }
        let pool = state.route_pool(active.session().route);
        let task = if active.load() == 1 {
            // Only this worker is on the connection, so the connection is as good as idle.
            active.cancel_reservation();
            let long = pool.may_begin_long();
            pool.waiting.pop_oldest(long)
        } else if active.may_pipeline() && pool.waiting.first_sharing().is_some() {
            pool.waiting.pop_sharing()
        } else {
            None
        }?;
        let sharing = task.sharing();
        self.begin_task(active, sharing);
        Some((task, sharing))
    }

    /// Takes a worker off its connection. The last worker returns the connection to deadpool.
    pub(super) fn remove_worker(self: &Arc<Self>, active: Arc<ActiveConnection>) {
        let mut state = lock(&self.state);
        let closing = state.closing;
        let pool = state.route_pool(active.session().route);
        if active.remove_worker() {
            pool.active.retain(|other| !Arc::ptr_eq(other, &active));
            if let Some(active) = Arc::into_inner(active) {
                if active.session().is_usable() && !closing {
                    drop(active.object);
                } else {
                    // Its own answers have told of the fence, before the node was known to be fenced.
                    if active.session().refuses_writes() && !active.session().conn.is_retired() {
                        self.cluster.statistics.fence_evictions.add(1);
                    }
                    drop(PooledSession::take(active.object));
                }
            }
        }
        self.dispatch_waiting(pool);
        drop(state);
        self.drained.notify_waiters();
    }
}
