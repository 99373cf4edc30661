//! The time, as one number.

use std::sync::OnceLock;
use std::time::Instant;

/// Microseconds since the first call.
pub(crate) fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}
