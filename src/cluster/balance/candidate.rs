//! What a strategy knows of a node.

use crate::cluster::role::Fit;

/// A node that a statement could run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The node's place in the pool's list of hosts.
    pub(crate) node: usize,
    pub(crate) fit: Fit,
    /// Statements of this pool that run on the node.
    pub(crate) in_flight: usize,
    /// Connections of this pool to the node.
    pub(crate) connections: usize,
}
