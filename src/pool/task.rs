//! Work, as the pool sees it.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use crate::cluster::route::Route;
use crate::error::ClientError;
use crate::pool::session::Session;

/// A piece of work that needs a connection.
pub(crate) trait Task: Send + Sized + 'static {
    /// Which node it is to run on.
    fn route(&self) -> Route;
    /// With whom it may share its connection.
    fn sharing(&self) -> Sharing;
    /// When it was handed in.
    fn submitted(&self) -> Instant;
    /// When to stop waiting for a connection.
    fn deadline(&self) -> Instant;
    /// When to look at [`Self::rejection`] again even if nothing else happens.
    fn next_check(&self) -> Instant;
    /// Why it must not run any more, if so: its own timeout passed, or its caller gave up.
    fn rejection(&self, now: Instant) -> Option<ClientError>;
    /// Runs it. `session` is its own, or shared with others that allow it.
    fn run(self, session: &Arc<Session>) -> impl Future<Output = After<Self>> + Send;
    /// Tells its caller that it will not run.
    fn fail(self, error: ClientError);
}

/// With whom a task may share its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// With nobody.
    Alone,
    /// With nobody, and it takes long.
    Long,
    /// Nobody knows how long it takes: it may go behind others, but others do not go behind it.
    Last,
    /// With anybody.
    Any,
}

/// Tells a task's caller how it ended.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// What became of a task.
pub(crate) enum After<T> {
    /// It is done, and its caller is to be told when the connection is free: who then looks at the pool sees it so.
    Settled(Answer),
    /// It was certainly not applied: it waits for another connection, ahead of all others.
    Again(T),
}

impl<T> After<T> {
    /// The same of the kind of task that wraps this one.
    pub(crate) fn map<U>(self, wrap: impl FnOnce(T) -> U) -> After<U> {
        match self {
            Self::Settled(answer) => After::Settled(answer),
            Self::Again(task) => After::Again(wrap(task)),
        }
    }
}
