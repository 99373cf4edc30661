//! A pooled connection with its prepared statements, its catalog of types and its age limit.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::cluster::consistency::ConsistencyToken;
use crate::cluster::replay::LogPlace;
use crate::cluster::role::{Fit, fit};
use crate::cluster::route::Route;
use crate::codec::Catalog;
use crate::connection::connection::Connection;
use crate::engine::clock;
use crate::pool::names::SessionNames;
use crate::pool::prepared::PreparedCache;
use crate::pool::setters::Setters;

/// A process that is not frozen reads what the server sends within this time.
const RESTED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Session {
    /// The route that the session was opened for.
    pub(crate) route: Route,
    pub(crate) conn: Connection,
    pub(crate) prepared: PreparedCache,
    pub(crate) names: SessionNames,
    /// The types that are not built in, as the server described them.
    pub(crate) catalog: Mutex<Arc<Catalog>>,
    /// Since when tokio-postgres keeps what the server says of types, by `clock`.
    pub(super) types_since: AtomicU64,
    pub(super) setters: Arc<Setters>,
    /// Something has run that may have changed settings, and they are not reset yet.
    pub(super) may_have_settings: AtomicBool,
    /// How many tasks are on the connection.
    pub(super) load: AtomicUsize,
    /// See [`Self::pause_sharing`].
    sharing_paused: AtomicBool,
    /// A position that the session's server has replayed.
    position: AtomicU64,
    expires: Instant,
}

impl Session {
    pub(super) fn new(
        conn: Connection,
        route: Route,
        max_lifetime: Duration,
        prepared: PreparedCache,
        setters: Arc<Setters>,
    ) -> Self {
        // Up to 10 % earlier, so that connections that were opened together are not closed together.
        let jitter = 0.9 + f64::from(conn.created.elapsed().subsec_nanos() % 1000) / 10_000.0;
        let expires = conn.created + max_lifetime.mul_f64(jitter.min(1.0));
        conn.endpoint.connection_opened();
        conn.count_traffic();
        Self {
            route,
            conn,
            prepared,
            names: SessionNames::default(),
            catalog: Mutex::default(),
            types_since: AtomicU64::new(clock()),
            setters,
            may_have_settings: AtomicBool::new(false),
            load: AtomicUsize::new(0),
            sharing_paused: AtomicBool::new(false),
            position: AtomicU64::new(0),
            expires,
        }
    }

    /// Whether the session's server, a standby, is known to have replayed a position. Only a pooler may change servers.
    pub(crate) fn has_position(&self, lsn: u64) -> bool {
        self.position.load(Ordering::Relaxed) >= lsn && !self.conn.is_pooled()
    }

    /// Whether the session's server, which is at this place, has the position of a token.
    pub(crate) fn has_reached(&self, token: &ConsistencyToken, place: LogPlace) -> bool {
        match place {
            LogPlace::Replayed(lsn) => {
                self.position.fetch_max(lsn, Ordering::Relaxed);
                lsn >= token.lsn
            }
            LogPlace::Writes(timeline) => timeline >= token.timeline,
        }
    }

    /// Whether only one task uses the session, and the server answers the last message of that task.
    pub(crate) fn has_one_user(&self) -> bool {
        self.load.load(Ordering::Relaxed) <= 1 && self.conn.session_state.answers_last_message()
    }

    /// Whether the session has had nothing to do for so long that what has become of it may not be known yet.
    pub(super) fn has_rested(&self) -> bool {
        self.conn.idle_for() > RESTED
    }

    /// Lets no task be sent behind the present ones until [`Self::resume_sharing`].
    pub(crate) fn pause_sharing(&self) {
        self.sharing_paused.store(true, Ordering::Relaxed);
    }

    pub(crate) fn resume_sharing(&self) {
        self.sharing_paused.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_sharing_paused(&self) -> bool {
        self.sharing_paused.load(Ordering::Relaxed)
    }

    /// Whether another task may use the session: it is open, its node was not fenced or lost, and the node still suits
    /// the route.
    pub(crate) fn is_usable(&self) -> bool {
        !self.conn.is_closed() && !self.conn.is_retired() && fit(self.route, self.conn.role()) != Fit::No
    }

    /// Whether the session was opened for writes, and its server has reported that it does not accept writes any more.
    pub(crate) fn refuses_writes(&self) -> bool {
        self.route.must_write() && fit(self.route, self.conn.role()) == Fit::No
    }

    /// Whether an idle session may be used again.
    pub(super) fn may_be_reused(&self, cluster: &Cluster) -> bool {
        self.is_usable() && Instant::now() < self.expires && !cluster.has_better_than(&self.conn, self.route)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.conn.endpoint.connection_closed();
    }
}
