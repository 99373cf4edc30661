//! The latency of a node, as a moving average that takes peaks at once.

use crate::cluster::balance::decay::{TAU, kept};

/// After so long without an observation the latency is not known any more: what is left of it says nothing.
const FORGOTTEN: u64 = 3 * TAU;

/// A peak EWMA: a latency above the average is taken at once, one below it moves the average slowly. So a node that gets
/// slow loses its reads at once, and a node that was slow gets them back with care. While nothing is observed the value
/// falls, so that a node that gets no reads because it was slow is tried again.
///
/// After Finagle (finagle-core, loadbalancer/PeakEwma.scala). There the value falls to nearly nothing in time, and a burst
/// after a pause would run on the node with the oldest observation; here an old one is forgotten, and a node of unknown
/// latency is tried by one read.
///
/// Only answers are observed. A failure is often quicker than any answer, and would make the node look good.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeakEwma {
    /// In microseconds; 0: nothing was observed.
    value: f64,
    updated_us: u64,
}

impl PeakEwma {
    pub(crate) fn observe(&mut self, now_us: u64, rtt_us: f64) {
        let kept = kept(self.updated_us, now_us);
        self.value = if rtt_us > self.value || self.is_forgotten(now_us) {
            rtt_us
        } else {
            self.value * kept + rtt_us * (1.0 - kept)
        };
        self.updated_us = self.updated_us.max(now_us);
    }

    /// In microseconds; 0: not known.
    pub(crate) fn value(&self, now_us: u64) -> f64 {
        if self.is_forgotten(now_us) { 0.0 } else { self.value * kept(self.updated_us, now_us) }
    }

    fn is_forgotten(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.updated_us) > FORGOTTEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// Observations (second, microseconds), the second of the question, the value.
    type Row = (&'static str, Vec<(u64, f64)>, u64, f64);

    #[test]
    fn the_value_after_a_row_of_observations() {
        let table: Vec<Row> = vec![
            ("nothing is known", vec![], 5, 0.0),
            ("the first latency is taken", vec![(100, 400.0)], 100, 400.0),
            ("a higher one is taken at once", vec![(1, 400.0), (1, 9000.0)], 1, 9000.0),
            ("a lower one at the same time changes nothing", vec![(1, 9000.0), (1, 400.0)], 1, 9000.0),
            ("a lower one after 10 s: 1/e is left", vec![(1, 9000.0), (11, 1000.0)], 11, 3943.0),
            ("nothing for 10 s: 1/e is left", vec![(1, 1000.0)], 11, 367.9),
            ("nothing for 30 s: 1/e^3 is left", vec![(1, 1000.0)], 31, 49.8),
            ("nothing for longer: forgotten", vec![(1, 1000.0)], 32, 0.0),
            ("what was forgotten does not count", vec![(1, 9000.0), (40, 400.0)], 40, 400.0),
            ("a time that goes backwards changes no weight", vec![(5, 1000.0), (2, 10.0)], 5, 1000.0),
        ];
        for (name, observations, at, expected) in table {
            let mut latency = PeakEwma::default();
            for (second, rtt) in observations {
                latency.observe(second * SECOND, rtt);
            }
            let value = latency.value(at * SECOND);
            assert!((value - expected).abs() <= 0.1, "{name}: {value}");
        }
    }

    #[test]
    fn after_a_peak_the_value_falls_to_what_is_observed_and_not_below() {
        let mut latency = PeakEwma::default();
        latency.observe(0, 50_000.0);
        for tick in 1..=60_000 {
            latency.observe(tick * 1_000, 500.0);
        }
        let value = latency.value(60 * SECOND);
        assert!((500.0..650.0).contains(&value), "{value}");
    }
}
