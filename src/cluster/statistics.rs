//! The counts of a pool and of its nodes, for `stats()` and `metrics()`. They outlive the pool.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::cluster::cluster::Cluster;
use crate::cluster::failovers::Failovers;
use crate::connection::endpoint::Endpoint;
use crate::engine::Statistics;

/// What JavaScript's thread may read at any time.
#[derive(Clone, Debug)]
pub(crate) struct StatisticsView {
    since: SystemTime,
    statistics: Arc<Statistics>,
    failovers: Arc<Failovers>,
    endpoints: Vec<Arc<Endpoint>>,
}

impl Cluster {
    pub(crate) fn statistics_view(&self) -> StatisticsView {
        StatisticsView {
            since: SystemTime::now(),
            statistics: self.statistics.clone(),
            failovers: self.failovers.clone(),
            endpoints: self.nodes.iter().map(|node| node.endpoint.clone()).collect(),
        }
    }
}

impl StatisticsView {
    /// All counts, as JSON; times are milliseconds since the epoch.
    pub(crate) fn report(&self) -> String {
        let mut report = self.statistics.report();
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        report["since"] = since.into();
        report["failovers"] = self.failovers.report();
        report["failoverCount"] = self.failovers.count().into();
        report["nodes"] = self.endpoints.iter().map(|endpoint| describe(endpoint)).collect();
        report.to_string()
    }
}

fn describe(endpoint: &Endpoint) -> Value {
    let counts = &endpoint.counts;
    json!({
        "node": endpoint.label(),
        "inFlight": endpoint.in_flight(),
        "connections": endpoint.connections(),
        "latency": counts.latency.report(),
        "bytes": { "in": counts.traffic.received.get(), "out": counts.traffic.sent.get() },
    })
}
