//! Chooses one of the nodes that suit a statement.
//!
//! A strategy is a pure function over candidates, one file each; it knows neither connections nor clocks, so that a
//! table tests it. The caller has already left out the nodes that do not suit (`role`, `topology`).
//!
//! - `candidate`: what a strategy knows of a node
//! - `least_in_flight`: the node with the fewest statements in flight

mod candidate;
mod least_in_flight;

pub(crate) use candidate::Candidate;

/// Chooses one of the candidates and returns its `node`. `turn` counts the choices: equal candidates take turns by it.
pub(crate) type Strategy = fn(candidates: &[Candidate], turn: usize) -> Option<usize>;

/// The strategy of all pools.
pub(crate) const DEFAULT: Strategy = least_in_flight::choose;
