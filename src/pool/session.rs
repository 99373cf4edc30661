//! A pooled connection with what belongs to it: the statements it has prepared, and when it is to be retired.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::cluster::role::{Fit, fit};
use crate::cluster::route::Route;
use crate::codec::Catalog;
use crate::connection::connection::Connection;
use crate::pool::prepared::PreparedCache;

/// One pooled connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// What it was opened for.
    pub(crate) route: Route,
    pub(crate) conn: Connection,
    pub(crate) prepared: PreparedCache,
    /// What the server has said of types that are not built in.
    pub(crate) catalog: Mutex<Arc<Catalog>>,
    /// Tasks on it.
    pub(super) load: AtomicUsize,
    /// Nothing more is sent down behind what it has.
    rests: AtomicBool,
    expires: Instant,
}

impl Session {
    pub(super) fn new(conn: Connection, route: Route, max_lifetime: Duration, statements: usize) -> Self {
        // Up to 10 % earlier, so that connections made together do not end together.
        let jitter = 0.9 + f64::from(conn.created.elapsed().subsec_nanos() % 1000) / 10_000.0;
        let expires = conn.created + max_lifetime.mul_f64(jitter.min(1.0));
        conn.endpoint.connection_opened();
        Self {
            route,
            conn,
            prepared: PreparedCache::new(statements),
            catalog: Mutex::default(),
            load: AtomicUsize::new(0),
            rests: AtomicBool::new(false),
            expires,
        }
    }

    /// Whether one task has it, and the server answers the last that this one has sent.
    pub(crate) fn has_one_user(&self) -> bool {
        self.load.load(Ordering::Relaxed) <= 1 && self.conn.session_state.answers_last_message()
    }

    /// Whether nothing more may be sent down behind what it has.
    pub(crate) fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    pub(super) fn is_resting(&self) -> bool {
        self.rests.load(Ordering::Relaxed)
    }

    /// Whether another statement may use it: it is alive, its node was not fenced or lost, and still suits its route.
    pub(crate) fn is_usable(&self) -> bool {
        !self.conn.is_closed() && !self.conn.is_retired() && fit(self.route, self.conn.role()) != Fit::No
    }

    /// Whether it was opened to write, and its node does not accept writes any more, as far as the server has told.
    pub(crate) fn refuses_writes(&self) -> bool {
        self.route.must_write() && fit(self.route, self.conn.role()) == Fit::No
    }

    /// Whether it may be taken out of the pool once more.
    pub(super) fn may_be_reused(&self, cluster: &Cluster) -> bool {
        self.is_usable() && Instant::now() < self.expires && !cluster.has_better_than(&self.conn, self.route)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.conn.endpoint.connection_closed();
    }
}
