//! What is known of the nodes, in words and numbers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Cluster;
use super::node::{Node, Sighting, State};
use super::role::{Mode, misfit};
use crate::engine::lock;
use crate::error::HostReason;

impl Cluster {
    /// What every host last said, for NoPrimaryError.
    pub(crate) fn reasons(&self, mode: Mode) -> Vec<HostReason> {
        let reason_of = |node: &Arc<Node>| {
            let seen = lock(&node.seen).clone();
            let role = seen.role.filter(|_| seen.state != State::Down);
            let error = seen.last_error.or(seen.refusal);
            let objection = role.filter(|_| error.is_none()).and_then(|_| self.objection_to(node, mode));
            let reason = match (error.or(objection), role) {
                (Some(reason), _) => reason,
                (None, Some(role)) => misfit(mode, role).to_owned(),
                (None, None) => "no answer yet".to_owned(),
            };
            HostReason { host: node.host_name(), port: node.port, reason }
        };
        self.nodes.iter().map(reason_of).collect()
    }

    /// The public `nodes()`.
    pub(crate) fn to_json(&self) -> Value {
        self.nodes.iter().map(node_json).collect()
    }
}

fn node_json(node: &Arc<Node>) -> Value {
    let seen = lock(&node.seen);
    let is_primary = seen.role.is_some_and(|role| !role.in_recovery);
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
    json!({
        "host": node.host_name(),
        "port": node.port,
        "role": role_name(&seen),
        "state": seen.state.name(),
        "timeline": seen.timeline,
        "lsn": seen.lsn.map(|lsn| format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF)),
        "latencyMs": seen.latency.map(ms),
        "lagBytes": if is_primary { Some(0) } else { seen.lag.map(|lag| lag.bytes) },
        "lagMs": if is_primary { Some(0.0) } else { seen.lag.map(|lag| ms(lag.time)) },
        "lastError": seen.last_error,
    })
}

pub(super) fn role_name(seen: &Sighting) -> &'static str {
    match seen.role {
        Some(role) if role.in_recovery => "standby",
        Some(_) => "primary",
        None => "unknown",
    }
}
