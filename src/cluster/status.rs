//! What is known of the nodes, for `nodes()` and for errors.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;

use crate::cluster::cluster::Cluster;
use crate::cluster::node::{Lag, Node, NodeState};
use crate::cluster::role::misfit;
use crate::cluster::route::Route;
use crate::engine::lock;
use crate::error::HostReason;

impl Cluster {
    /// Why no host suits, for NoPrimaryError.
    pub(crate) fn reasons(&self, route: Route) -> Vec<HostReason> {
        let reason_of = |node: &Arc<Node>| {
            let seen = lock(&node.status).clone();
            let role = seen.role.filter(|_| seen.state != NodeState::Down);
            let error = seen.last_error.or(seen.refusal);
            let objection = role.filter(|_| error.is_none()).and_then(|_| self.objection_to(node, route));
            let reason = match (error.or(objection), role) {
                (Some(reason), _) => reason,
                (None, Some(role)) => misfit(route, role).to_owned(),
                (None, None) => "no answer yet".to_owned(),
            };
            HostReason { host: node.endpoint.host_name(), port: node.endpoint.port, reason }
        };
        self.nodes.iter().map(reason_of).collect()
    }

    /// Why the last attempts to connect have failed, for AcquireTimeoutError.
    pub(crate) fn refusals(&self) -> Vec<HostReason> {
        let reason_of = |node: &Arc<Node>| {
            let reason = lock(&node.status).refusal.clone()?;
            Some(HostReason { host: node.endpoint.host_name(), port: node.endpoint.port, reason })
        };
        self.nodes.iter().filter_map(reason_of).collect()
    }

    /// The public `nodes()`, as JSON.
    pub(crate) fn report(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| NodeReport::of(self, node)).collect();
        serde_json::to_string(&nodes).unwrap_or_default()
    }
}

/// A node as `nodes()` returns it. The order of the members is for people who read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeReport {
    host: String,
    port: u16,
    role: &'static str,
    state: &'static str,
    timeline: Option<u32>,
    lsn: Option<String>,
    latency_ms: Option<f64>,
    lag_bytes: Option<u64>,
    lag_ms: Option<f64>,
    last_error: Option<String>,
    weight: f64,
    in_flight: usize,
    fit: bool,
    reason: Option<String>,
}

impl NodeReport {
    fn of(cluster: &Cluster, node: &Arc<Node>) -> Self {
        let reason = cluster.why_not_read_from(node);
        let seen = lock(&node.status).clone();
        let lag = match seen.role {
            // Of one that is down nobody knows what the others have by now.
            Some(role) if !role.in_recovery && seen.state != NodeState::Down => Some(Lag::default()),
            Some(role) if !role.in_recovery => None,
            _ => seen.lag,
        };
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        Self {
            host: node.endpoint.host_name(),
            port: node.endpoint.port,
            role: seen.role_name(),
            state: seen.state.name(),
            timeline: seen.timeline,
            lsn: seen.lsn.map(|lsn| format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)),
            latency_ms: seen.latency.map(ms),
            lag_bytes: lag.map(|lag| lag.bytes),
            lag_ms: lag.map(|lag| ms(lag.time)),
            weight: node.weight,
            in_flight: node.reads.load(Ordering::Relaxed),
            fit: reason.is_none(),
            reason: reason.map(|reason| match &seen.last_error {
                Some(error) if seen.state != NodeState::Up => error.clone(),
                _ => reason,
            }),
            last_error: seen.last_error,
        }
    }
}
