//! The trait of the work that needs a connection: all that the pool knows of it.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use crate::cluster::route::Route;
use crate::error::ClientError;
use crate::pool::session::Session;

pub(crate) trait Task: Send + Sized + 'static {
    /// Which nodes the task may run on.
    fn route(&self) -> Route;
    fn sharing(&self) -> Sharing;
    /// When the caller submitted the task.
    fn submitted(&self) -> Instant;
    /// Until when the task may wait for a connection.
    fn deadline(&self) -> Instant;
    /// When the pool must ask for [`Self::rejection`] again at the latest.
    fn next_check(&self) -> Instant;
    /// No connection was free at once: the task waits.
    fn note_waiting(&mut self);
    /// The task has a connection now.
    fn end_waiting(&mut self);
    /// Why the task must not run any more: its own timeout has passed, or its caller has cancelled it.
    fn rejection(&self, now: Instant) -> Option<ClientError>;
    /// Starts the task, if it can be sent at once and needs no future of its own: it keeps its place until it is answered.
    /// The state of the pool is locked.
    fn start_at_once<P: ConnectionPlace<Self>>(self, place: P) -> Result<(), (P, Self)> {
        Err((place, self))
    }
    /// Runs the task. Other tasks use `session` at the same time if [`Self::sharing`] allows it.
    fn run(self, session: &Arc<Session>) -> impl Future<Output = After<Self>> + Send;
    /// Fails the caller's promise: the task will not run.
    fn fail(self, error: ClientError);
}

/// A task's place on a connection. Its drop gives it back.
pub(crate) trait ConnectionPlace<T>: Send + Sync + Sized + 'static {
    fn session(&self) -> &Arc<Session>;
    /// Runs the task by a future.
    fn run(self, task: T);
    /// The task was answered. `answer` tells its caller, when the place is free or has its next task.
    fn settle(self, answer: impl FnOnce() + Send + 'static);
}

/// Whether a task may share its connection with other tasks (pipelining).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// The task has the connection to itself.
    Alone,
    /// The task has the connection to itself because it takes long: a long statement.
    Long,
    /// The task may be sent behind other tasks, but no task behind this one, because its duration is not known.
    Last,
    /// The task may be sent behind other tasks, and other tasks behind this one.
    Any,
}

/// Settles the promise of a task's caller.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// What the pool must do after a task has run.
pub(crate) enum After<T> {
    /// Call the function when the connection is free, so that a caller who then asks for `status()` sees it free.
    Settled(Answer),
    /// Let the task wait for a connection again, before all others: it was certainly not applied.
    Again(T),
}

impl<T> After<T> {
    /// Turns a task that runs again into the task that wraps it.
    pub(crate) fn map<U>(self, wrap: impl FnOnce(T) -> U) -> After<U> {
        match self {
            Self::Settled(answer) => After::Settled(answer),
            Self::Again(task) => After::Again(wrap(task)),
        }
    }
}
