//! Which of the nodes that suit a statement gets it.
//!
//! A strategy is a pure function over candidates, one file each; it knows neither connections nor clocks, so that a table
//! tests it. The caller has already left out the nodes that do not suit (`role`, `topology`).
//!
//! - `least_in_flight`: the node with the fewest statements in flight

mod least_in_flight;

use crate::cluster::role::Fit;

/// A node that a statement could run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its place in the pool's list of hosts.
    pub(crate) node: usize,
    pub(crate) fit: Fit,
    /// Statements of this pool that run on it.
    pub(crate) in_flight: usize,
    /// Connections of this pool to it.
    pub(crate) connections: usize,
}

/// Chooses one of the candidates and returns its `node`. `turn` counts the choices: equal candidates take turns by it.
pub(crate) type Strategy = fn(candidates: &[Candidate], turn: usize) -> Option<usize>;

/// What a pool uses whose options say nothing else.
pub(crate) const DEFAULT: Strategy = least_in_flight::choose;
