//! Which node answers a read of `pool.read`.
//!
//!     fit (fitness) -> has the position, if the read names one (replay) -> not ejected (read_health) -> balance
//!
//! When no standby is left the primary answers, if the read allows it. All this happens for each read, on the I/O
//! thread, without waiting: a read that has to wait gets told for what.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cluster::balance::{Admission, Draws, ReadCandidate, Usable, due_probe};
use crate::cluster::cluster::Cluster;
use crate::cluster::consistency::ConsistencyToken;
use crate::cluster::fitness::{Moment, Unfit};
use crate::cluster::node::{Node, NodeState};
use crate::cluster::read_policy::{Bounds, ReadPolicy};
use crate::cluster::replay::Reach;
use crate::cluster::route::{ReadFrom, Route};
use crate::engine::{clock, lock, random};
use crate::error::HostReason;

/// What a read asks of its node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) bounds: Bounds,
    /// The node must have this position.
    pub(crate) after: Option<ConsistencyToken>,
    /// A node that may have the position meanwhile is good enough: its session is asked in the flight of the read.
    pub(crate) may_try: bool,
    /// The read still has time to wait for a standby to reach the position.
    pub(crate) may_wait: bool,
    /// Whether the primary may answer.
    pub(crate) fallback: bool,
    /// Nodes at which the read has failed.
    pub(crate) failed: Vec<usize>,
    /// The choice of the caller's own function.
    pub(crate) chosen: Option<usize>,
}

/// Where a read goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    On(usize),
    /// Nowhere before one of these nodes has replayed the read's position.
    AfterReplay(Vec<usize>),
    /// Nowhere before something changes.
    Nowhere,
}

/// A read that a node has to answer, as long as this lives.
#[derive(Debug)]
pub(crate) struct PlacedRead(Arc<Node>);

impl PlacedRead {
    pub(crate) fn node(&self) -> usize {
        self.0.endpoint.index
    }

    /// The node has answered, this many microseconds after it was asked; 0: that says nothing about its speed.
    pub(crate) fn answered(&self, rtt_us: u64) {
        lock(&self.0.health).answered(clock(), rtt_us);
    }

    /// A read was given up after so many microseconds.
    pub(crate) fn took(&self, rtt_us: u64) {
        lock(&self.0.health).took(clock(), rtt_us);
    }

    /// The node could not be used.
    pub(crate) fn failed(&self) {
        lock(&self.0.health).failed(clock(), random());
    }
}

impl Drop for PlacedRead {
    fn drop(&mut self) {
        self.0.reads.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Cluster {
    /// Chooses the node of a read.
    pub(crate) fn place_read(self: &Arc<Self>, wish: &Wish) -> Placement {
        let (moment, now) = (self.moment(), clock());
        let mut late = Vec::new();
        if let Some(node) = self.place_on_standby(wish, &moment, now, &mut late) {
            return Placement::On(node);
        }
        if wish.may_wait && !late.is_empty() {
            return Placement::AfterReplay(late);
        }
        let primary = if wish.fallback { self.readable_primary(wish, &moment) } else { None };
        primary.map_or(Placement::Nowhere, Placement::On)
    }

    /// Whether no node has answered yet.
    pub(crate) fn is_unknown(&self) -> bool {
        self.nodes.iter().all(|node| lock(&node.status).role.is_none())
    }

    /// Counts a read for a node.
    pub(crate) fn placed(&self, node: usize) -> PlacedRead {
        let node = self.nodes[node].clone();
        node.reads.fetch_add(1, Ordering::Relaxed);
        PlacedRead(node)
    }

    /// The standby that is to answer. `late`: those that would, if they had the position.
    fn place_on_standby(
        self: &Arc<Self>,
        wish: &Wish,
        moment: &Moment,
        now: u64,
        late: &mut Vec<usize>,
    ) -> Option<usize> {
        // A position of a timeline that was left behind may not be part of the newer one; of a timeline that no node is
        // known to have, no standby can have it.
        if wish.after.is_some_and(|token| token.timeline != moment.highest_timeline) {
            return None;
        }
        let mut candidates = lock(&self.candidates);
        candidates.clear();
        let mut reached = false;
        for (index, node) in self.nodes.iter().enumerate() {
            match self.unfit(node, wish.bounds, moment) {
                None if wish.failed.contains(&index) => continue,
                None => {}
                Some(unfit) => {
                    if unfit == Unfit::Silent {
                        self.ask_if_nobody_does(node, now);
                    }
                    continue;
                }
            }
            if let Some(token) = &wish.after {
                match node.reach(token, now) {
                    Some(Reach::Reached) if !reached => {
                        reached = true;
                        candidates.drain(..).for_each(|(_, other)| self.ask_for_replay(other.node));
                    }
                    Some(Reach::Reached) => {}
                    Some(Reach::Perhaps) if wish.may_try && !reached => {}
                    Some(Reach::Perhaps) => {
                        // So that later reads know more.
                        self.ask_for_replay(index);
                        late.push(index);
                        continue;
                    }
                    Some(Reach::NotYet) => {
                        late.push(index);
                        continue;
                    }
                    None => continue,
                }
            }
            if wish.chosen == Some(index) {
                return Some(index);
            }
            candidates.push(node.as_candidate(now, Some(&self.reads).filter(|reads| reads.balance.measures())));
        }
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let admissions = candidates.iter().map(|(admission, _)| *admission);
        if let Some(place) = due_probe(admissions.clone(), turn) {
            // One read at a time shows whether a node is well again.
            let node = candidates[place].1.node;
            lock(&self.nodes[node].health).begin_probe(now);
            return Some(node);
        }
        let usable = Usable::of(admissions);
        let mut admitted = lock(&self.admitted);
        admitted.clear();
        let is_admitted = |(place, (admission, _)): &(usize, &(Admission, _))| usable.allows(*place, *admission);
        admitted.extend(candidates.iter().enumerate().filter(is_admitted).map(|(_, (_, candidate))| *candidate));
        match admitted.as_slice() {
            [] => None,
            [one] => Some(one.node),
            many => self.reads.balance.choose(many, Draws { turn, a: random(), b: random() }),
        }
    }

    /// The primary, if it can answer a read.
    fn readable_primary(&self, wish: &Wish, moment: &Moment) -> Option<usize> {
        let is_readable = |index: &usize| {
            if wish.failed.contains(index) {
                return false;
            }
            let node = &self.nodes[*index];
            let (role, state, timeline) = {
                let seen = lock(&node.status);
                (seen.role, seen.state, seen.timeline)
            };
            // A fenced primary still has all that was committed.
            (self.counts_as_up(state) || state == NodeState::Fenced)
                && role.is_some_and(|role| !role.in_recovery)
                && wish.after.is_none_or(|token| timeline.is_some_and(|own| own >= token.timeline))
                && self.deposed(timeline).is_none()
        };
        moment.primary.filter(is_readable).or_else(|| (0..self.nodes.len()).find(is_readable))
    }

    /// Why each node could not answer a read, for the error.
    pub(crate) fn why_unfit(&self, wish: &Wish) -> Vec<HostReason> {
        let moment = self.moment();
        let mut reasons = self.reasons(Route::Read { from: ReadFrom::Standby });
        for (node, reason) in self.nodes.iter().zip(&mut reasons) {
            match self.unfit(node, wish.bounds, &moment) {
                // `reasons` knows more of these.
                Some(Unfit::Silent | Unfit::Primary) => {}
                Some(unfit) => reason.reason = unfit.to_string(),
                None => {
                    let failure = lock(&node.status).refusal.clone();
                    let behind = wish.after.is_some().then(|| "has not reached the position of the token".to_owned());
                    reason.reason = failure.or(behind).unwrap_or_else(|| "the read has failed there".to_owned());
                }
            }
        }
        reasons
    }

    /// Why a node gets no reads of this pool; None: it gets some. For `nodes()`.
    pub(super) fn why_not_read_from(&self, node: &Node) -> Option<String> {
        let moment = self.moment();
        if let Some(unfit) = self.unfit(node, self.reads.bounds, &moment) {
            return Some(unfit.to_string());
        }
        match node.as_candidate(clock(), None).0 {
            Admission::Out { .. } => Some("has failed, and is left alone for a while".to_owned()),
            Admission::In { .. } | Admission::Probe => None,
        }
    }
}

impl Node {
    /// Whether the standby has the position of a token. None: it is not known to be on the token's timeline.
    fn reach(&self, token: &ConsistencyToken, now: u64) -> Option<Reach> {
        let is_on_timeline = lock(&self.status).timeline == Some(token.timeline);
        is_on_timeline.then(|| self.replay.reach(token.lsn, now))
    }

    /// `measured`: the policy, if its strategy looks at what is measured.
    fn as_candidate(&self, now: u64, measured: Option<&ReadPolicy>) -> (Admission, ReadCandidate) {
        let health = lock(&self.health);
        let admission = health.admission(now);
        let mut candidate = ReadCandidate {
            node: self.endpoint.index,
            in_flight: self.reads.load(Ordering::Relaxed),
            weight: self.weight,
            share: admission.share(),
            latency_us: 0.0,
            lag_ms: 0.0,
            error_rate: 0.0,
        };
        if let Some(policy) = measured {
            candidate.latency_us = health.latency_us(now);
            candidate.error_rate = health.error_rate(now);
            if 1.0 - candidate.error_rate < policy.health_threshold {
                candidate.weight = 0.0;
            }
            candidate.lag_ms = lock(&self.status).lag.map_or(0.0, |lag| lag.time.as_secs_f64() * 1000.0);
        }
        (admission, candidate)
    }
}
