//! The I/O thread, and the queues between it and JavaScript.
//!
//! JavaScript hands work over by [`Engine::spawn`] and an ordinary channel; finished work goes back through a
//! [`CompletionQueue`], one for each environment.
//!
//! - `io_thread`: the one thread on which everything runs
//! - `adaptive_spin`: how long that thread stays awake without work
//! - `completion`: the queue of finished work
//! - `counter`, `histogram`, `statistics`: what a pool counts
//! - `packed`: packed values on their way to JavaScript
//! - `clock`, `lock`, `random`: what all layers need

mod adaptive_spin;
mod clock;
mod completion;
mod counter;
mod histogram;
mod io_thread;
mod lock;
mod packed;
mod random;
mod statistics;

pub(crate) use adaptive_spin::ADAPTIVE_SPIN;
pub(crate) use clock::clock;
pub(crate) use completion::{
    BATCH_WORDS, CompletionQueue, HEAD_WORDS, Kind, MESSAGE_ANEW, MESSAGE_STRUCTURE, Message, Taken,
};
pub(crate) use histogram::Histogram;
pub(crate) use io_thread::Engine;
pub(crate) use lock::lock;
pub(crate) use packed::Packed;
pub(crate) use random::{Backoff, random};
pub(crate) use statistics::{RetryCause, Statistics, Traffic, Waiting};
