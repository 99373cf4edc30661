//! How a pool's connections behave beyond what PostgreSQL's protocol says: how large a result may be, how statements are
//! called, what a session is cleared of.
//!
//! A pooler gives a session another server from one transaction to the next. There, what was prepared is not known, or it
//! is another client's: PgBouncer before 1.21 let two processes that both said "s1" have each other's results. That one
//! stands in between shows in the process that answers: it is not the one that the login named.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::Cluster;
use super::conn::Conn;
use super::wire::Naming;

#[derive(Debug, Default)]
pub(crate) struct Manners {
    /// Bytes of a result at most.
    pub(crate) result_limit: Option<usize>,
    /// Whether statements are prepared under names; none: unless a pooler stands in between.
    pub(crate) prepare: Option<bool>,
    pub(crate) reset: Reset,
    /// That a pooler does has been told.
    told: AtomicBool,
}

/// What is undone between two users of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reset {
    /// Settings, when they were changed.
    #[default]
    Changes,
    Nothing,
    /// All that a session can hold, each time.
    Discard,
    /// What this says, each time.
    Sql(String),
}

impl Manners {
    pub(crate) fn new(result_limit: Option<usize>, prepare: Option<bool>, reset: Reset) -> Self {
        Self { result_limit, prepare, reset, told: AtomicBool::new(false) }
    }
}

impl Cluster {
    /// Decides under which names a new connection's statements are prepared.
    pub(super) fn settle_naming(&self, conn: &Conn) {
        let naming = match (self.manners.prepare, conn.is_pooled()) {
            (Some(false), _) | (None, true) => Naming::None,
            (Some(true), true) => Naming::Prefixed,
            (_, false) => Naming::AsTheyAre,
        };
        conn.facts.name(naming);
        if self.manners.prepare.is_none() && conn.is_pooled() && !self.manners.told.swap(true, Ordering::Relaxed) {
            let node = conn.node.label();
            self.announce(json!({
                "event": "notice", "severity": "WARNING", "code": "01000", "node": node,
                "message": "a connection pooler stands between the client and the server: statements are sent without names",
                "hint": "Say prepare: false in the options of the pool. If the pooler keeps the prepared statements of its \
                    clients apart (PgBouncer 1.21 and later, with max_prepared_statements), prepare: true is faster.",
            }));
        }
    }
}
