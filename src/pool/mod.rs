//! The pool of one cluster's connections.
//!
//! - `node_pool`: how deadpool makes and checks connections (the fence check is its `pre_recycle` hook)
//! - `session`: a pooled connection and what belongs to it
//! - `prepared`: statements, what connections have prepared of them, row shapes
//! - `task`: work, as the pool sees it
//! - `wait_queue`: the work that waits
//! - `active_connection`: a connection with work on it
//! - `reset`: what one user of a connection has changed is undone before the next
//! - `router`: which work runs on which connection, and which waits

mod active_connection;
mod node_pool;
pub(crate) mod prepared;
mod reset;
pub(crate) mod router;
pub(crate) mod session;
pub(crate) mod task;
mod wait_queue;
