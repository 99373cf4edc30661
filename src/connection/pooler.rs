//! Recognises a connection pooler between the client and the server, and decides how statements are named.
//!
//! A pooler such as PgBouncer may give a session another server connection for each transaction. That server connection
//! does not know the statements that were prepared before, or knows another client's by the same name: with PgBouncer
//! before 1.21 two processes that both used the name "s1" got each other's results. A pooler is recognised by the
//! process that answers: it is not the process that the login named ([`Connection::is_pooled`]).

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::connection::connection::Connection;
use crate::connection::notices::EventSink;
use crate::protocol::Naming;

/// How the statements of a pool are named.
#[derive(Debug, Default)]
pub(crate) struct StatementNaming {
    /// Whether statements have names; None: they have, unless there is a pooler.
    prepare: Option<bool>,
    /// The pool has announced that there is a pooler.
    announced: AtomicBool,
}

impl StatementNaming {
    pub(crate) fn new(prepare: Option<bool>) -> Self {
        Self { prepare, announced: AtomicBool::new(false) }
    }

    /// Decides under which names a new connection's statements are prepared.
    pub(super) fn apply(&self, conn: &Connection, event_sink: &EventSink) {
        let naming = match (self.prepare, conn.is_pooled()) {
            (Some(false), _) | (None, true) => Naming::None,
            (Some(true), true) => Naming::Prefixed,
            (_, false) => Naming::AsTheyAre,
        };
        conn.session_state.set_naming(naming);
        if self.prepare.is_none() && conn.is_pooled() && !self.announced.swap(true, Ordering::Relaxed) {
            let node = conn.endpoint.label();
            // Such an event is too rare to wait for room.
            drop(event_sink(json!({
                "event": "notice", "severity": "WARNING", "code": "01000", "node": node,
                "message": "a connection pooler stands between the client and the server: statements are sent without names",
                "hint": "Say prepare: false in the options of the pool. If the pooler keeps the prepared statements of its \
                    clients apart (PgBouncer 1.21 and later, with max_prepared_statements), prepare: true is faster.",
            })));
        }
    }
}
