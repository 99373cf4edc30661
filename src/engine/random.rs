//! Random numbers for delays and choices. They are not for secrets.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// A number from 0 to 1.
pub(crate) fn random() -> f64 {
    // The seeds of the standard library's hash maps: random for each process, and different each time.
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Pauses between attempts, with decorrelated jitter: each pause is random, up to three times as long as the one
/// before. Callers that failed together then do not try again together.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_millis(500);

    pub(crate) fn next(&mut self) -> Duration {
        let spread = (self.0 * 3).saturating_sub(Self::FIRST);
        self.0 = (Self::FIRST + spread.mul_f64(random())).min(Self::LONGEST);
        self.0
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}
