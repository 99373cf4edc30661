//! Chooses one of the nodes that suit a statement.
//!
//! A strategy is a pure function over candidates, one file each; it knows neither connections nor clocks, so that a
//! table tests it. The caller has already left out the nodes that do not suit (`role`, `topology`).
//!
//! - `candidate`: what a strategy knows of a node
//! - `least_in_flight`: the node with the fewest statements in flight; for all routes
//!
//! For reads that go to one of several nodes:
//!
//! - `reads`: the strategies by their names, the option `reads.balance`
//! - `round_robin`, `random`, `weighted`, `least_connections`, `response_time`, `health_aware`: a strategy each
//! - `draws`, `portions`: what the strategies share: a counter and random numbers; a choice in proportion to something
//! - `latency`, `error_rate`: what is measured of a node; `decay`: how old observations lose weight
//! - `outlier`: takes a node that fails out of use, and lets it back in gradually
//!
//! test/simulation/balance.rs runs them together: 50 nodes, some of which get slow, fail, flap and die.

mod candidate;
mod decay;
mod draws;
mod error_rate;
mod health_aware;
mod latency;
mod least_connections;
mod least_in_flight;
mod outlier;
mod portions;
mod random;
mod reads;
mod response_time;
mod round_robin;
#[cfg(test)]
#[path = "../../../test/simulation/balance.rs"]
mod simulation;
#[cfg(test)]
mod tests;
mod weighted;

pub(crate) use candidate::{Candidate, ReadCandidate};
pub(crate) use draws::Draws;
pub(crate) use error_rate::ErrorRate;
pub(crate) use latency::PeakEwma;
pub(crate) use outlier::{Admission, Outlier, Usable, due_probe};
pub(crate) use reads::Balance;

/// Chooses one of the candidates and returns its `node`. `turn` counts the choices: equal candidates take turns by it.
pub(crate) type Strategy = fn(candidates: &[Candidate], turn: usize) -> Option<usize>;

/// The strategy of all pools.
pub(crate) const DEFAULT: Strategy = least_in_flight::choose;
