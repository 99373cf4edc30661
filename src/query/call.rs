//! What every job carries: its promise, its route, its limits, and how often it was tried.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep;

use crate::cluster::failovers::NoticedBy;
use crate::cluster::route::Route;
use crate::engine::{Backoff, RetryCause, Waiting};
use crate::error::{ClientError, Outcome};
use crate::pool::session::Session;
use crate::pool::task::After;
use crate::query::Context;
use crate::query::cancellation::Cancellation;
use crate::query::promise::Promise;

/// What every job carries.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) promise: Promise,
    pub(crate) context: Arc<Context>,
    pub(crate) route: Route,
    pub(crate) cancellation: Cancellation,
    pub(crate) attempts: u32,
    pub(super) submitted: Instant,
    pub(super) deadline: Instant,
    /// It waits for a connection.
    waiting: Option<Waiting>,
    retried: bool,
    backoff: Backoff,
    /// The node whose connection was lost last, and why it was lost.
    lost: Option<(String, String)>,
}

impl Call {
    pub(crate) fn new(promise: Promise, context: Arc<Context>, cancellation: Cancellation) -> Self {
        let submitted = Instant::now();
        let deadline = submitted + context.acquire_timeout;
        let route = context.route;
        Self {
            promise,
            context,
            route,
            cancellation,
            attempts: 0,
            submitted,
            deadline,
            waiting: None,
            retried: false,
            backoff: Backoff::default(),
            lost: None,
        }
    }

    /// No connection was free at once.
    pub(super) fn note_waiting(&mut self) {
        let statistics = &self.context.cluster.statistics;
        self.waiting.get_or_insert_with(|| Waiting::new(statistics.clone()));
    }

    /// It has a connection now, or gives up.
    pub(super) fn end_waiting(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            self.promise.waited_us += waiting.end();
        }
    }

    pub(crate) fn fail(mut self, error: &ClientError, node: Option<usize>) {
        self.end_waiting();
        self.promise.reject(error, self.attempts, node);
    }

    /// Like [`Self::fail`], but rejects when the connection is free again.
    pub(crate) fn failed<T>(self, error: ClientError, node: Option<usize>) -> After<T> {
        After::Settled(Box::new(move || self.fail(&error, node)))
    }

    /// The error for work that found no connection in time. If a node suits, but each connection to the node was lost,
    /// "no node" would mislead: the last loss is the error.
    pub(super) fn error_without_connection(&self, error: ClientError) -> ClientError {
        match (&error, &self.lost) {
            (ClientError::NoPrimary { .. }, Some((node, reason))) if !self.context.cluster.lacks_node(self.route) => {
                let (node, reason) = (node.clone(), reason.clone());
                ClientError::ConnectionLost { node, reason, outcome: Outcome::NotApplied }
            }
            _ => error,
        }
    }

    /// Starts the time in which a connection must be found.
    pub(crate) fn renew(&mut self) {
        self.submitted = Instant::now();
        self.deadline = self.submitted + self.context.acquire_timeout;
        self.retried = false;
    }

    /// Prepares another attempt. The time to find a connection counts from the first failure. From the second failure
    /// on there is a pause: the server may fail each time.
    pub(crate) async fn prepare_retry(&mut self, session: &Session, cause: RetryCause) {
        self.promise.start_again();
        let cluster = &self.context.cluster;
        if session.route.must_write() {
            let reason = || session.conn.loss_reason();
            cluster.failovers.note_sign(NoticedBy::Statement, session.conn.endpoint.index, reason);
        }
        cluster.statistics.count_retry(cause);
        self.lost = Some((session.conn.endpoint.label(), session.conn.loss_reason()));
        if self.attempts > 1 {
            tokio::select! {
                () = sleep(self.backoff.next()) => {}
                _ = self.cancellation.wait_for_limit() => {}
            }
        }
        if !std::mem::replace(&mut self.retried, true) {
            self.deadline = Instant::now() + self.context.acquire_timeout;
        }
    }
}
