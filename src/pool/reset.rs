//! The pool undoes what a caller changed in a session, before the next caller has the session.
//!
//! The server reports changes by its command tags (SET, RESET), and reports changes of some settings by
//! ParameterStatus. What functions set it does not report. A statement that may run such a function (`sql_facts`,
//! `setters`) is followed by a reset: in its own flight, if other statements may be sent behind it; else ahead of the
//! next statement. Nobody waits for the answer, because the server runs what it gets in order. Temporary tables and
//! advisory locks are not reported either: these need `reset: 'discard'`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Waker};

use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::cluster::session_policy::Reset;
use crate::connection::failure::describe;
use crate::connection::renewal::SentAhead;
use crate::pool::session::Session;
use crate::pool::sql_facts::{Command, SqlFacts};
use crate::protocol::RESET_SETTINGS;

/// DISCARD ALL without DEALLOCATE ALL, so that the pool's own prepared statements stay.
const DISCARD: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";
/// How many commands of DISCARD have a tag that reports a change.
const OWN_CHANGES: u32 = 2;

impl Session {
    /// Whether a statement may leave changed settings of which the server reports nothing.
    pub(crate) fn may_leave_settings(&self, cluster: &Cluster, facts: &SqlFacts) -> bool {
        cluster.policy.reset == Reset::Changes
            && (facts.may_leave_settings || facts.command == Command::Planned && self.setters.may_set(facts))
    }

    /// Notes that something has run that may have left changed settings.
    pub(crate) fn note_settings(&self) {
        self.may_have_settings.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::note_settings`] was called since the last reset.
    pub(crate) fn may_have_settings(&self) -> bool {
        self.may_have_settings.load(Ordering::Relaxed)
    }

    /// The settings are as they were: the transaction that may have changed them was rolled back.
    pub(crate) fn forget_settings(&self) {
        self.may_have_settings.store(false, Ordering::Relaxed);
    }

    /// Whether a reset is necessary after a task has ended.
    pub(super) fn needs_reset(&self, cluster: &Cluster) -> bool {
        let session_state = &self.conn.session_state;
        match cluster.policy.reset {
            Reset::Changes => self.may_have_settings() || session_state.has_changed() || session_state.is_in_block(),
            Reset::Nothing => session_state.is_in_block(),
            Reset::Discard | Reset::Sql(_) => true,
        }
    }

    /// Resets the session, or closes its connection if that fails or a transaction was left open.
    pub(super) async fn reset(self: &Arc<Self>, cluster: &Arc<Cluster>) {
        let conn = &self.conn;
        if !self.is_usable() {
            return;
        }
        if conn.session_state.is_in_block() && self.has_one_user() {
            return conn.break_off("a transaction was left open".to_owned());
        }
        let sql = match &cluster.policy.reset {
            Reset::Nothing => return,
            Reset::Changes => {
                if self.may_have_settings() || conn.session_state.has_changed() {
                    self.send_reset(cluster);
                }
                return;
            }
            Reset::Discard => DISCARD,
            Reset::Sql(sql) => sql,
        };
        conn.session_state.begin_reset();
        let ended = match timeout(cluster.connect_timeout(), conn.client.batch_execute(sql)).await {
            Ok(ended) => ended.map_err(|error| describe(&error)),
            Err(_) => Err(format!("no answer within {} ms", cluster.connect_timeout().as_millis())),
        };
        if self.reset_ended(cluster, ended) {
            let own = if matches!(cluster.policy.reset, Reset::Sql(_)) { u32::MAX } else { OWN_CHANGES };
            conn.session_state.end_reset(own);
        }
    }

    /// Sends a reset of the settings, behind all that was sent before. The answer comes later; if it is an error, the
    /// connection is closed.
    pub(crate) fn send_reset(self: &Arc<Self>, cluster: &Arc<Cluster>) {
        self.forget_settings();
        let (session, cluster_of_reset) = (self.clone(), cluster.clone());
        spawn_sent(async move {
            let ended = session.conn.client.batch_execute(RESET_SETTINGS).await;
            session.reset_ended(&cluster_of_reset, ended.map_err(|error| describe(&error)))
        });
        if self.conn.loses_lease_by_reset() {
            self.send_renewal(cluster, SentAhead::Something);
        }
        if self.setters.begin_scan() {
            let session = self.clone();
            spawn_sent(async move {
                session.setters.scan(&session.conn.client).await;
                session.conn.answered();
            });
        }
    }

    /// Closes the connection if its reset has failed. True: the session is reset.
    fn reset_ended(&self, cluster: &Cluster, ended: Result<(), String>) -> bool {
        let conn = &self.conn;
        let failure = match ended {
            Ok(()) => {
                conn.answered();
                return true;
            }
            Err(_) if conn.is_closed() => return false,
            Err(failure) => failure,
        };
        let message = format!("a connection was closed because its session could not be reset: {failure}");
        conn.break_off(message.clone());
        cluster.announce_error("ERR_RESET", &message, &conn.endpoint.label());
        false
    }
}

/// Polls a future once at once, so that its request is sent now, and lets it run on by itself.
pub(super) fn spawn_sent<F>(future: F)
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut future = Box::pin(future);
    if future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_pending() {
        drop(tokio::spawn(future));
    }
}
