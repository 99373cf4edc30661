//! How many reads may be sent to a second node, too.

use std::sync::Mutex;

use crate::engine::lock;

/// At most so many reads are sent twice at once after a quiet time.
const BURST: f64 = 10.0;

/// A token bucket: each read adds the share, each second sending takes 1. So at most this share of reads is sent twice.
#[derive(Debug)]
pub(super) struct HedgeBudget {
    share: f64,
    saved: Mutex<f64>,
}

impl HedgeBudget {
    pub(super) fn new(share: f64) -> Self {
        Self { share, saved: Mutex::new(0.0) }
    }

    pub(super) fn note_read(&self) {
        let mut saved = lock(&self.saved);
        *saved = (*saved + self.share).min(BURST);
    }

    /// Whether one more read may be sent twice.
    pub(super) fn take(&self) -> bool {
        let mut saved = lock(&self.saved);
        // Twenty shares of 0.05 add up to a little less than 1.
        let may = *saved > 1.0 - 1e-9;
        if may {
            *saved -= 1.0;
        }
        may
    }

    /// A read was not sent twice after all.
    pub(super) fn give_back(&self) {
        *lock(&self.saved) += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_the_share_of_the_reads_is_sent_twice() {
        for (share, reads, most) in [(0.05, 1_000, 50), (1.0, 100, 100), (0.0, 100, 0), (0.05, 19, 0), (0.05, 20, 1)] {
            let budget = HedgeBudget::new(share);
            let mut taken = 0;
            for _ in 0..reads {
                budget.note_read();
                taken += i32::from(budget.take());
            }
            assert_eq!(taken, most, "{share} of {reads}");
        }
    }

    #[test]
    fn what_is_saved_is_bounded() {
        let budget = HedgeBudget::new(0.5);
        (0..1_000).for_each(|_| budget.note_read());
        assert_eq!((0..100).filter(|_| budget.take()).count(), 10);
        budget.give_back();
        assert!(budget.take() && !budget.take());
    }
}
