//! The clocks: a server's, as far as its answers tell, and this machine's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A moment by the monotonic clock and by the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    pub(super) monotonic: Instant,
    pub(super) wall: SystemTime,
}

impl ClockReading {
    pub(super) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// The moment that the monotonic clock names.
    pub(super) fn of(monotonic: Instant) -> Self {
        Self { monotonic, wall: SystemTime::now().checked_sub(monotonic.elapsed()).unwrap_or(SystemTime::UNIX_EPOCH) }
    }

    pub(super) fn elapsed(self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }

    pub(super) fn unix_ms(self) -> i64 {
        match self.wall.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        }
    }
}

/// How far a server's clock is ahead of this machine's, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct ServerClock(AtomicI64);

impl ServerClock {
    pub(super) fn offset(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The server's clock was `server` when it was asked at this moment.
    pub(super) fn note(&self, server: i64, asked: ClockReading) {
        self.0.store(server - asked.unix_ms(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_has_passed_is_the_longer_one_of_both_clocks() {
        let mut moment = ClockReading::now();
        moment.wall -= Duration::from_secs(100);
        assert!(moment.elapsed() >= Duration::from_secs(100), "the monotonic clock stood still");
        moment = ClockReading::now();
        moment.wall += Duration::from_secs(100);
        moment.monotonic -= Duration::from_secs(7);
        assert!(moment.elapsed() >= Duration::from_secs(7), "the wall clock was set back");
    }
}
