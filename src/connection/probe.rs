//! Asks a node for its role, timeline and position.

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::{OptionFuture, try_join};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::connection::failure::{HostFailure, describe};

/// Asks for role, writability, timeline and position in one flight. The first 8 hex digits of a WAL file's name are the
/// timeline; `pg_control_checkpoint()` would be out of date after a promotion.
const PROBE: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
    pg_catalog.current_setting('default_transaction_read_only'), \
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL \
    ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END, \
    CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
    ELSE pg_catalog.pg_current_wal_lsn() END, \
    pg_catalog.current_setting('statement_timeout'), pg_catalog.pg_backend_pid(), \
    (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::pg_catalog.int8";

/// Asks which cluster the node belongs to, and for the highest timeline that the control file and the WAL receiver of a
/// standby name. (The WAL receiver is visible to privileged roles only.) That timeline may be out of date.
const CONTROL: &str = "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
    greatest((SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()), \
    (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()), \
    (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver))";

/// The role of a session's node: the two parameters that PostgreSQL reports by `ParameterStatus` since version 14.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    /// `in_hot_standby`, or `pg_is_in_recovery()`.
    pub(crate) in_recovery: bool,
    /// `default_transaction_read_only`. On a standby it is usually `off`, although the standby is read-only.
    pub(crate) read_only: bool,
}

impl Role {
    /// Whether sessions of the node can write.
    pub(crate) fn is_writable(self) -> bool {
        !self.in_recovery && !self.read_only
    }
}

/// The answer of a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// When the node was asked.
    pub(crate) asked: Instant,
    pub(crate) role: Role,
    /// The timeline that a primary writes, or that a standby follows, if it is known.
    pub(crate) timeline: Option<u32>,
    pub(crate) lsn: Option<u64>,
    /// The time of the round trip; None: the node was not asked for this observation.
    pub(crate) latency: Option<Duration>,
    /// The server's clock, in milliseconds since 1970.
    pub(crate) server_clock: Option<i64>,
    /// The cluster's system identifier, if the session has the right to ask for it.
    pub(crate) identity: Option<u64>,
}

/// A value of a row of a simple query; None: it is NULL, it is not UTF-8, or there is no such column.
/// (`SimpleQueryRow::get` would panic.)
pub(crate) fn cell(row: &SimpleQueryRow, column: usize) -> Option<&str> {
    row.try_get(column).ok().flatten()
}

/// Why a probe has failed.
#[derive(Debug)]
pub(crate) enum ProbeFailure {
    Failed(tokio_postgres::Error),
    /// The answer cannot be read.
    Unreadable,
}

impl From<tokio_postgres::Error> for ProbeFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error)
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(&describe(error)),
            Self::Unreadable => f.write_str("the server does not say what it is when it is asked"),
        }
    }
}

impl From<ProbeFailure> for HostFailure {
    fn from(failure: ProbeFailure) -> Self {
        match failure {
            ProbeFailure::Failed(error) => error.into(),
            ProbeFailure::Unreadable => Self::Confused(failure.to_string()),
        }
    }
}

pub(crate) fn first_row(messages: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

/// `16/B374D848` as a number.
pub(crate) fn parse_lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some((u64::from_str_radix(high, 16).ok()? << 32) | u64::from_str_radix(low, 16).ok()?)
}

/// The timeline of a WAL file: the first 8 hex digits of its name.
pub(crate) fn timeline_of(file: &str) -> Option<u32> {
    u32::from_str_radix(file.get(..8)?, 16).ok()
}

impl Probe {
    pub(crate) fn is_writable(&self) -> bool {
        self.role.is_writable()
    }
}

/// What [`send_probe`] returns.
pub(crate) struct ProbeAnswer {
    pub(crate) probe: Probe,
    /// Whether the session has a `statement_timeout`.
    pub(crate) limits_statements: bool,
    /// Whether the session has the right to ask for [`CONTROL`].
    pub(crate) may_read_control: bool,
    /// The process that answered.
    pub(crate) pid: Option<u32>,
}

/// Whether a right or a function is missing.
fn may_not(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| ["42", "0A"].iter().any(|class| code.code().starts_with(class)))
}

/// Probes a node in one flight. `may_read_control`: whether to send [`CONTROL`], too.
pub(crate) async fn send_probe(client: &Client, may_read_control: bool) -> Result<ProbeAnswer, ProbeFailure> {
    let started = Instant::now();
    let told = async {
        let told = client.simple_query(PROBE).await?;
        Ok::<_, tokio_postgres::Error>((told, started.elapsed()))
    };
    // A query of its own: a managed service may have revoked the right to ask, and the other query must not fail with
    // it.
    let control = async { Ok(OptionFuture::from(may_read_control.then(|| client.simple_query(CONTROL))).await) };
    let ((told, latency), control) = try_join(told, control).await?;
    let row = first_row(&told);
    let text = |column: usize| row.and_then(|row| cell(row, column));
    let in_recovery = match text(0) {
        Some("t") => true,
        Some("f") => false,
        _ => return Err(ProbeFailure::Unreadable),
    };
    let read_only = match text(1) {
        Some("on") => true,
        Some("off") => false,
        _ => return Err(ProbeFailure::Unreadable),
    };
    let role = Role { in_recovery, read_only };
    let writes = text(2).and_then(timeline_of);
    let control = match control {
        Some(Err(error)) if !may_not(&error) => return Err(error.into()),
        control => control.and_then(Result::ok),
    };
    let may_read_control = control.is_some();
    let control = control.as_ref().and_then(|rows| first_row(rows));
    let follows = control.and_then(|row| cell(row, 1)?.parse().ok());
    let probe = Probe {
        asked: started,
        role,
        timeline: if role.in_recovery { follows } else { writes },
        lsn: text(3).and_then(parse_lsn),
        latency: Some(latency),
        server_clock: text(6).and_then(|clock| clock.parse().ok()),
        identity: control.and_then(|row| cell(row, 0)?.parse().ok()),
    };
    let pid = text(5).and_then(|pid| pid.parse().ok());
    Ok(ProbeAnswer { probe, limits_statements: text(4) != Some("0"), may_read_control, pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsn_texts() {
        assert_eq!(parse_lsn("0/0"), Some(0));
        assert_eq!(parse_lsn("16/B374D848"), Some(0x16_B374_D848));
        assert_eq!(parse_lsn("no position"), None);
    }
}
