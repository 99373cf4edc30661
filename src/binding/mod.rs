//! The JavaScript side of the core, all that knows Node-API: the classes `Environment`, `Pool` and `Transaction`, which
//! lib/core/core-link.js wraps.
//!
//! - `environment`: one JavaScript environment (the main thread or a worker), and its wake-up
//! - `pool`: a pool as JavaScript holds it
//! - `transaction`: a transaction as JavaScript holds it
//! - `frames`: the work that JavaScript hands in, as bytes
//! - `numbers`: the numbers in which JavaScript and the core talk
//! - `options`: a pool's options, as JSON
//! - `dispatcher`: takes the frames on the I/O thread and gives them to the pools
//! - `running_pool`: a pool as the I/O thread has it
//!
//! JavaScript submits a buffer of frames once per microtask and takes batches of finished work when it is woken. Both are
//! plain copies. What JavaScript holds are numbers and weak references, so nothing of a pool outlives its environment.

mod dispatcher;
mod environment;
mod frames;
mod numbers;
mod options;
mod pool;
mod running_pool;
mod transaction;
