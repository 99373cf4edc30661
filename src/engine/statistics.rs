//! What a pool counts from its start on: lock-free, of fixed size, read when JavaScript asks for it.
//!
//! `cluster::statistics` reports it, together with what each node and each failover has to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::engine::counter::Counter;
use crate::engine::histogram::Histogram;

/// The bytes of the protocol that have crossed connections, without those of TLS.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
}

/// Why work ran again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryCause {
    /// Its connection was lost, or the session had ended before the work was read.
    ConnectionLost,
    /// The server has ended the session: it shuts down, or has no room.
    SessionEnded,
    /// The node accepted no writes.
    Fenced,
    /// The node had not replayed the position that the read must see, or replay cancelled the read.
    Standby,
}

impl RetryCause {
    const NAMES: [&str; 4] = ["connectionLost", "sessionEnded", "fenced", "standby"];
}

/// What errors are counted by: the classes of SQLSTATE (PostgreSQL's appendix A), the codes of the client, and the rest.
const ERRORS: [&str; 65] = [
    "00",
    "01",
    "02",
    "03",
    "08",
    "09",
    "0A",
    "0B",
    "0F",
    "0L",
    "0P",
    "0Z",
    "10",
    "20",
    "21",
    "22",
    "23",
    "24",
    "25",
    "26",
    "27",
    "28",
    "2B",
    "2D",
    "2F",
    "34",
    "38",
    "39",
    "3B",
    "3D",
    "3F",
    "40",
    "42",
    "44",
    "53",
    "54",
    "55",
    "57",
    "58",
    "72",
    "F0",
    "HV",
    "P0",
    "XX",
    "ABORT_ERR",
    "ERR_ACQUIRE_TIMEOUT",
    "ERR_AUTH",
    "ERR_CONNECTION_LOST",
    "ERR_DECODE",
    "ERR_HEARTBEAT",
    "ERR_INTERNAL",
    "ERR_INVALID_PARAM",
    "ERR_LEASE_POOLER",
    "ERR_NO_PRIMARY",
    "ERR_NO_STANDBY",
    "ERR_OUTCOME_UNKNOWN",
    "ERR_PASSWORD",
    "ERR_POOL_CLOSED",
    "ERR_PROTOCOL",
    "ERR_RESULT_TOO_LARGE",
    "ERR_TLS",
    "ERR_TRANSACTION_ENDED",
    "ERR_TRANSACTION_OPEN",
    "ERR_COPY_IN_SCRIPT",
    "other",
];

/// A count for each of so many names.
#[derive(Debug)]
struct Counters<const COUNT: usize>([Counter; COUNT]);

impl<const COUNT: usize> Default for Counters<COUNT> {
    fn default() -> Self {
        Self([const { Counter::new() }; COUNT])
    }
}

impl<const COUNT: usize> Counters<COUNT> {
    /// The counts that are not 0, by their names.
    fn named(&self, names: &[&str; COUNT]) -> Map<String, Value> {
        let counted = names.iter().zip(&self.0).map(|(name, counter)| (*name, counter.get()));
        counted.filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count.into())).collect()
    }
}

/// The counts of a pool.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) queries: Counter,
    pub(crate) rows: Counter,
    errors: Counters<{ ERRORS.len() }>,
    retries: Counters<{ RetryCause::NAMES.len() }>,
    /// Errors whose outcome is unknown.
    pub(crate) unknown: Counter,
    pub(crate) begun: Counter,
    pub(crate) committed: Counter,
    pub(crate) rolled_back: Counter,
    /// How often a connection was asked for, and how often none was free at once.
    pub(crate) acquires: Counter,
    pub(crate) waits: Counter,
    /// How long those waited, in microseconds.
    wait: Histogram,
    waiting: AtomicUsize,
    pub(crate) fence_evictions: Counter,
    pub(crate) hedges: Counter,
    pub(crate) hedges_won: Counter,
    pub(crate) prepared_hits: Counter,
    pub(crate) prepared_misses: Counter,
    pub(crate) prepared_evictions: Counter,
}

impl Statistics {
    /// Counts an error by its code: a SQLSTATE by its class.
    pub(crate) fn count_error(&self, code: &str) {
        let name = if code.len() == 5 { code.get(..2).unwrap_or_default() } else { code };
        let index = ERRORS.iter().position(|known| *known == name).unwrap_or(ERRORS.len() - 1);
        self.errors.0[index].add(1);
    }

    pub(crate) fn count_retry(&self, cause: RetryCause) {
        self.retries.0[cause as usize].add(1);
    }

    /// How often work has run again.
    pub(crate) fn retried(&self) -> u64 {
        self.retries.0.iter().map(Counter::get).sum()
    }

    /// How much work waits for a connection now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The counts, as JSON.
    pub(crate) fn report(&self) -> Value {
        json!({
            "queries": self.queries.get(),
            "rows": self.rows.get(),
            "errors": self.errors.named(&ERRORS),
            "unknownOutcomes": self.unknown.get(),
            "transactions": {
                "begun": self.begun.get(),
                "committed": self.committed.get(),
                "rolledBack": self.rolled_back.get(),
            },
            "retries": self.retries.named(&RetryCause::NAMES),
            "acquires": self.acquires.get(),
            "waits": self.waits.get(),
            "wait": self.wait.report(),
            "fenceEvictions": self.fence_evictions.get(),
            "hedges": self.hedges.get(),
            "hedgesWon": self.hedges_won.get(),
            "prepared": {
                "hits": self.prepared_hits.get(),
                "misses": self.prepared_misses.get(),
                "evictions": self.prepared_evictions.get(),
            },
        })
    }
}

/// Work that waits for a connection, as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting {
    since: Instant,
    statistics: Arc<Statistics>,
}

impl Waiting {
    pub(crate) fn new(statistics: Arc<Statistics>) -> Self {
        statistics.waits.add(1);
        statistics.waiting.fetch_add(1, Ordering::Relaxed);
        Self { since: Instant::now(), statistics }
    }

    /// Ends the wait. Returns how long it was, in microseconds.
    pub(crate) fn end(self) -> u64 {
        self.since.elapsed().as_micros() as u64
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.statistics.waiting.fetch_sub(1, Ordering::Relaxed);
        self.statistics.wait.record(self.since.elapsed().as_micros() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_class_or_by_code() {
        let statistics = Statistics::default();
        for code in ["23505", "23503", "57014", "ERR_NO_PRIMARY", "ABORT_ERR", "MY001", "NOBODY_KNOWS_IT"] {
            statistics.count_error(code);
        }
        let expected = json!({ "23": 2, "57": 1, "ERR_NO_PRIMARY": 1, "ABORT_ERR": 1, "other": 2 });
        assert_eq!(statistics.report()["errors"], expected);
    }

    #[test]
    fn work_waits_as_long_as_its_guard_lives() {
        let statistics = Arc::new(Statistics::default());
        let waiting = Waiting::new(statistics.clone());
        let other = Waiting::new(statistics.clone());
        assert_eq!(statistics.waiting(), 2);
        drop(waiting);
        other.end();
        assert_eq!((statistics.waiting(), statistics.waits.get()), (0, 2));
        assert_eq!(statistics.report()["wait"]["count"], 2);
    }
}
