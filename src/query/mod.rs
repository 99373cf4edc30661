//! Running statements.
//!
//! - `job`: each kind of work, as the pool sees it; `call`: what all kinds carry
//! - `single`: a statement outside of any transaction
//! - `statement`: a statement with its parameters
//! - `execute`: one statement on one connection, from parameters to packed rows
//! - `direct`: a prepared statement that needs nothing of tokio-postgres, in one pass
//! - `prepare`: prepares statements, and asks about the types in them
//! - `collect`: the rows of a statement
//! - `rows`: the cells of a row, and how they are packed
//! - `batch`: several statements in one flight
//! - `begin`: a transaction until its first statement is answered; `opening`: its BEGIN
//! - `transaction`: a transaction that is open, to its COMMIT or ROLLBACK; `transaction/flight`: statements of one that
//!   travel together; `transaction/last`: its end, also with its last statement; `transaction/command`: what is asked of
//!   it; `transaction/block`: what that does to it
//! - `commit`: COMMIT and ROLLBACK, and the phases of a transaction that spans clusters
//! - `script`: several statements by the simple protocol; `script/results`: their rows and types
//! - `pinned`: a session that its caller has to itself, for programs that were written for `pg`
//! - `copy`: bulk load and unload
//! - `listen`: LISTEN that survives failovers
//! - `race`: which of two reads of the same call answers it
//! - `read`: reads of `pool.read`, which go to one node or another
//! - `retry_policy`: whether failed work runs again, and if not, its outcome
//! - `failure`: why work failed, and the error for its caller
//! - `cancellation`: timeouts and signals
//! - `promise`: the JavaScript promise of a piece of work
//! - `flow_control`: credit from the reader of a stream
//! - `type_lookup`: asks the server about types that are not built in

pub(crate) mod batch;
pub(crate) mod begin;
pub(crate) mod call;
pub(crate) mod cancellation;
mod collect;
pub(crate) mod commit;
pub(crate) mod copy;
mod direct;
mod execute;
mod failure;
pub(crate) mod flow_control;
pub(crate) mod job;
pub(crate) mod listen;
mod opening;
pub(crate) mod pinned;
mod prepare;
pub(crate) mod promise;
mod race;
pub(crate) mod read;
mod retry_policy;
mod rows;
pub(crate) mod script;
pub(crate) mod single;
pub(crate) mod statement;
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
    /// Types that no decoder knows and that the pool has announced, by their oids.
    pub(crate) announced_types: Mutex<HashSet<u32>>,
    /// The route of the calls that name none.
    pub(crate) route: Route,
    pub(crate) acquire_timeout: Duration,
}

impl Context {
    /// The most bytes that the rows of a result may have.
    fn result_limit(&self) -> usize {
        self.cluster.policy.result_limit.unwrap_or(usize::MAX)
    }
}
