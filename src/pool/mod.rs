//! The pool of one cluster's connections.
//!
//! - `task`: work, as the pool sees it
//! - `session`: a pooled connection and what belongs to it
//! - `prepared`: statements, what connections have prepared of them, row shapes
//! - `reset`: what one user of a connection has changed is undone before the next
//! - `node_pool`: the connections of one route to one node, owned by deadpool (the fence check is its `pre_recycle` hook)
//! - `active_connection`: a connection with work on it
//! - `wait_queue`: the work that waits
//! - `route_pool`: the part of a pool that serves one route
//! - `router`: which work runs on which connection, and which waits
//! - `growth`: how the pool gets more connections
//! - `expiry`: work that has waited for too long
//! - `shutdown`: how the pool ends

mod active_connection;
mod expiry;
mod growth;
mod node_pool;
pub(crate) mod prepared;
mod reset;
mod route_pool;
pub(crate) mod router;
pub(crate) mod session;
mod shutdown;
pub(crate) mod task;
mod wait_queue;
