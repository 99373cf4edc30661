//! How a node answers the reads of a pool: its latency, its failures, and whether it is left alone for a while.

use std::time::Duration;

use crate::cluster::balance::{Admission, ErrorRate, Outlier, PeakEwma};

#[derive(Debug)]
pub(crate) struct ReadHealth {
    latency: PeakEwma,
    errors: ErrorRate,
    outlier: Outlier,
}

impl ReadHealth {
    pub(super) fn new(slow_start: Duration) -> Self {
        Self {
            latency: PeakEwma::default(),
            errors: ErrorRate::default(),
            outlier: Outlier::new(slow_start.as_micros() as u64),
        }
    }

    /// The node has answered a read, at `now`, after so many microseconds; 0: that says nothing about its speed.
    pub(super) fn answered(&mut self, now: u64, rtt_us: u64) {
        if rtt_us > 0 {
            self.latency.observe(now, rtt_us as f64);
        }
        self.errors.succeeded(now);
        self.outlier.succeeded(now);
    }

    /// The node had not answered a read after so many microseconds, when the caller gave up.
    pub(super) fn took(&mut self, now: u64, rtt_us: u64) {
        if rtt_us as f64 > self.latency.value(now) {
            self.latency.observe(now, rtt_us as f64);
        }
    }

    /// A read could not be sent, or was lost with its connection. `jitter`: a random number from 0 to 1.
    pub(super) fn failed(&mut self, now: u64, jitter: f64) {
        self.errors.failed(now);
        self.outlier.failed(now, jitter);
    }

    pub(super) fn admission(&self, now: u64) -> Admission {
        self.outlier.admission(now)
    }

    /// The next read shows whether the node is well again.
    pub(super) fn begin_probe(&mut self, now: u64) {
        self.outlier.begin_probe(now);
    }

    pub(super) fn latency_us(&self, now: u64) -> f64 {
        self.latency.value(now)
    }

    pub(super) fn error_rate(&self, now: u64) -> f64 {
        self.errors.value(now)
    }
}
