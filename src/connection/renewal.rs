//! How the lease of a session is renewed.
//!
//! A renewal and a kill exclude each other by an advisory lock on the session's process: the reaper takes the lock
//! before it looks at the lease for the last time, and holds it until its transaction ends. So a session that has got
//! the answer to its renewal is not ended for the lease that it had before. A renewal that does not get the lock is not
//! carried out: the session is about to end.

use std::fmt;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::connection::connection::Connection;
use crate::connection::failure::{HostFailure, describe};
use crate::connection::lease::{Leases, SessionLease};
use crate::connection::notices::EventSink;
use crate::connection::probe::{Probe, cell, first_row};
use crate::connection::server_clock::ClockReading;
use crate::error::ServerError;

/// Why a lease was not renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeaseFailure {
    /// The session has ended, or is about to.
    Ended(String),
    /// The server has not answered in time, or has refused.
    Refused(String),
}

impl fmt::Display for LeaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(reason) | Self::Refused(reason) => f.write_str(reason),
        }
    }
}

/// Whether something was sent ahead of a renewal, for whose answer it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SentAhead {
    Nothing,
    /// It may take long.
    Something,
}

/// Both arguments of the lock, as lib/api/reaper.js has them: a number of this client's own, and the process.
const RENEWAL_LOCK: i32 = 1_346_847_058;

fn slow(limit: Duration) -> LeaseFailure {
    LeaseFailure::Refused(format!("no answer within {} ms (heartbeatTimeoutMs)", limit.as_millis()))
}

fn renewal_sql(name: &str) -> String {
    // No character of a name needs quoting: lib/values/lease.js allows none that does.
    format!(
        "SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock({RENEWAL_LOCK}, pg_catalog.pg_backend_pid()) \
        THEN pg_catalog.set_config('application_name', '{name}', false) END, \
        (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::pg_catalog.int8"
    )
}

impl Connection {
    /// Takes over the lease with which the session has logged in, and corrects it if this machine's clock is wrong.
    pub(super) async fn begin_lease(
        &mut self,
        lease: SessionLease,
        probe: &Probe,
        event_sink: &EventSink,
    ) -> Result<(), HostFailure> {
        if self.is_pooled() {
            return self.go_without_lease(lease.leases(), event_sink).await;
        }
        self.session_state.keep_application_name();
        if let Some(server) = probe.server_clock {
            let at = ClockReading::of(probe.asked);
            self.endpoint.server_clock.note(server, at);
            lease.note_clock(server, at);
        }
        if lease.has_wrong_length() {
            let renewed = self.send_renewal(&lease, Some(lease.leases().times.timeout)).await;
            renewed.map_err(|failure| HostFailure::Unreachable(failure.to_string()))?;
        }
        self.lease = Some(lease);
        Ok(())
    }

    /// A pooler gives its sessions to all its clients in turn: they must not carry the lease of one.
    async fn go_without_lease(&self, leases: &Leases, event_sink: &EventSink) -> Result<(), HostFailure> {
        if leases.required {
            return Err(HostFailure::NoLease);
        }
        if leases.begin_announcing_pooler() {
            // Such an event is too rare to wait for room.
            drop(event_sink(json!({ "event": "lease", "type": "off", "node": self.endpoint.label() })));
        }
        let name = leases.plain_name().replace('\'', "''");
        self.client.batch_execute(&format!("SET application_name = '{name}'")).await.map_err(HostFailure::from)
    }

    /// Whether the server had little room left for more sessions at the login of this one.
    pub(crate) fn has_found_crowd(&self) -> bool {
        self.found_crowd
    }

    pub(crate) fn has_lease(&self) -> bool {
        self.lease.is_some()
    }

    /// Whether a RESET takes the lease from the session: it gives back the lease of the login.
    pub(crate) fn loses_lease_by_reset(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| !lease.is_of_login())
    }

    /// Whether the lease has to be renewed, or put back because the session has another name.
    pub(crate) fn lease_is_due(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_due() || self.has_lost_lease(lease))
    }

    /// Whether the lease has to be renewed before the session is used again.
    pub(crate) fn lease_runs_out(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.has_less_than(lease.leases().times.hard))
    }

    fn has_lost_lease(&self, lease: &SessionLease) -> bool {
        self.session_state.has_other_application_name(&lease.name())
    }

    /// Keeps the lease of a session whose user looks at it now and then; a failure shows at its next use.
    pub(crate) async fn keep_lease(&self) {
        if self.lease_is_due() {
            drop(self.renew_due_lease().await);
        }
    }

    /// Renews the lease if it is due, and another renewal has not done so meanwhile. None: it was not due. Nothing that takes
    /// long must run on the session, and no transaction be open.
    pub(crate) async fn renew_due_lease(&self) -> Option<Result<(), LeaseFailure>> {
        let lease = self.lease.as_ref()?;
        let limit = lease.leases().times.timeout;
        // One that stands behind other statements has no limit of its own: those may take long.
        let Ok(_turn) = timeout(limit, lease.begin_renewal()).await else { return Some(Err(slow(limit))) };
        if !self.lease_is_due() || self.session_state.is_in_block() {
            return None;
        }
        Some(self.send_renewal(lease, Some(limit)).await)
    }

    /// Renews the lease: sends at once when it is first polled, or never. None: another renewal is under way, or a
    /// transaction is open.
    pub(crate) async fn renew_lease_now(&self, ahead: SentAhead) -> Option<Result<(), LeaseFailure>> {
        let lease = self.lease.as_ref()?;
        let _turn = lease.try_begin_renewal()?;
        if self.session_state.is_in_block() {
            return None;
        }
        let limit = lease.leases().times.timeout;
        Some(self.send_renewal(lease, (ahead == SentAhead::Nothing).then_some(limit)).await)
    }

    /// Whether a renewal that has been sent, with nothing else ahead of it any more, gets no answer in time.
    pub(crate) async fn renewal_is_stuck(&self) -> Option<LeaseFailure> {
        let lease = self.lease.as_ref()?;
        let limit = lease.leases().times.timeout;
        timeout(limit, lease.begin_renewal()).await.is_err().then(|| slow(limit))
    }

    async fn send_renewal(&self, lease: &SessionLease, limit: Option<Duration>) -> Result<(), LeaseFailure> {
        let at = ClockReading::now();
        let (name, expires) = lease.next();
        let sql = renewal_sql(&name);
        let sent = self.client.simple_query(&sql);
        let answered = match limit {
            None => sent.await,
            Some(limit) => timeout(limit, sent).await.map_err(|_| slow(limit))?,
        };
        let messages = answered.map_err(|error| self.renewal_failure(&error))?;
        let row = first_row(&messages);
        if row.and_then(|row| cell(row, 0)).is_none() {
            return Err(LeaseFailure::Ended("a reaper is ending the session, because its lease had expired".into()));
        }
        lease.note_renewed(name, expires);
        // A lease that this clock shows to be wrong is due again.
        if let Some(server) = row.and_then(|row| cell(row, 1)?.parse().ok()) {
            self.endpoint.server_clock.note(server, at);
            lease.note_clock(server, at);
        }
        Ok(())
    }

    fn renewal_failure(&self, error: &tokio_postgres::Error) -> LeaseFailure {
        // The end of the session is the answer to the renewal: nobody else reads why.
        if error.as_db_error().is_some_and(|error| ServerError::from(error).ends_session) {
            self.break_off(describe(error));
        }
        let has_ended = self.is_closed();
        if has_ended { LeaseFailure::Ended(self.loss_reason()) } else { LeaseFailure::Refused(describe(error)) }
    }
}
