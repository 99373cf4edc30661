//! Running statements.
//!
//! - `batch`: several statements in one flight
//! - `begin`: BEGIN, and the first statement that goes with it
//! - `caller`: whom to tell
//! - `cancel`: timeouts and signals
//! - `collect`: the rows of a statement
//! - `flow`: credit from the reader of a stream
//! - `copy`: bulk load and unload
//! - `ending`: COMMIT and ROLLBACK
//! - `execute`: one statement on one connection, from parameters to packed rows
//! - `outcome`: what a failure means: run it again, or what to tell the caller
//! - `listen`: LISTEN that survives failovers
//! - `lookup`: asks the server about types that are not built in
//! - `job`: a statement outside a transaction, as the pool sees it
//! - `script`: several statements by the simple protocol
//! - `transaction`: one that has begun, to its COMMIT or ROLLBACK

pub(crate) mod batch;
pub(crate) mod begin;
pub(crate) mod caller;
pub(crate) mod cancel;
mod collect;
pub(crate) mod copy;
mod ending;
pub(crate) mod execute;
pub(crate) mod flow;
pub(crate) mod job;
pub(crate) mod listen;
mod lookup;
pub(crate) mod outcome;
pub(crate) mod script;
pub(crate) mod transaction;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::codec::Types;
use crate::pool::prepared::Shapes;

/// What every statement of a pool needs to know.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) shapes: Arc<Shapes>,
    pub(crate) types: Types,
    /// The types that nobody knows of which somebody was told, by their oids.
    pub(crate) strange: Mutex<HashSet<u32>>,
    pub(crate) acquire_timeout: Duration,
}
