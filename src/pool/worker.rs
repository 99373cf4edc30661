//! A worker has a place on a connection, for one task at a time: it runs the task, then waiting tasks as long as the
//! connection may take them, and gives the place back.
//!
//! A task that can be sent at once and needs no future of its own (`Task::start_at_once`) keeps the worker until it is
//! answered; then whoever reads the answer calls [`ConnectionPlace::settle`]. For all others the worker is a task of tokio.

use std::sync::Arc;

use tokio::task::yield_now;

use crate::pool::active_connection::ActiveConnection;
use crate::pool::router::Router;
use crate::pool::session::Session;
use crate::pool::task::{After, ConnectionPlace, Sharing, Task};

/// A place on a connection.
struct Worker<T: Task> {
    router: Arc<Router<T>>,
    /// None: the place was given back.
    active: Option<Arc<ActiveConnection>>,
    /// What the present task asked for when it began.
    sharing: Sharing,
}

impl<T: Task> Router<T> {
    /// Starts a task on a connection. The state of the pool is locked.
    pub(super) fn begin_on(self: &Arc<Self>, active: &Arc<ActiveConnection>, task: T) {
        let sharing = task.sharing();
        active.add_worker();
        self.begin_task(active, sharing);
        Worker { router: self.clone(), active: Some(active.clone()), sharing }.begin(task);
    }
}

impl<T: Task> Worker<T> {
    fn active(&self) -> &Arc<ActiveConnection> {
        self.active.as_ref().expect("the worker has its place until it is dropped")
    }

    /// Starts a task that has begun on the connection.
    fn begin(self, task: T) {
        let session = self.session();
        if session.has_rested() || session.lease_runs_out() {
            return self.run(task);
        }
        if let Err((worker, task)) = task.start_at_once(self) {
            worker.run(task);
        }
    }

    /// The task has ended. `answer` tells its caller, when the place is free or has its next task.
    fn end(self, answer: impl FnOnce()) {
        self.end_task();
        self.go_on(answer);
    }

    fn end_task(&self) {
        if self.session().conn.has_lease() {
            self.router.renew_behind_task(self.active());
        }
        self.active().end_task(self.sharing);
    }

    /// Starts a task that waits, or gives the place back.
    fn go_on(mut self, answer: impl FnOnce()) {
        match self.router.begin_next_task(self.active()) {
            Some((task, sharing)) => {
                answer();
                self.sharing = sharing;
                self.begin(task);
            }
            None => {
                drop(self);
                answer();
            }
        }
    }

    /// Runs a task by a future. When it panics, its drop fails the promise of its caller, and that of the worker gives the place
    /// back.
    async fn run_task(mut self, mut task: T) {
        let (router, active) = (self.router.clone(), self.active().clone());
        if active.session().has_rested() {
            // The end of a session that came while this process was frozen is read first.
            yield_now().await;
            if !active.session().is_usable() {
                return router.put_back(&active, task, self.sharing);
            }
        }
        if active.session().lease_runs_out() {
            let Some(next) = Box::pin(router.renew_before(&active, task, self.sharing)).await else { return };
            (task, self.sharing) = next;
        }
        let after = task.run(active.session()).await;
        if active.session().needs_reset(&router.cluster) {
            // Boxed, because every running task would otherwise need the memory for the future of a reset.
            Box::pin(active.session().reset(&router.cluster)).await;
        }
        // The last worker must be the last who has the connection.
        drop(active);
        match after {
            After::Settled(answer) => self.end(answer),
            After::Again(task) => {
                self.end_task();
                router.cluster.statistics.acquires.add(1);
                router.wait_in_front(task);
                self.go_on(|| {});
            }
        }
    }
}

impl<T: Task> ConnectionPlace<T> for Worker<T> {
    fn session(&self) -> &Arc<Session> {
        self.active().session()
    }

    fn run(mut self, task: T) {
        // A runtime that shuts down drops a new future at once, maybe while the state of the pool is locked. The drop of a worker
        // would lock it again, so there is no worker before the future is first polled.
        let (router, active, sharing) = (self.router.clone(), self.active.take(), self.sharing);
        drop(tokio::spawn(async move { Worker { router, active, sharing }.run_task(task).await }));
    }

    fn settle(self, answer: impl FnOnce() + Send + 'static) {
        if self.session().needs_reset(&self.router.cluster) {
            drop(tokio::spawn(async move {
                self.session().reset(&self.router.cluster).await;
                self.end(answer);
            }));
        } else {
            self.end(answer);
        }
    }
}

impl<T: Task> Drop for Worker<T> {
    fn drop(&mut self) {
        if let Some(active) = self.active.take() {
            if std::thread::panicking() {
                active.session().conn.cut();
            }
            self.router.remove_worker(active);
        }
    }
}
