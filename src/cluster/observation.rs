//! What follows from an answer or a failure of a node: which node is the primary, which must not be used, which events
//! the pool sends.
//! [`Cluster::observe`] is the only place that changes a node's state.
//!
//! Two questions come first. *Which cluster is it?* A host with another system identifier belongs to another cluster
//! and is never used. *Which of two nodes that accept writes is the primary?* The one on the higher timeline: the other
//! was deposed and does not know it. (A standby that follows a higher timeline is evidence, too.) No node alone can
//! tell, so nothing is decided until each has answered or failed once, or has been silent for longer than an answer
//! should take (it may be frozen): see [`Cluster::settled`].

#[cfg(test)]
pub(super) mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{sleep_until, timeout_at};

use crate::cluster::attempt::open;
use crate::cluster::cluster::Cluster;
use crate::cluster::failovers::{NoticedBy, answer_of, fence_reason};
use crate::cluster::node::{Node, NodeState, NodeStatus};
use crate::cluster::role::{Fit, fit};
use crate::cluster::route::Route;
use crate::connection::failure::HostFailure;
use crate::connection::probe::Probe;
use crate::engine::{clock, lock, random};
use crate::error::ClientError;

/// Something seen of a node.
#[derive(Clone, Debug)]
pub(crate) enum Observation {
    /// The node answered.
    Alive(Probe),
    /// An attempt of the pool to connect failed. That alone does not make the node down.
    Failed(HostFailure),
    /// The monitor could not reach the node.
    Lost(HostFailure),
}

/// A pool without a monitor asks a node of which it knows nothing again after this time.
const ASK_AGAIN_US: u64 = 1_000_000;

/// Added to twice the time of the first answer, this is how long healthy nodes take to answer at most.
const SETTLING: Duration = Duration::from_millis(100);

fn has_answered_or_failed(node: &Arc<Node>) -> bool {
    lock(&node.early).is_some() || lock(&node.status).state != NodeState::Unknown
}

impl Cluster {
    /// Notes an observation of a node, and does what follows from it.
    pub(crate) fn observe(&self, node: &Arc<Node>, observation: Observation) {
        if let Observation::Failed(failure) | Observation::Lost(failure) = &observation {
            self.announce_distrust(node, failure);
        }
        match observation {
            Observation::Alive(probe) => {
                let settled = {
                    let mut topology = lock(&self.topology);
                    topology.answered.get_or_insert_with(Instant::now);
                    topology.settled
                };
                if settled {
                    self.apply_answer(node, probe);
                } else {
                    *lock(&node.early) = Some(probe);
                }
            }
            Observation::Failed(failure) => {
                if lock(&self.topology).primary == Some(node.endpoint.index) {
                    let reason = || failure.describe();
                    self.failovers.note_sign(NoticedBy::Connection, node.endpoint.index, reason);
                }
                self.failovers.note_answer(node.endpoint.index, "down", Some(failure.describe()));
                let mut seen = lock(&node.status);
                let reason = Some(failure.describe());
                seen.refusal.clone_from(&reason);
                seen.last_error = reason;
                if seen.state == NodeState::Unknown {
                    seen.state = NodeState::Down;
                }
                drop(seen);
                if failure.is_of_the_node() {
                    node.suspect.store(true, Ordering::Relaxed);
                }
                node.endpoint.request_check();
            }
            Observation::Lost(failure) => self.apply_loss(node, &failure),
        }
        if self.nodes.iter().all(has_answered_or_failed) {
            self.settle();
        }
        self.node_answered.notify_waiters();
    }

    /// The nodes are being asked.
    pub(super) fn note_search_began(&self) {
        lock(&self.topology).note_search_began();
    }

    /// Whether it is still open which cluster and which primary it is.
    pub(crate) fn is_unsettled(&self) -> bool {
        !lock(&self.topology).settled
    }

    /// Resolves when enough is known to use the node that has just answered: every other node has answered or failed,
    /// or has had about twice the time of the first answer.
    pub(crate) async fn settled(&self) {
        let (began, answered) = {
            let topology = lock(&self.topology);
            let now = Instant::now();
            if topology.settled {
                return;
            }
            (topology.began.unwrap_or(now), topology.answered.unwrap_or(now))
        };
        let wait = ((answered - began) * 2 + SETTLING).min(self.connect_timeout);
        let deadline = (began + wait).into();
        if self.monitor_interval.is_some() {
            let all_known = async {
                loop {
                    let heard = self.node_answered.notified();
                    if lock(&self.topology).settled {
                        return;
                    }
                    heard.await;
                }
            };
            let _ = timeout_at(deadline, all_known).await;
        } else {
            // Without a monitor no other task asks the remaining nodes.
            tokio::select! {
                () = self.ask_nodes(|node| !has_answered_or_failed(node)) => {}
                () = sleep_until(deadline) => {}
            }
        }
        self.settle();
    }

    /// Asks these nodes for what they are.
    async fn ask_nodes(&self, which: impl Fn(&Arc<Node>) -> bool) {
        join_all(self.nodes.iter().filter(|node| which(node)).map(|node| self.ask_node(node))).await;
    }

    async fn ask_node(&self, node: &Arc<Node>) {
        let seen = match open(self, &self.monitor_config, node, Probe::is_writable).await {
            Ok((_, probe)) => Observation::Alive(probe),
            Err(failure) => Observation::Failed(failure),
        };
        self.observe(node, seen);
    }

    /// Asks a node of which nothing is known, in the background, if the pool has no monitor.
    pub(super) fn ask_if_nobody_does(self: &Arc<Self>, node: &Arc<Node>, now: u64) {
        let asked_at = node.asked_at.load(Ordering::Relaxed);
        if self.monitor_interval.is_none() && now.saturating_sub(asked_at) > ASK_AGAIN_US {
            node.asked_at.store(now, Ordering::Relaxed);
            let (cluster, node) = (self.clone(), node.clone());
            drop(tokio::spawn(async move { cluster.ask_node(&node).await }));
        }
    }

    /// Resolves when something more is known of a node.
    pub(crate) async fn changed(&self) {
        if self.monitor_interval.is_some() {
            return self.node_answered.notified().await;
        }
        self.note_search_began();
        self.ask_nodes(|node| lock(&node.status).role.is_none() || lock(&node.status).state == NodeState::Down).await;
        self.settled().await;
    }

    /// Decides which cluster it is (the one that most nodes belong to; of two with as many nodes that of the first
    /// host), and then processes the answers that came before.
    fn settle(&self) {
        let mut topology = lock(&self.topology);
        if std::mem::replace(&mut topology.settled, true) {
            return;
        }
        let identity = |node: &Arc<Node>| lock(&node.early).and_then(|probe| probe.identity);
        let identities: Vec<u64> = self.nodes.iter().filter_map(identity).collect();
        let mut votes = HashMap::new();
        for identity in &identities {
            *votes.entry(*identity).or_insert(0) += 1;
        }
        // max_by_key returns the last of several with as many votes.
        let ours = identities.iter().rev().max_by_key(|identity| votes[*identity]).copied();
        let timeline = |node: &Arc<Node>| {
            lock(&node.early).filter(|probe| probe.identity.is_none_or(|own| Some(own) == ours))?.timeline
        };
        topology.identity = ours;
        topology.highest_timeline = self.nodes.iter().filter_map(timeline).max().unwrap_or(0);
        drop(topology);
        let mut early: Vec<_> = self.nodes.iter().filter_map(|node| Some((node, lock(&node.early).take()?))).collect();
        // The primary comes first: the lag of the standbys is computed from its position.
        early.sort_by_key(|(_, probe)| probe.role.in_recovery);
        for (node, probe) in early {
            self.apply_answer(node, probe);
        }
    }

    fn apply_answer(&self, node: &Arc<Node>, probe: Probe) {
        if let Some(reason) = self.identity_objection(node, &probe) {
            return self.exclude_node(node, reason);
        }
        let known = lock(&node.status).clone();
        let was_primary = known.role.is_some_and(|role| !role.in_recovery);
        let is_primary = !probe.role.in_recovery;
        let timeline = probe.timeline.or(known.timeline.filter(|_| was_primary == is_primary));
        {
            let mut topology = lock(&self.topology);
            topology.highest_timeline = topology.highest_timeline.max(timeline.unwrap_or(0));
        }
        let deposed = if is_primary { self.deposed(timeline) } else { None };
        let writable = deposed.is_none() && probe.role.is_writable();
        let state = if is_primary && !writable { NodeState::Fenced } else { NodeState::Up };
        let replayed = probe.lsn.filter(|_| !is_primary);
        let (lag, current_at) = match replayed {
            Some(lsn) => {
                node.replay.note(lsn, clock());
                let topology = lock(&self.topology);
                (topology.lag(lsn), topology.current_at(lsn))
            }
            None => (None, known.current_at.filter(|_| !is_primary)),
        };
        if is_primary {
            node.replay.forget();
        }
        let status = NodeStatus {
            state,
            role: Some(probe.role),
            timeline,
            latency: probe.latency.or(known.latency),
            lsn: probe.lsn.or(known.lsn),
            lag: lag.or(known.lag.filter(|_| !is_primary)),
            asked: Some(probe.asked),
            current_at,
            last_error: deposed,
            refusal: known.refusal.filter(|_| known.role == Some(probe.role)),
        };
        node.suspect.store(false, Ordering::Relaxed);
        *lock(&node.status) = status;
        if was_primary && is_primary && known.timeline < timeline {
            // Another server answers under this name now.
            node.endpoint.break_connections();
        }
        if known.state != state || known.role.is_none() || was_primary != is_primary {
            self.announce_node_state(node, state);
            if state == NodeState::Fenced && known.state != NodeState::Fenced {
                self.announce_node_event("fenced", node, json!({}));
                if self.has_route(Route::must_write) {
                    self.count_evictions(node);
                    node.endpoint.retire_connections();
                    self.retired.notify_one();
                }
            }
        }
        let refusal = fence_reason(is_primary, writable, lock(&node.status).last_error.clone());
        if !writable {
            self.lost_primary(node, refusal.as_deref().unwrap_or("it is a standby now"));
        }
        self.failovers.note_answer(node.endpoint.index, answer_of(is_primary, writable), refusal);
        if writable {
            self.found_primary(node, timeline);
            let mut topology = lock(&self.topology);
            if topology.primary == Some(node.endpoint.index) {
                topology.note_position(probe.lsn, probe.asked);
            }
        }
        let suits = |route| fit(route, probe.role) == Fit::Good && self.objection_to(node, route).is_none();
        if self.has_route(suits) {
            self.appeared.notify_waiters();
        }
    }

    /// Why a node with this answer does not belong to the cluster.
    fn identity_objection(&self, node: &Node, probe: &Probe) -> Option<String> {
        let mut topology = lock(&self.topology);
        let Some(theirs) = probe.identity else {
            // The session was asked, but cannot read the system identifier.
            if probe.latency.is_some() && self.nodes.len() > 1 && !std::mem::replace(&mut topology.warned, true) {
                drop(topology);
                self.announce_node_event("unidentified", node, json!({}));
            }
            return None;
        };
        let ours = *topology.identity.get_or_insert(theirs);
        (ours != theirs)
            .then(|| format!("belongs to another cluster: its system identifier is {theirs}, the others' is {ours}"))
    }

    /// Why a connection with this probe must not be used for `route`, even if its role suits.
    pub(crate) fn objection(&self, node: &Node, probe: &Probe, route: Route) -> Option<String> {
        self.identity_objection(node, probe).or_else(|| {
            let timeline = probe.timeline.filter(|_| !probe.role.in_recovery)?;
            self.deposed(Some(timeline)).or_else(|| self.rival(node, route))
        })
    }

    /// Takes a node of another cluster out of use.
    fn exclude_node(&self, node: &Arc<Node>, reason: String) {
        let status = NodeStatus { state: NodeState::Down, last_error: Some(reason), ..NodeStatus::default() };
        node.replay.forget();
        let before = std::mem::replace(&mut *lock(&node.status), status);
        if before.state != NodeState::Down || before.role.is_some() {
            self.lost_primary(node, "it belongs to another cluster");
            node.endpoint.break_connections();
            self.retired.notify_one();
            self.announce_node_state(node, NodeState::Down);
        }
    }

    fn apply_loss(&self, node: &Arc<Node>, failure: &HostFailure) {
        let gone = failure.is_of_the_node();
        let mut seen = lock(&node.status);
        seen.last_error = Some(failure.describe());
        let was = seen.state;
        // A server that refuses the monitor (too many connections, starting up) may still serve its other connections.
        if gone || was == NodeState::Unknown {
            seen.state = NodeState::Down;
            seen.latency = None;
            seen.lag = None;
            seen.current_at = None;
            node.replay.forget();
        }
        let changed = seen.state != was;
        drop(seen);
        if gone {
            // When it is back, it gets its share of the reads gradually.
            lock(&node.health).failed(clock(), random());
            *lock(&node.early) = None;
            let reason = failure.describe();
            self.lost_primary(node, &reason);
            self.failovers.note_answer(node.endpoint.index, "down", Some(reason));
            node.endpoint.break_connections();
            self.retired.notify_one();
        }
        if changed {
            self.announce_node_state(node, NodeState::Down);
        }
    }

    fn found_primary(&self, node: &Arc<Node>, timeline: Option<u32>) {
        let mut topology = lock(&self.topology);
        if topology
            .primary
            .is_some_and(|other| other == node.endpoint.index || lock(&self.nodes[other].status).timeline >= timeline)
        {
            return;
        }
        let from = topology.primary.or(topology.last);
        if let Some(old) = topology.primary {
            // It was not lost: the other node says that it was deposed.
            let timeline = timeline.unwrap_or_default();
            let reason = format!("{} is a primary on the higher timeline {timeline}", node.endpoint.label());
            self.failovers.begin(old, NoticedBy::Fence, reason);
            self.failovers.note_answer(node.endpoint.index, "primary", None);
        }
        self.failovers.found(node.endpoint.index, timeline);
        let down = topology.lost_at.take().map_or(0, |at| at.elapsed().as_millis() as u64);
        topology.primary = Some(node.endpoint.index);
        topology.last = Some(node.endpoint.index);
        topology.positions.clear();
        drop(topology);
        let Some(old) = from.filter(|old| *old != node.endpoint.index).map(|old| &self.nodes[old]) else {
            if from.is_none() {
                self.announce_node_event(
                    "primary",
                    node,
                    json!({ "from": null, "to": node.endpoint.label(), "downMs": down }),
                );
            }
            return;
        };
        if lock(&old.status).role.is_none_or(|role| !role.in_recovery) {
            // The old primary may not know yet (frozen, cut off, its manager dead). Statements there would be lost, or
            // hang because they wait for a standby.
            if lock(&old.status).state != NodeState::Fenced {
                self.count_evictions(old);
            }
            old.endpoint.break_connections();
            self.retired.notify_one();
            old.endpoint.request_check();
        }
        self.announce_node_event(
            "primary",
            node,
            json!({ "from": old.endpoint.label(), "to": node.endpoint.label(), "downMs": down }),
        );
    }

    fn lost_primary(&self, node: &Arc<Node>, reason: &str) {
        let mut topology = lock(&self.topology);
        if topology.primary == Some(node.endpoint.index) {
            topology.primary = None;
            topology.lost_at = Some(Instant::now());
            drop(topology);
            self.failovers.begin(node.endpoint.index, NoticedBy::Monitor, reason.to_owned());
            // The node that is promoted must be noticed at once.
            for node in &self.nodes {
                node.endpoint.request_check();
            }
        }
    }

    /// The connections to a node are given up because the node was fenced or deposed.
    fn count_evictions(&self, node: &Node) {
        self.statistics.fence_evictions.add(node.endpoint.connections() as u64);
    }

    /// Sends an event for an untrusted server, even if other hosts serve, because an administrator should know of it.
    /// Once for each reason.
    fn announce_distrust(&self, node: &Node, failure: &HostFailure) {
        let HostFailure::Untrusted(distrust) = failure else { return };
        if lock(&node.status).last_error.as_deref() != Some(&failure.describe()) {
            let mut event = ClientError::Untrusted(distrust.clone()).to_object(0);
            // The error belongs to no statement.
            event.retain(|key, _| key != "attempts" && key != "outcome");
            event.insert("event".into(), json!("error"));
            self.announce(Value::Object(event));
        }
    }

    fn announce_node_state(&self, node: &Node, state: NodeState) {
        let role = lock(&node.status).role_name();
        self.announce_node_event("node", node, json!({ "state": state.name(), "role": role }));
    }

    fn announce_node_event(&self, event: &str, node: &Node, mut detail: Value) {
        detail["event"] = json!(event);
        detail["host"] = json!(node.endpoint.host_name());
        detail["port"] = json!(node.endpoint.port);
        self.announce(detail);
    }
}
