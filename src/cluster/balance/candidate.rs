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

/// A node that a read could run on. It is fit: a strategy for reads only chooses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReadCandidate {
    /// The node's place in the pool's list of hosts.
    pub(crate) node: usize,
    /// Reads of this pool that run on the node.
    pub(crate) in_flight: usize,
    /// The option `reads.weights`. A node of weight 0 is chosen only when all candidates have weight 0.
    pub(crate) weight: f64,
    /// How much of its usual share the node may have: above 0, and below 1 while it starts slowly after an ejection.
    pub(crate) share: f64,
    /// The latency of its reads ([`super::latency::PeakEwma`]), in microseconds; 0: not known.
    pub(crate) latency_us: f64,
    /// How far its replay is behind, in milliseconds; 0 when that is not known.
    pub(crate) lag_ms: f64,
    /// The share of its reads that failed of late ([`super::error_rate::ErrorRate`]), from 0 to 1.
    pub(crate) error_rate: f64,
}

impl ReadCandidate {
    /// What the node would have in flight with one read more, as seen by a node that has its whole share.
    ///
    /// A node with a tenth of its share counts each read as ten, so that it is as busy as the others with a tenth of
    /// their reads. While the others are idle that would keep it from all reads. So the new read counts as `draw` (from
    /// 0 to 1, at random), and the node equals an idle one in a tenth of the draws.
    pub(super) fn load(&self, draw: f64) -> f64 {
        let in_flight = self.in_flight as f64;
        ((in_flight + draw) / self.share).max(in_flight + 1.0)
    }
}
