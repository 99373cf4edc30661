//! A pooled connection with what belongs to it: the statements it has prepared, and when it is to be retired.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::prepared::PreparedCache;
use crate::cluster::Cluster;
use crate::cluster::conn::Conn;
use crate::cluster::role::{Fit, fit};
use crate::codec::Catalog;

/// One pooled connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) conn: Conn,
    pub(crate) prepared: PreparedCache,
    /// What the server has said of types that are not built in.
    pub(crate) catalog: Mutex<Arc<Catalog>>,
    expires: Instant,
}

impl Session {
    pub(super) fn new(conn: Conn, max_lifetime: Duration, statements: usize) -> Self {
        // Up to 10 % earlier, so that connections made together do not end together.
        let jitter = 0.9 + f64::from(conn.created.elapsed().subsec_nanos() % 1000) / 10_000.0;
        let expires = conn.created + max_lifetime.mul_f64(jitter.min(1.0));
        Self { conn, prepared: PreparedCache::new(statements), catalog: Mutex::default(), expires }
    }

    /// Whether another statement may use it: it is alive, its node was not fenced or lost, and still suits the pool.
    pub(crate) fn is_usable(&self, cluster: &Cluster) -> bool {
        !self.conn.is_closed() && !self.conn.is_retired() && fit(cluster.mode, self.conn.role()) != Fit::No
    }

    /// Whether it may be taken out of the pool once more.
    pub(super) fn may_be_reused(&self, cluster: &Cluster) -> bool {
        self.is_usable(cluster) && Instant::now() < self.expires && !cluster.has_better_than(&self.conn)
    }
}
