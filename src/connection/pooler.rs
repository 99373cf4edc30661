//! Recognises a connection pooler between the client and the server, and decides how statements are named there.
//!
//! A pooler such as PgBouncer may give a session another server from one transaction to the next. That server does not know
//! the statements that were prepared before, or knows another client's by the same name: PgBouncer before 1.21 let two
//! processes that both said "s1" have each other's results. A pooler shows in the process that answers: it is not the
//! process that the login named ([`Connection::is_pooled`]).

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::connection::connection::Connection;
use crate::connection::notices::EventSink;
use crate::protocol::Naming;

/// How statements are named, in view of a pooler.
#[derive(Debug, Default)]
pub(crate) struct StatementNaming {
    /// Whether statements are prepared under names; none: unless a pooler stands in between.
    prepare: Option<bool>,
    /// The pool was told that a pooler stands in between.
    told: AtomicBool,
}

impl StatementNaming {
    pub(crate) fn new(prepare: Option<bool>) -> Self {
        Self { prepare, told: AtomicBool::new(false) }
    }

    /// Decides under which names a new connection's statements are prepared.
    pub(super) fn apply(&self, conn: &Connection, event_sink: &EventSink) {
        let naming = match (self.prepare, conn.is_pooled()) {
            (Some(false), _) | (None, true) => Naming::None,
            (Some(true), true) => Naming::Prefixed,
            (_, false) => Naming::AsTheyAre,
        };
        conn.session_state.set_naming(naming);
        if self.prepare.is_none() && conn.is_pooled() && !self.told.swap(true, Ordering::Relaxed) {
            let node = conn.endpoint.label();
            // Rare enough not to wait.
            drop(event_sink(json!({
                "event": "notice", "severity": "WARNING", "code": "01000", "node": node,
                "message": "a connection pooler stands between the client and the server: statements are sent without names",
                "hint": "Say prepare: false in the options of the pool. If the pooler keeps the prepared statements of its \
                    clients apart (PgBouncer 1.21 and later, with max_prepared_statements), prepare: true is faster.",
            })));
        }
    }
}
