//! How many of a node's reads fail.

use crate::cluster::balance::decay::kept;

/// The share of reads that failed of late, each weighted by its age. It counts as if one read more had succeeded just
/// now: so one failure of one read is no rate of 1, and a rate falls while nothing is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ErrorRate {
    failed: f64,
    all: f64,
    updated_us: u64,
}

impl ErrorRate {
    pub(crate) fn succeeded(&mut self, now_us: u64) {
        self.count(now_us, 0.0);
    }

    pub(crate) fn failed(&mut self, now_us: u64) {
        self.count(now_us, 1.0);
    }

    /// From 0 to 1.
    pub(crate) fn value(&self, now_us: u64) -> f64 {
        let kept = kept(self.updated_us, now_us);
        self.failed * kept / (self.all * kept + 1.0)
    }

    fn count(&mut self, now_us: u64, failed: f64) {
        let kept = kept(self.updated_us, now_us);
        self.failed = self.failed * kept + failed;
        self.all = self.all * kept + 1.0;
        self.updated_us = self.updated_us.max(now_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads at even distances over `seconds`, of which each `every`th fails; then `idle` seconds without reads.
    fn rate(reads: u64, seconds: u64, every: u64, idle: u64) -> f64 {
        let mut rate = ErrorRate::default();
        for read in 1..=reads {
            let now = seconds * 1_000_000 * read / reads;
            if read % every == 0 { rate.failed(now) } else { rate.succeeded(now) }
        }
        rate.value((seconds + idle) * 1_000_000)
    }

    #[test]
    fn the_rate_follows_the_failures_of_the_last_seconds() {
        let table = [
            ("no reads", rate(0, 0, 1, 0), 0.0),
            ("none fails", rate(1000, 10, 5000, 0), 0.0),
            ("every tenth fails", rate(10_000, 60, 10, 0), 0.1),
            ("all fail", rate(10_000, 10, 1, 0), 1.0),
            ("one read that failed", rate(1, 1, 1, 0), 0.5),
            ("half a minute later", rate(1, 1, 1, 30), 0.047),
            ("all failed, a minute ago", rate(10_000, 10, 1, 120), 0.04),
        ];
        for (name, rate, expected) in table {
            assert!((rate - expected).abs() <= 0.01, "{name}: {rate}");
        }
    }

    #[test]
    fn successes_outweigh_failures_that_are_older() {
        let mut rate = ErrorRate::default();
        (0..100).for_each(|_| rate.failed(0));
        (0..100).for_each(|_| rate.succeeded(20_000_000));
        let value = rate.value(20_000_000);
        assert!((0.10..0.14).contains(&value), "{value}");
    }
}
