//! Finds out why a write was refused as read-only (25006): by the cluster, or by the user's own settings.
//!
//! `default_transaction_read_only` may be on because a manager fenced the node (`ALTER SYSTEM` and a reload), or
//! because the user ran `SET` in this session, which the server reports in the same way. `pg_settings.source`
//! distinguishes the two.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;

use crate::cluster::cluster::Cluster;
use crate::cluster::failovers::NoticedBy;
use crate::cluster::observation::Observation;
use crate::connection::connection::{Connection, Sequence};
use crate::connection::probe::{Probe, Role, cell};

/// Why the write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOnlyReason {
    /// The node is fenced, or a standby: the statement belongs on another node.
    Fenced,
    /// The user made the session or the transaction read-only.
    Own,
}

const QUESTION: &str = "SELECT pg_catalog.pg_is_in_recovery(), setting, source \
    FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'";

/// Whether the answer to `SHOW transaction_read_only` says that it is on.
pub(crate) fn is_on(shown: &[SimpleQueryMessage]) -> bool {
    shown.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if cell(row, 0) == Some("on")))
}

/// Asks the session in which the statement `refused` got 25006. If its node is fenced, the pool drops all connections
/// to it at once.
pub(crate) async fn why_read_only(cluster: &Arc<Cluster>, conn: &Connection, refused: Sequence) -> ReadOnlyReason {
    let asked = timeout(cluster.connect_timeout(), conn.client.simple_query(QUESTION)).await;
    let Ok(Ok(messages)) = asked else { return ReadOnlyReason::Fenced };
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = |column: usize| row.and_then(|row| cell(row, column));
    let role = Role { in_recovery: text(0) == Some("t"), read_only: text(1) == Some("on") };
    let reason = reason_for(role, text(2), conn.role_changed_since(refused));
    if reason == ReadOnlyReason::Fenced {
        conn.endpoint.request_check();
        if role.in_recovery || role.read_only {
            let probe = Probe {
                asked: Instant::now(),
                role,
                timeline: None,
                lsn: None,
                latency: None,
                server_clock: None,
                identity: None,
            };
            let index = conn.endpoint.index;
            let reason = || "a write was refused: the node accepts none (25006)".to_owned();
            cluster.failovers.note_sign(NoticedBy::Statement, index, reason);
            cluster.observe(&cluster.nodes[index], Observation::Alive(probe));
        }
    }
    reason
}

fn reason_for(role: Role, source: Option<&str>, changed_meanwhile: bool) -> ReadOnlyReason {
    let set_by_user = matches!(source, Some("session" | "user" | "database" | "database user" | "client"));
    match role {
        Role { in_recovery: true, .. } => ReadOnlyReason::Fenced,
        Role { read_only: true, .. } if !set_by_user => ReadOnlyReason::Fenced,
        // The fence was lifted after the statement had run.
        Role { read_only: false, .. } if changed_meanwhile => ReadOnlyReason::Fenced,
        _ => ReadOnlyReason::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_session_is_the_users_own_only_if_the_user_set_it() {
        use ReadOnlyReason::{Fenced, Own};
        let role = |in_recovery, read_only| Role { in_recovery, read_only };
        let table = [
            (role(true, false), Some("default"), false, Fenced),
            (role(false, true), Some("configuration file"), false, Fenced),
            (role(false, true), Some("session"), false, Own),
            (role(false, true), Some("session"), true, Own),
            (role(false, false), Some("default"), false, Own),
            (role(false, false), Some("default"), true, Fenced),
        ];
        for (role, source, changed, expected) in table {
            assert_eq!(reason_for(role, source, changed), expected, "{role:?} {source:?} {changed}");
        }
    }
}
