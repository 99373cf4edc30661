//! The pool of one cluster's connections.
//!
//! - `manager`: how deadpool makes and checks connections (the fence check is its `pre_recycle` hook)
//! - `session`: a pooled connection and what belongs to it
//! - `prepared`: statements, what connections have prepared of them, row shapes
//! - `router`: which statement runs on which connection, and which waits

mod manager;
pub(crate) mod prepared;
pub(crate) mod router;
pub(crate) mod session;
