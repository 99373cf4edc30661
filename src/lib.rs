//! The native core of hyperiondb-client.
//!
//! Layers, each of which uses only what stands below it:
//! `binding` (the only one that knows N-API), `query`, `pool`, `cluster`, `connection`, `protocol`, `codec`, `engine`, `error`.

mod binding;
mod cluster;
mod codec;
mod connection;
mod engine;
mod error;
mod pool;
mod protocol;
mod query;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
