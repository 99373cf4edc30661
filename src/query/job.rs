//! Work for the pool's router: each kind of work is a job. A job that has failed but may run again is given back.

use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::cluster::route::Route;
use crate::error::{ClientError, Outcome};
use crate::pool::router::Router;
use crate::pool::session::Session;
use crate::pool::task::{After, ConnectionPlace, Sharing, Task};
use crate::query::batch::Batch;
use crate::query::begin::Begin;
use crate::query::call::Call;
use crate::query::commit::EndPrepared;
use crate::query::copy::Copy;
use crate::query::pinned::Pin;
use crate::query::read::{Read, ReadRouter};
use crate::query::script::Script;
use crate::query::single::Query;

/// Work for the router.
#[derive(Debug)]
pub(crate) enum Job {
    Query(Box<Query>),
    Read(Box<Read>),
    Begin(Box<Begin>),
    Batch(Box<Batch>),
    Copy(Box<Copy>),
    Script(Box<Script>),
    EndPrepared(Box<EndPrepared>),
    Pin(Box<Pin>),
    /// Panics on the I/O thread: lets a test show that a panic rejects one promise and nothing else.
    Panic(Box<Call>),
}

impl Job {
    fn call(&self) -> &Call {
        match self {
            Self::Query(query) => &query.call,
            Self::Read(read) => &read.query.call,
            Self::Begin(begin) => &begin.call,
            Self::Batch(batch) => &batch.call,
            Self::Copy(copy) => &copy.call,
            Self::Script(script) => &script.call,
            Self::EndPrepared(end) => &end.call,
            Self::Pin(pin) => &pin.call,
            Self::Panic(call) => call,
        }
    }

    fn call_mut(&mut self) -> &mut Call {
        match self {
            Self::Query(query) => &mut query.call,
            Self::Read(read) => &mut read.query.call,
            Self::Begin(begin) => &mut begin.call,
            Self::Batch(batch) => &mut batch.call,
            Self::Copy(copy) => &mut copy.call,
            Self::Script(script) => &mut script.call,
            Self::EndPrepared(end) => &mut end.call,
            Self::Pin(pin) => &mut pin.call,
            Self::Panic(call) => call,
        }
    }
}

impl Task for Job {
    fn route(&self) -> Route {
        self.call().route
    }

    fn sharing(&self) -> Sharing {
        match self {
            Self::Query(query) => query.sharing(),
            Self::Read(read) => read.query.sharing(),
            Self::Batch(batch) => batch.sharing(),
            Self::Begin(_) | Self::Copy(_) | Self::Script(_) | Self::EndPrepared(_) | Self::Pin(_) | Self::Panic(_) => {
                Sharing::Alone
            }
        }
    }

    fn submitted(&self) -> Instant {
        self.call().submitted
    }

    fn deadline(&self) -> Instant {
        self.call().deadline
    }

    fn next_check(&self) -> Instant {
        let call = self.call();
        call.cancellation.expires.map_or(call.deadline, |(at, _)| at.min(call.deadline))
    }

    fn note_waiting(&mut self) {
        self.call_mut().note_waiting();
    }

    fn end_waiting(&mut self) {
        self.call_mut().end_waiting();
    }

    fn rejection(&self, now: Instant) -> Option<ClientError> {
        self.call().cancellation.reached_limit(now).map(|given_up| given_up.error(Outcome::NotApplied))
    }

    fn start_at_once<P: ConnectionPlace<Self>>(self, place: P) -> Result<(), (P, Self)> {
        match self {
            Self::Query(query) => {
                query.start_at_once(place, Self::Query).map_err(|(place, query)| (place, Self::Query(query)))
            }
            other => Err((place, other)),
        }
    }

    async fn run(self, session: &Arc<Session>) -> After<Self> {
        match self {
            Self::Query(query) => query.run(session).await.map(Self::Query),
            Self::Read(read) => read.run(session).await.map(Self::Read),
            // Boxed, so that the task of a statement is not as large as these.
            Self::Begin(begin) => Box::pin(begin.run(session)).await.map(Self::Begin),
            Self::Batch(batch) => Box::pin(batch.run(session)).await.map(Self::Batch),
            Self::Copy(copy) => Box::pin(copy.run(session)).await.map(Self::Copy),
            Self::Script(script) => Box::pin(script.run(session)).await.map(Self::Script),
            Self::EndPrepared(end) => Box::pin(end.run(session)).await.map(Self::EndPrepared),
            Self::Pin(pin) => Box::pin(pin.run(session)).await.map(Self::Pin),
            Self::Panic(call) => {
                let _held = call;
                panic!("a test asked for it");
            }
        }
    }

    fn fail(self, error: ClientError) {
        let error = match &self {
            // It may go to another node.
            Self::Read(_) => error,
            job => job.call().error_without_connection(error),
        };
        match self {
            Self::Read(read) => read.fail(error),
            Self::Query(query) => query.call.fail(&error, None),
            Self::Begin(begin) => begin.fail(&error, None),
            Self::Batch(batch) => batch.fail(&error, None),
            Self::Copy(copy) => copy.call.fail(&error, None),
            Self::Script(script) => script.call.fail(&error, None),
            Self::EndPrepared(end) => end.call.fail(&error, None),
            Self::Pin(pin) => pin.fail(&error, None),
            Self::Panic(call) => call.fail(&error, None),
        }
    }
}

/// The reads of a pool do not keep it.
impl ReadRouter for Weak<Router<Job>> {
    fn accept(&self, read: Box<Read>) {
        match self.upgrade() {
            Some(router) => router.accept(Job::Read(read)),
            None => Job::Read(read).fail(ClientError::PoolClosed),
        }
    }

    fn is_giving_up(&self) -> bool {
        self.upgrade().is_none_or(|router| router.is_giving_up())
    }

    fn hold(&self) -> Box<dyn Send> {
        Box::new(self.upgrade().map(|router| router.hold()))
    }
}
