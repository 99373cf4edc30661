//! How a pool chooses the nodes of its reads: the public option `reads`.

use std::time::Duration;

use crate::cluster::balance::Balance;

/// How far a standby may be behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) max_lag: Option<Duration>,
    pub(crate) max_lag_bytes: Option<u64>,
}

impl Bounds {
    pub(super) fn are_set(&self) -> bool {
        self.max_lag.is_some() || self.max_lag_bytes.is_some()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ReadPolicy {
    pub(crate) balance: Balance,
    /// One for each node, in the order of the hosts.
    pub(crate) weights: Vec<f64>,
    /// What a read may be behind at most, unless it says otherwise.
    pub(crate) bounds: Bounds,
    /// Over this time a node that has come back gets its share again.
    pub(crate) slow_start: Duration,
    /// A node of whose reads a smaller share has succeeded of late is used only when nothing else is fit.
    pub(crate) health_threshold: f64,
}

impl Default for ReadPolicy {
    fn default() -> Self {
        Self {
            balance: Balance::LeastConnections,
            weights: Vec::new(),
            bounds: Bounds::default(),
            slow_start: Duration::from_secs(5),
            health_threshold: 0.0,
        }
    }
}

impl ReadPolicy {
    pub(crate) fn weight(&self, node: usize) -> f64 {
        self.weights.get(node).copied().unwrap_or(1.0)
    }
}
