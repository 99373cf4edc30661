//! Running statements.
//!
//! - `job`: work outside a transaction, as the pool sees it
//! - `execute`: one statement on one connection, from parameters to packed rows
//! - `collect`: the rows of a statement
//! - `batch`: several statements in one flight
//! - `begin`: BEGIN, and the first statement that goes with it
//! - `transaction`: one that has begun, to its COMMIT or ROLLBACK
//! - `commit`: COMMIT and ROLLBACK
//! - `script`: several statements by the simple protocol
//! - `copy`: bulk load and unload
//! - `listen`: LISTEN that survives failovers
//! - `retry_policy`: what a failure means: run it again, or what to tell the caller
//! - `cancellation`: timeouts and signals
//! - `promise`: whom to tell
//! - `flow_control`: credit from the reader of a stream
//! - `type_lookup`: asks the server about types that are not built in

pub(crate) mod batch;
pub(crate) mod begin;
pub(crate) mod cancellation;
mod collect;
mod commit;
pub(crate) mod copy;
pub(crate) mod execute;
pub(crate) mod flow_control;
pub(crate) mod job;
pub(crate) mod listen;
pub(crate) mod promise;
pub(crate) mod retry_policy;
pub(crate) mod script;
pub(crate) mod transaction;
mod type_lookup;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::cluster::route::Route;
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
    /// That of the calls that name none.
    pub(crate) route: Route,
    pub(crate) acquire_timeout: Duration,
}
