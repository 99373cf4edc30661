//! What follows from what was seen of the nodes: which is the primary, which is not to be used, what the pool is told.
//!
//! Two questions come first. *Which cluster is it?* A host with another system identifier belongs to another cluster and
//! is never used. *Which of two nodes that accept writes is the primary?* The one on the higher timeline: the other was
//! deposed and does not know it. (A standby that follows a higher timeline tells as much.) No node can tell by itself, so nothing is decided until each has answered or failed
//! once, or has been silent for longer than an answer should take (it may be frozen): see [`Cluster::settled`].

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{sleep_until, timeout_at};

use crate::cluster::Cluster;
use crate::cluster::discovery::open;
use crate::cluster::node::{Lag, Node, NodeStatus, State};
use crate::cluster::role::{Fit, Mode, fit};
use crate::cluster::status::role_name;
use crate::connection::failure::HostFailure;
use crate::connection::probe::Probe;
use crate::engine::lock;
use crate::error::ClientError;

/// Something seen of a node.
#[derive(Clone, Debug)]
pub(crate) enum Observation {
    /// It answered.
    Alive(Probe),
    /// A connection attempt of the pool failed; that alone does not condemn the node.
    Failed(HostFailure),
    /// The monitor failed to reach it.
    Lost(HostFailure),
}

/// Positions of the primary that are kept to tell by how much time a standby is behind.
const POSITIONS: usize = 600;
/// The first answers of healthy nodes come within this of each other, or of twice the time the first one took.
const SETTLING: Duration = Duration::from_millis(100);

/// What is known of the cluster as a whole.
#[derive(Debug)]
pub(crate) struct Topology {
    pub(crate) primary: Option<usize>,
    /// The last one there was, for the event.
    last: Option<usize>,
    lost_at: Option<Instant>,
    /// The highest timeline a node was ever seen on.
    highest_timeline: u32,
    /// The cluster's system identifier.
    identity: Option<u64>,
    /// Whether enough nodes have been heard to decide anything.
    settled: bool,
    /// When the nodes were first asked, and when the first one answered.
    began: Option<Instant>,
    answered: Option<Instant>,
    /// The primary's write position, each time it was seen to have moved.
    positions: VecDeque<(Instant, u64)>,
    /// It was said that a node does not tell which cluster it belongs to.
    warned: bool,
}

impl Topology {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            primary: None,
            last: None,
            lost_at: None,
            highest_timeline: 0,
            identity: None,
            settled: nodes == 1,
            began: None,
            answered: None,
            positions: VecDeque::new(),
            warned: false,
        }
    }

    /// The nodes are being asked.
    pub(crate) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    fn note_position(&mut self, lsn: Option<u64>) {
        let Some(lsn) = lsn.filter(|lsn| self.positions.back().is_none_or(|(_, last)| last < lsn)) else { return };
        if self.positions.len() == POSITIONS {
            self.positions.pop_front();
        }
        self.positions.push_back((Instant::now(), lsn));
    }

    /// How far a standby that is at `lsn` now is behind what was seen of the primary before.
    fn lag(&self, lsn: u64) -> Option<Lag> {
        let (_, newest) = self.positions.back()?;
        let since = self.positions.iter().find(|(_, position)| *position > lsn);
        let time = since.map_or(Duration::ZERO, |(at, _)| at.elapsed());
        Some(Lag { bytes: newest.saturating_sub(lsn), time })
    }
}

fn has_been_heard(node: &Arc<Node>) -> bool {
    lock(&node.early).is_some() || lock(&node.status).state != State::Unknown
}

impl Cluster {
    /// Takes note of something seen, and does what follows from it.
    pub(crate) fn observe(&self, node: &Arc<Node>, observation: Observation) {
        if let Observation::Failed(failure) | Observation::Lost(failure) = &observation {
            self.tell_of_distrust(node, failure);
        }
        match observation {
            Observation::Alive(probe) => {
                let settled = {
                    let mut topology = lock(&self.topology);
                    topology.answered.get_or_insert_with(Instant::now);
                    topology.settled
                };
                if settled {
                    self.alive(node, probe);
                } else {
                    *lock(&node.early) = Some(probe);
                }
            }
            Observation::Failed(failure) => {
                let mut seen = lock(&node.status);
                let reason = Some(failure.describe());
                seen.refusal.clone_from(&reason);
                seen.last_error = reason;
                if seen.state == State::Unknown {
                    seen.state = State::Down;
                }
                drop(seen);
                if failure.is_of_the_node() {
                    node.suspect.store(true, Ordering::Relaxed);
                }
                node.endpoint.request_check();
            }
            Observation::Lost(failure) => self.lost(node, &failure),
        }
        if self.nodes.iter().all(has_been_heard) {
            self.settle();
        }
        self.heard.notify_waiters();
    }

    /// Whether nothing is decided yet.
    pub(crate) fn is_unsettled(&self) -> bool {
        !lock(&self.topology).settled
    }

    /// Resolves when enough is known to use the node that has just answered: every other one has been heard, or has had
    /// about twice the time of the first to answer.
    pub(crate) async fn settled(&self) {
        let (began, answered) = {
            let topology = lock(&self.topology);
            let now = Instant::now();
            if topology.settled {
                return;
            }
            (topology.began.unwrap_or(now), topology.answered.unwrap_or(now))
        };
        let cancellation = ((answered - began) * 2 + SETTLING).min(self.connect_timeout);
        let deadline = (began + cancellation).into();
        if self.monitor_interval.is_some() {
            let all_heard = async {
                loop {
                    let heard = self.heard.notified();
                    if lock(&self.topology).settled {
                        return;
                    }
                    heard.await;
                }
            };
            let _ = timeout_at(deadline, all_heard).await;
        } else {
            // Nobody else looks at the others.
            let unheard = self.nodes.iter().filter(|node| !has_been_heard(node));
            let looks = unheard.map(|node| async move {
                let seen = match open(self, &self.monitor_config, node, Probe::is_writable).await {
                    Ok((_, probe)) => Observation::Alive(probe),
                    Err(failure) => Observation::Failed(failure),
                };
                self.observe(node, seen);
            });
            tokio::select! {
                _ = join_all(looks) => {}
                () = sleep_until(deadline) => {}
            }
        }
        self.settle();
    }

    /// Decides which cluster it is (the one most nodes belong to; of two with as many nodes, that of the first host), and
    /// then looks at what was seen.
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
        // Of several with as many votes max_by_key takes the last.
        let ours = identities.iter().rev().max_by_key(|identity| votes[*identity]).copied();
        let timeline = |node: &Arc<Node>| {
            lock(&node.early).filter(|probe| probe.identity.is_none_or(|own| Some(own) == ours))?.timeline
        };
        topology.identity = ours;
        topology.highest_timeline = self.nodes.iter().filter_map(timeline).max().unwrap_or(0);
        drop(topology);
        let mut early: Vec<_> = self.nodes.iter().filter_map(|node| Some((node, lock(&node.early).take()?))).collect();
        // Standbys are measured against the primary.
        early.sort_by_key(|(_, probe)| probe.role.in_recovery);
        for (node, probe) in early {
            self.alive(node, probe);
        }
    }

    fn alive(&self, node: &Arc<Node>, probe: Probe) {
        if let Some(reason) = self.foreign(node, &probe) {
            return self.refuse(node, reason);
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
        let writable = deposed.is_none() && fit(Mode::ReadWrite, probe.role) == Fit::Good;
        let state = if is_primary && !writable { State::Fenced } else { State::Up };
        let lag = if is_primary { None } else { probe.lsn.and_then(|lsn| lock(&self.topology).lag(lsn)) };
        let sighting = NodeStatus {
            state,
            role: Some(probe.role),
            timeline,
            latency: probe.latency.or(known.latency),
            lsn: probe.lsn.or(known.lsn),
            lag: lag.or(known.lag.filter(|_| !is_primary)),
            last_error: deposed,
            refusal: known.refusal.filter(|_| known.role == Some(probe.role)),
        };
        node.suspect.store(false, Ordering::Relaxed);
        *lock(&node.status) = sighting;
        if was_primary && is_primary && known.timeline < timeline {
            // Another server answers under this name.
            node.endpoint.break_connections();
        }
        if known.state != state || known.role.is_none() || was_primary != is_primary {
            self.tell_node(node, state);
            if state == State::Fenced && known.state != State::Fenced {
                self.tell("fenced", node, json!({}));
                if self.mode.must_write() {
                    node.endpoint.retire_connections();
                    self.retired.notify_one();
                }
            }
        }
        if writable {
            self.found_primary(node, timeline);
            let mut topology = lock(&self.topology);
            if topology.primary == Some(node.endpoint.index) {
                topology.note_position(probe.lsn);
            }
        } else {
            self.lost_primary(node);
        }
        if fit(self.mode, probe.role) == Fit::Good && self.objection_to(node, self.mode).is_none() {
            self.appeared.notify_waiters();
        }
    }

    /// Why a node that answers so is none of the cluster's.
    fn foreign(&self, node: &Node, probe: &Probe) -> Option<String> {
        let mut topology = lock(&self.topology);
        let Some(theirs) = probe.identity else {
            // Asked, and not told.
            if probe.latency.is_some() && self.nodes.len() > 1 && !std::mem::replace(&mut topology.warned, true) {
                drop(topology);
                self.tell("unidentified", node, json!({}));
            }
            return None;
        };
        let ours = *topology.identity.get_or_insert(theirs);
        (ours != theirs)
            .then(|| format!("belongs to another cluster: its system identifier is {theirs}, the others' is {ours}"))
    }

    /// Why a primary on `timeline` is none any more.
    fn deposed(&self, timeline: Option<u32>) -> Option<String> {
        let highest = lock(&self.topology).highest_timeline;
        let own = timeline.filter(|own| *own < highest)?;
        Some(format!("is a deposed primary: its timeline is {own}, another node's {highest}"))
    }

    /// Why a node whose role suits is not to be used for `mode` all the same.
    pub(crate) fn objection_to(&self, node: &Node, mode: Mode) -> Option<String> {
        let (role, timeline, refused) = {
            let seen = lock(&node.status);
            (seen.role, seen.timeline, seen.last_error.clone())
        };
        let Some(role) = role else { return Some(refused.unwrap_or_else(|| "no answer yet".to_owned())) };
        if role.in_recovery {
            return None;
        }
        self.deposed(timeline).or_else(|| self.rival(node, mode))
    }

    /// Why a connection on which `node` has said so is not to be used for `mode`, even if its role suits.
    pub(crate) fn objection(&self, node: &Node, probe: &Probe, mode: Mode) -> Option<String> {
        self.foreign(node, probe).or_else(|| {
            let timeline = probe.timeline.filter(|_| !probe.role.in_recovery)?;
            self.deposed(Some(timeline)).or_else(|| self.rival(node, mode))
        })
    }

    /// Of two primaries on the same timeline the one in use stays.
    fn rival(&self, node: &Node, mode: Mode) -> Option<String> {
        let other =
            lock(&self.topology).primary.filter(|other| mode.wants_primary() && *other != node.endpoint.index)?;
        Some(format!("is a primary on the same timeline as {}, which is in use", self.nodes[other].endpoint.label()))
    }

    /// Takes a node that is none of the cluster's out of use.
    fn refuse(&self, node: &Arc<Node>, reason: String) {
        let sighting = NodeStatus { state: State::Down, last_error: Some(reason), ..NodeStatus::default() };
        let before = std::mem::replace(&mut *lock(&node.status), sighting);
        if before.state != State::Down || before.role.is_some() {
            self.lost_primary(node);
            node.endpoint.break_connections();
            self.retired.notify_one();
            self.tell_node(node, State::Down);
        }
    }

    fn lost(&self, node: &Arc<Node>, failure: &HostFailure) {
        let gone = failure.is_of_the_node();
        let mut seen = lock(&node.status);
        seen.last_error = Some(failure.describe());
        let was = seen.state;
        // A server that refuses the monitor (too many connections, starting up) may still serve those it has.
        if gone || was == State::Unknown {
            seen.state = State::Down;
            seen.latency = None;
            seen.lag = None;
        }
        let changed = seen.state != was;
        drop(seen);
        if gone {
            *lock(&node.early) = None;
            self.lost_primary(node);
            node.endpoint.break_connections();
            self.retired.notify_one();
        }
        if changed {
            self.tell_node(node, State::Down);
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
        let down = topology.lost_at.take().map_or(0, |at| at.elapsed().as_millis() as u64);
        topology.primary = Some(node.endpoint.index);
        topology.last = Some(node.endpoint.index);
        topology.positions.clear();
        drop(topology);
        let Some(old) = from.filter(|old| *old != node.endpoint.index).map(|old| &self.nodes[old]) else {
            if from.is_none() {
                self.tell("primary", node, json!({ "from": null, "to": node.endpoint.label(), "downMs": down }));
            }
            return;
        };
        if lock(&old.status).role.is_none_or(|role| !role.in_recovery) {
            // It may not know yet (frozen, cut off, its manager dead). What runs there would be lost, or hang for want of
            // a standby.
            old.endpoint.break_connections();
            self.retired.notify_one();
            old.endpoint.request_check();
        }
        self.tell(
            "primary",
            node,
            json!({ "from": old.endpoint.label(), "to": node.endpoint.label(), "downMs": down }),
        );
    }

    fn lost_primary(&self, node: &Arc<Node>) {
        let mut topology = lock(&self.topology);
        if topology.primary == Some(node.endpoint.index) {
            topology.primary = None;
            topology.lost_at = Some(Instant::now());
            drop(topology);
            // Whichever node is promoted is to be seen at once.
            for node in &self.nodes {
                node.endpoint.request_check();
            }
        }
    }

    /// A server that is not to be trusted is somebody's to look after, even if others will do: told once for each reason.
    fn tell_of_distrust(&self, node: &Node, failure: &HostFailure) {
        let HostFailure::Untrusted(distrust) = failure else { return };
        if lock(&node.status).last_error.as_deref() != Some(&failure.describe()) {
            let mut event = ClientError::Untrusted(distrust.clone()).to_object(0);
            // It is nobody's statement.
            event.retain(|key, _| key != "attempts" && key != "outcome");
            event.insert("event".into(), json!("error"));
            self.announce(Value::Object(event));
        }
    }

    fn tell_node(&self, node: &Node, state: State) {
        let role = role_name(&lock(&node.status));
        self.tell("node", node, json!({ "state": state.name(), "role": role }));
    }

    fn tell(&self, event: &str, node: &Node, mut detail: Value) {
        detail["event"] = json!(event);
        detail["host"] = json!(node.endpoint.host_name());
        detail["port"] = json!(node.endpoint.port);
        self.announce(detail);
    }
}
