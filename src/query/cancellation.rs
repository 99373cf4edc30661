//! Cancels statements whose time is over or whose caller has given up.
//!
//! A cancel request hits whatever its backend is running, so a statement that can be cancelled has its connection to
//! itself, and the connection rests until the request is over. The last answer of the server counts: a statement may
//! have finished, or be committed but not replicated, when the cancel request arrives.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout, timeout_at};

use crate::connection::connection::Connection;
use crate::error::{ClientError, Outcome};
use crate::pool::session::Session;
use crate::query::flow_control::FlowControl;
use crate::query::race::Racer;

/// How long to wait for the last answer of the server.
const LAST_ANSWER: Duration = Duration::from_secs(2);
/// A server that has not begun the statement yet ignores a cancel request, so it is repeated: after this time, then
/// after twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// An AbortSignal of the caller.
#[derive(Debug, Default)]
pub(crate) struct Abort {
    fired: AtomicBool,
    notify: Notify,
}

impl Abort {
    pub(crate) fn fire(&self) {
        self.fired.store(true, Ordering::Relaxed);
        self.notify.notify_waiters();
    }

    fn has_fired(&self) -> bool {
        self.fired.load(Ordering::Relaxed)
    }
}

/// When a statement is to be cancelled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancellation {
    pub(crate) expires: Option<(Instant, u64)>,
    pub(crate) abort: Option<Arc<Abort>>,
    /// The credit of the reader of the rows: a statement that is cancelled does not wait for it.
    pub(crate) flow: Option<Arc<FlowControl>>,
    /// Why the batch of the statement was cancelled.
    pub(super) given_up: Option<Arc<OnceLock<GivenUp>>>,
    /// Another read that may answer first.
    pub(super) racer: Option<Racer>,
}

/// Why a statement is cancelled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GivenUp {
    TimedOut {
        timeout_ms: u64,
    },
    Aborted,
    /// Another read of the same call has answered: nobody gets the error.
    Overtaken,
    /// The pool has ended, and waits no longer.
    PoolClosed,
}

impl GivenUp {
    pub(crate) fn error(self, outcome: Outcome) -> ClientError {
        match self {
            Self::TimedOut { timeout_ms } => ClientError::Timeout { timeout_ms, outcome },
            Self::Aborted | Self::Overtaken => ClientError::Aborted { outcome },
            Self::PoolClosed => ClientError::PoolClosed,
        }
    }
}

impl Cancellation {
    pub(crate) fn new(timeout_ms: u64, abort: Option<Arc<Abort>>) -> Self {
        let expires = (timeout_ms > 0).then(|| (Instant::now() + Duration::from_millis(timeout_ms), timeout_ms));
        Self { expires, abort, flow: None, given_up: None, racer: None }
    }

    /// Whether there is a limit at all.
    pub(crate) fn is_limited(&self) -> bool {
        self.expires.is_some() || self.abort.is_some() || self.racer.is_some()
    }

    /// The limit that has been reached, if one has.
    pub(crate) fn reached_limit(&self, now: Instant) -> Option<GivenUp> {
        if self.abort.as_ref().is_some_and(|abort| abort.has_fired()) {
            return Some(GivenUp::Aborted);
        }
        if self.racer.as_ref().is_some_and(Racer::has_lost) {
            return Some(GivenUp::Overtaken);
        }
        self.expires.filter(|(at, _)| *at <= now).map(|(_, timeout_ms)| GivenUp::TimedOut { timeout_ms })
    }

    /// Why the batch of the statement was cancelled, if it was.
    pub(super) fn was_given_up(&self) -> Option<GivenUp> {
        self.given_up.as_ref()?.get().copied()
    }

    pub(super) async fn wait_for_limit(&self) -> GivenUp {
        let timed_out = async {
            match self.expires {
                Some((at, timeout_ms)) => {
                    sleep_until(at.into()).await;
                    GivenUp::TimedOut { timeout_ms }
                }
                None => std::future::pending().await,
            }
        };
        let aborted = async {
            match &self.abort {
                Some(abort) if !abort.has_fired() => abort.notify.notified().await,
                Some(_) => {}
                None => std::future::pending().await,
            }
        };
        let overtaken = async {
            match &self.racer {
                Some(racer) => racer.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            given_up = timed_out => given_up,
            () = aborted => GivenUp::Aborted,
            () = overtaken => GivenUp::Overtaken,
        }
    }
}

/// How a piece of work under [`Cancellation`] ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// By itself.
    Itself(T),
    /// It was cancelled. With the last answer of the server; None: there was none, and the connection is cut.
    GivenUp(GivenUp, Option<T>),
}

/// Runs `work`, which has `conn` to itself, and cancels it on the server when a limit is reached.
///
/// `work` comes by reference: moving a future copies it, and work without limits is the common case.
pub(crate) async fn with_cancellation<T>(
    conn: &Connection,
    cancellation: &Cancellation,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Ended<T> {
    if !cancellation.is_limited() {
        return Ended::Itself(work.await);
    }
    let given_up = tokio::select! {
        biased;
        result = work.as_mut() => return Ended::Itself(result),
        given_up = cancellation.wait_for_limit() => given_up,
        () = conn.abandoned(), if cancellation.flow.is_some() => GivenUp::PoolClosed,
    };
    if let Some(flow) = &cancellation.flow {
        flow.close();
        if flow.ends_itself
            && let Ok(last_answer) = timeout(FIRST_PAUSE, work.as_mut()).await
        {
            return Ended::GivenUp(given_up, Some(last_answer));
        }
    }
    Ended::GivenUp(given_up, cancel_until_ended(conn, work).await)
}

/// Waits for the end of work whose answer is not wanted any more. If `may_cancel`, and no other statement can be hit, it is
/// cancelled. None: the server stays silent, and the connection is cut.
pub(super) async fn end_early<T>(
    session: &Session,
    may_cancel: bool,
    work: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    if !(may_cancel && session.has_one_user()) {
        return Some(work.await);
    }
    session.pause_sharing();
    let last_answer = cancel_until_ended(&session.conn, work).await;
    session.resume_sharing();
    last_answer
}

/// Sends cancel requests until `work` ends. None: the server stays silent, and the connection is cut.
pub(super) async fn cancel_until_ended<T>(conn: &Connection, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let deadline = tokio::time::Instant::now() + LAST_ANSWER;
    let mut pause = FIRST_PAUSE;
    loop {
        let (last_answer, cancelled) = tokio::join!(timeout(pause, work.as_mut()), timeout_at(deadline, conn.cancel()));
        let silent = last_answer.is_err() && tokio::time::Instant::now() >= deadline;
        if silent || !matches!(cancelled, Ok(Ok(()))) {
            // A cancel request that is still on its way could hit the next statement.
            conn.cut();
        }
        if last_answer.is_ok() || silent {
            return last_answer.ok();
        }
        pause *= 2;
    }
}
