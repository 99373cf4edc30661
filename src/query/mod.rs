//! Running statements.
//!
//! - `batch`: several statements in one flight
//! - `begin`: BEGIN, and the first statement that goes with it
//! - `caller`: whom to tell
//! - `cancel`: timeouts and signals
//! - `flow`: credit from the reader of a stream
//! - `copy`: bulk load and unload
//! - `execute`: one statement on one connection, from parameters to packed rows
//! - `outcome`: what a failure means: run it again, or what to tell the caller
//! - `listen`: LISTEN that survives failovers
//! - `job`: a statement outside a transaction, as the pool sees it
//! - `transaction`: one that has begun, to its COMMIT or ROLLBACK

pub(crate) mod batch;
pub(crate) mod begin;
pub(crate) mod caller;
pub(crate) mod cancel;
pub(crate) mod copy;
pub(crate) mod execute;
pub(crate) mod flow;
pub(crate) mod job;
pub(crate) mod listen;
pub(crate) mod outcome;
pub(crate) mod transaction;

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::codec::TypeChoices;
use crate::pool::prepared::Shapes;

/// What every statement of a pool needs to know.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) shapes: Arc<Shapes>,
    pub(crate) choices: TypeChoices,
    pub(crate) acquire_timeout: Duration,
}
