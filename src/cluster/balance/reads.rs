//! The strategies for reads by their names.

use serde::Deserialize;

use crate::cluster::balance::candidate::ReadCandidate;
use crate::cluster::balance::draws::Draws;
use crate::cluster::balance::{health_aware, least_connections, random, response_time, round_robin, weighted};

/// The public option `reads.balance`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Balance {
    RoundRobin,
    Random,
    Weighted,
    #[default]
    LeastConnections,
    ResponseTime,
    HealthAware,
}

impl Balance {
    /// Whether the strategy looks at what is measured of a node: latency, lag, errors.
    pub(crate) fn measures(self) -> bool {
        matches!(self, Self::ResponseTime | Self::HealthAware)
    }

    /// Chooses one of the candidates, which are all fit, and returns its `node`; None when there is none. It runs for
    /// each read, so it allocates nothing.
    pub(crate) fn choose(self, candidates: &[ReadCandidate], draws: Draws) -> Option<usize> {
        let strategy = match self {
            Self::RoundRobin => round_robin::choose,
            Self::Random => random::choose,
            Self::Weighted => weighted::choose,
            Self::LeastConnections => least_connections::choose,
            Self::ResponseTime => response_time::choose,
            Self::HealthAware => health_aware::choose,
        };
        strategy(candidates, draws)
    }
}
