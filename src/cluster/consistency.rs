//! Consistency tokens: a position in the write-ahead log of a cluster, as a short text.
//!
//! A token names the system, the timeline and a position that is at or after the end of the last COMMIT record. A
//! standby that has replayed this position shows that commit. A position alone would not do: after a failover the new
//! primary's log goes on from where the old one's was left, so the same number may stand for other contents. A token of
//! a timeline that was left behind is therefore answered by the primary only.

use std::fmt;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::connection::probe::{cell, first_row, parse_lsn, timeline_of};

/// Asks for the position behind everything that the primary has committed, and for its timeline: the first 8 hex digits
/// of a WAL file's name. The position is the one of the next insert, because with synchronous_commit=off a commit is
/// answered before its record is written.
const POSITION: &str = "SELECT pg_catalog.pg_current_wal_insert_lsn(), \
    pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), pg_catalog.current_setting('wal_block_size')";

/// The size of a WAL page's header (xlog_internal.h: SizeOfXLogShortPHD). The first page of a segment has a larger one,
/// which this file leaves alone: a token there is a few bytes late.
const PAGE_HEADER: u64 = 24;

/// A position in the write-ahead log of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConsistencyToken {
    /// The cluster's system identifier; 0: the session that was asked may not read it.
    pub(crate) system: u64,
    pub(crate) timeline: u32,
    pub(crate) lsn: u64,
}

impl ConsistencyToken {
    /// `insert_lsn`: the position of the next record on a primary. When the last record ends with a page, the next one
    /// begins behind the header of the next page; a standby says then that it has replayed up to the end of the last
    /// record. So the header does not count.
    fn new(system: u64, timeline: u32, insert_lsn: u64, page: u64) -> Self {
        let is_behind_header = insert_lsn.checked_rem(page) == Some(PAGE_HEADER);
        Self { system, timeline, lsn: if is_behind_header { insert_lsn - PAGE_HEADER } else { insert_lsn } }
    }

    /// Asks a session of a primary for the token of this moment. The request is sent when the future is first polled.
    /// None: the answer has no position.
    pub(crate) async fn ask(client: &Client, system: u64) -> Result<Option<Self>, tokio_postgres::Error> {
        let answer = client.simple_query(POSITION).await?;
        let Some(row) = first_row(&answer) else { return Ok(None) };
        let timeline = cell(row, 1).and_then(timeline_of);
        let page = cell(row, 2).and_then(|size| size.parse().ok());
        let lsn = cell(row, 0).and_then(parse_lsn);
        Ok((|| Some(Self::new(system, timeline?, lsn?, page?)))())
    }

    /// Whether this answer to `ask` says that the node is a standby ("recovery is in progress").
    pub(crate) fn is_of_standby(error: &tokio_postgres::Error) -> bool {
        error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
    }

    /// Reads the text of a token. None: it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(|part| {
            let is_hex = part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            (is_hex && part.len() <= 16).then(|| u64::from_str_radix(part, 16).ok()).flatten()
        });
        let (system, timeline, lsn) = (parts.next()??, parts.next()??, parts.next()??);
        let timeline = u32::try_from(timeline).ok()?;
        parts.next().is_none().then_some(Self { system, timeline, lsn })
    }
}

impl fmt::Display for ConsistencyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.system, self.timeline, self.lsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_tokens() {
        let token = ConsistencyToken { system: u64::MAX, timeline: 3, lsn: 0x16_B374_D848 };
        assert_eq!(token.to_string(), "ffffffffffffffff-3-16b374d848");
        assert_eq!(ConsistencyToken::parse(&token.to_string()), Some(token));
        let bad = ["", "1", "1-2", "1-2-3-4", "1-2-", "g-1-1", "1-1ffffffff-1", "1--1-1", "+1-1-1", "1-1-F", " 1-1-1"];
        for text in bad {
            assert_eq!(ConsistencyToken::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_header_of_a_page_does_not_count() {
        let table = [
            (0x300_2018, 8192, 0x300_2000),
            (0x300_0028, 8192, 0x300_0028),
            (0x300_0100, 8192, 0x300_0100),
            (0x300_2018, 16384, 0x300_2018),
        ];
        for (insert, page, expected) in table {
            assert_eq!(ConsistencyToken::new(1, 1, insert, page).lsn, expected, "{insert:x}");
        }
    }
}
