//! How far standbys have replayed the primary's log, and the reads that wait for one to replay a position.
//!
//! Reads that must see a commit wait in one queue of the cluster, ordered by position. While the queue is not empty, one
//! watcher a node (`replay_watch`) asks for the node's position, however many reads wait.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::oneshot;
use tokio_postgres::Client;

use crate::connection::connection::Connection;
use crate::connection::probe::{cell, first_row, parse_lsn, timeline_of};
use crate::engine::lock;

/// Asks a session for its place in the log: how far a standby has replayed; of a primary, the timeline that it writes.
const PLACE: &str = "SELECT pg_catalog.pg_last_wal_replay_lsn(), CASE WHEN NOT pg_catalog.pg_is_in_recovery() \
    THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END";

/// A position that was asked for so recently, in microseconds, is not asked for again by a read.
const FRESH: u64 = 20_000;

/// Where a session's server is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogPlace {
    /// It is a standby that has replayed up to this position.
    Replayed(u64),
    /// It is a primary that writes this timeline.
    Writes(u32),
}

impl LogPlace {
    /// Asks a session. The request is sent when the future is first polled. None: the answer cannot be read.
    pub(crate) async fn ask(client: &Client) -> Result<Option<Self>, tokio_postgres::Error> {
        let answer = client.simple_query(PLACE).await?;
        let Some(row) = first_row(&answer) else { return Ok(None) };
        let writes = cell(row, 1).and_then(timeline_of).map(Self::Writes);
        Ok(writes.or_else(|| cell(row, 0).and_then(parse_lsn).map(Self::Replayed)))
    }
}

/// Whether a node has replayed a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Reached,
    /// It had not when it was last asked, but that was a while ago.
    Perhaps,
    NotYet,
}

/// What is known of a standby's replay.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// 0: unknown.
    lsn: AtomicU64,
    /// When it was last asked for, by [`clock`].
    at: AtomicU64,
    pub(super) is_watched: AtomicBool,
    is_closed: AtomicBool,
    /// The watcher's connection, kept for the next time.
    pub(super) idle: Mutex<Option<Connection>>,
}

impl Replay {
    /// The standby has replayed up to this position.
    pub(crate) fn note(&self, lsn: u64, now: u64) {
        self.lsn.fetch_max(lsn, Ordering::Relaxed);
        self.at.store(now, Ordering::Relaxed);
    }

    /// The node is down or no standby any more.
    pub(super) fn forget(&self) {
        self.lsn.store(0, Ordering::Relaxed);
        self.at.store(0, Ordering::Relaxed);
    }

    pub(super) fn reach(&self, lsn: u64, now: u64) -> Reach {
        if self.lsn.load(Ordering::Relaxed) >= lsn {
            Reach::Reached
        } else if now.saturating_sub(self.at.load(Ordering::Relaxed)) > FRESH {
            Reach::Perhaps
        } else {
            Reach::NotYet
        }
    }

    /// Closes the watcher's connection, or lets its watcher close it.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        drop(lock(&self.idle).take());
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

/// The reads that wait for a position, in the order of their positions.
#[derive(Debug, Default)]
pub(super) struct ReplayQueue {
    waiting: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    next: u64,
}

impl ReplayQueue {
    pub(super) fn add(&mut self, lsn: u64) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.next += 1;
        self.waiting.insert((lsn, self.next), sender);
        receiver
    }

    /// Wakes those whose position was reached. True: there were some.
    pub(super) fn reach(&mut self, lsn: u64) -> bool {
        let later = self.waiting.split_off(&(lsn.saturating_add(1), 0));
        let reached = std::mem::replace(&mut self.waiting, later);
        !reached.is_empty() && {
            for waiting in reached.into_values() {
                let _ = waiting.send(());
            }
            true
        }
    }

    /// Whether nobody waits any more.
    pub(super) fn is_idle(&mut self) -> bool {
        self.waiting.retain(|_, waiting| !waiting.is_closed());
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_wakes_those_who_wait_for_it_or_an_earlier_one() {
        let mut queue = ReplayQueue::default();
        let mut receivers: Vec<_> = [30, 10, 20, 10].into_iter().map(|lsn| queue.add(lsn)).collect();
        let mut woken = |queue: &mut ReplayQueue, lsn| {
            let any = queue.reach(lsn);
            (any, receivers.iter_mut().map(|receiver| receiver.try_recv().is_ok()).collect::<Vec<_>>())
        };
        assert_eq!(woken(&mut queue, 9), (false, vec![false; 4]));
        assert_eq!(woken(&mut queue, 10), (true, vec![false, true, false, true]));
        assert_eq!(woken(&mut queue, 25), (true, vec![false, false, true, false]));
        assert!(!queue.is_idle());
        receivers.clear();
        assert!(queue.is_idle(), "nobody waits for the rest");
    }

    #[test]
    fn what_is_known_of_a_replay() {
        let replay = Replay::default();
        assert_eq!(replay.reach(1, FRESH * 2), Reach::Perhaps);
        replay.note(100, 1_000_000);
        assert_eq!(replay.reach(100, 9_000_000), Reach::Reached);
        assert_eq!(replay.reach(101, 1_000_000 + FRESH), Reach::NotYet);
        assert_eq!(replay.reach(101, 1_000_001 + FRESH), Reach::Perhaps);
        replay.forget();
        assert_eq!(replay.reach(100, 9_000_000), Reach::Perhaps);
    }
}
