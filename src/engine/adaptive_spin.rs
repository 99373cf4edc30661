//! Keeps the I/O thread awake while there is much to do.
//!
//! A thread that sleeps takes 25 to 50 us to wake, and a statement that is alone in flight wakes the I/O thread twice:
//! that is as much time as all other steps of the statement take together. So after each activity the thread polls for
//! 200 us before it sleeps, and yields to all other threads at each poll. It does so only while that pays: when most
//! waits have ended within that time, and no other thread keeps the processor busy. Measured with one statement in
//! flight: half the latency at the same CPU time for each statement; with ten transactions in flight: 1.09 times the
//! throughput of a thread that stays awake for 100 us, at the same CPU time.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::engine::clock;

/// How long to poll, in microseconds: four times the time of a small statement on a server in the same rack. A few
/// transactions in flight leave waits of 100 to 200 us. With 300 no load that was measured is faster, and statements that
/// come at 2,000 a second cost twice the CPU time.
const MOMENT: u64 = 200;
/// A yield that took longer, in microseconds, has run another thread that wants the processor for itself: a thread that
/// sleeps gets the processor back sooner than one that yields.
const AWAY: u64 = 500;
/// How long, in microseconds, the thread does not poll after such a yield; the pause doubles each time, up to the
/// longest.
const PAUSE: u64 = 10_000;
const LONGEST_PAUSE: u64 = 100_000;
/// After so many polls without such a yield the pause is short again.
const GOOD_POLLS: u32 = 2_000;
/// A share of 100 %.
const ALL: u32 = 1 << 16;
/// The share of waits that must be short.
const MOST: u32 = ALL / 8 * 6;

/// When there was activity last, and how often it comes soon after the one before.
#[derive(Debug)]
pub(crate) struct AdaptiveSpin {
    last_activity: AtomicU64,
    /// The share of waits that were short; the last ones count most.
    short: AtomicU32,
    /// The thread does not poll before this time.
    resumes: AtomicU64,
    activity: Notify,
}

/// Of the I/O thread.
pub(crate) static ADAPTIVE_SPIN: AdaptiveSpin = AdaptiveSpin::new();

impl AdaptiveSpin {
    const fn new() -> Self {
        Self {
            last_activity: AtomicU64::new(0),
            short: AtomicU32::new(0),
            resumes: AtomicU64::new(0),
            activity: Notify::const_new(),
        }
    }

    /// To be called when JavaScript hands in work, or is woken to take some.
    pub(crate) fn note_activity(&self) {
        let now = clock();
        let waited = now.saturating_sub(self.last_activity.swap(now, Ordering::Relaxed));
        let short = updated_share(self.short.load(Ordering::Relaxed), waited < MOMENT);
        self.short.store(short, Ordering::Relaxed);
        if short > MOST && now >= self.resumes.load(Ordering::Relaxed) {
            self.activity.notify_one();
        }
    }

    fn is_fresh(&self) -> bool {
        clock().saturating_sub(self.last_activity.load(Ordering::Relaxed)) < MOMENT
    }

    /// Keeps the thread on which it is polled awake. Never ends.
    pub(super) async fn stay_awake(&self) {
        if std::thread::available_parallelism().map_or(1, usize::from) == 1 {
            // The thread that could end the wait needs the only processor.
            std::future::pending::<()>().await;
        }
        let (mut pause, mut polls) = (PAUSE, 0);
        loop {
            self.activity.notified().await;
            while self.is_fresh() {
                let before = clock();
                std::thread::yield_now();
                let after = clock();
                if after - before > AWAY {
                    self.resumes.store(after + pause, Ordering::Relaxed);
                    (pause, polls) = ((pause * 2).min(LONGEST_PAUSE), 0);
                    break;
                }
                polls += 1;
                if polls == GOOD_POLLS {
                    (pause, polls) = (PAUSE, 0);
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

fn updated_share(short: u32, is_short: bool) -> u32 {
    short - short / 8 + if is_short { ALL / 8 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_stays_awake_while_most_waits_are_short() {
        let after = |waits: &[bool]| waits.iter().fold(0, |short, &is_short| updated_share(short, is_short));
        let often = |pattern: &[bool]| pattern.repeat(50);
        // Whether each wait was short, and whether the thread stays awake.
        let table = [
            (often(&[true]), true),
            (often(&[true, true, true, true, true, true, true, false]), true),
            (often(&[true, true, true, false]), false),
            (often(&[true, false]), false),
            (often(&[false]), false),
            (vec![true; 3], false),
            (vec![true; 11], true),
            ([often(&[true]), vec![false; 9]].concat(), false),
        ];
        for (waits, expected) in table {
            assert_eq!(after(&waits) > MOST, expected, "{waits:?}");
        }
    }
}
