//! The pool undoes what a caller changed in a session, before the next caller has the session.
//!
//! The server reports changes by its command tags (SET, RESET), and reports changes of some settings by
//! ParameterStatus. A session without such a report is not reset. The server does not report temporary tables, advisory
//! locks and most settings that functions make: these need `reset: 'discard'`.

use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::cluster::session_policy::Reset;
use crate::connection::failure::describe;
use crate::pool::session::Session;

/// SET SESSION AUTHORIZATION DEFAULT also ends SET ROLE, which RESET ALL does not.
const CHANGES: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL";
/// DISCARD ALL without DEALLOCATE ALL, so that the pool's own prepared statements stay.
const DISCARD: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";
/// How many commands of CHANGES, and of DISCARD, have a tag that reports a change.
const OWN_CHANGES: u32 = 2;

impl Session {
    /// Whether a reset is necessary after a task has ended.
    pub(super) fn needs_reset(&self, cluster: &Cluster) -> bool {
        let session_state = &self.conn.session_state;
        match cluster.policy.reset {
            Reset::Changes => session_state.changes() > 0 || session_state.is_in_block(),
            Reset::Nothing => session_state.is_in_block(),
            Reset::Discard | Reset::Sql(_) => true,
        }
    }

    /// Resets the session, or closes its connection if that fails or a transaction was left open.
    pub(super) async fn reset(&self, cluster: &Cluster) {
        let conn = &self.conn;
        if !self.is_usable() {
            return;
        }
        if conn.session_state.is_in_block() && self.has_one_user() {
            return conn.break_off("a transaction was left open".to_owned());
        }
        let sql = match &cluster.policy.reset {
            Reset::Nothing => return,
            Reset::Changes if conn.session_state.changes() == 0 => return,
            Reset::Changes => CHANGES,
            Reset::Discard => DISCARD,
            Reset::Sql(sql) => sql,
        };
        conn.session_state.begin_reset();
        let failure = match timeout(cluster.connect_timeout(), conn.client.batch_execute(sql)).await {
            Ok(Ok(())) => {
                conn.answered();
                let own = if matches!(cluster.policy.reset, Reset::Sql(_)) { u32::MAX } else { OWN_CHANGES };
                return conn.session_state.end_reset(own);
            }
            Ok(Err(_)) if conn.is_closed() => return,
            Ok(Err(error)) => describe(&error),
            Err(_) => format!("no answer within {} ms", cluster.connect_timeout().as_millis()),
        };
        let message = format!("a connection was closed because its session could not be reset: {failure}");
        conn.break_off(message.clone());
        cluster.announce_error("ERR_RESET", &message, &conn.endpoint.label());
    }
}
