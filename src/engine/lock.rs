//! Locks a mutex without a `Result`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex even after a panic under it: every critical section of this crate leaves its data valid.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
