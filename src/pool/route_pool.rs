//! The part of a pool that serves one route: the work that waits for it, and its connections, kept per node.
//!
//! A pool has one of these for each route in use: usually one, that of the option `mode`. What runs, waits or fails on one
//! route holds up no other.

use std::sync::Arc;

use deadpool::managed::BuildError;

use crate::cluster::Cluster;
use crate::cluster::balance::Candidate;
use crate::cluster::role::fit;
use crate::cluster::route::Route;
use crate::engine::clock;
use crate::pool::active_connection::ActiveConnection;
use crate::pool::node_pool::{NodePool, PooledSession};
use crate::pool::task::Task;
use crate::pool::wait_queue::WaitQueue;

/// So long after the last quick statement others are expected.
const QUICK_WINDOW_US: u64 = 100_000;
/// A smaller pool has no connection to spare for quick statements.
const MIN_SIZE_TO_SPARE: usize = 4;
/// Attempts to get one more connection at a time: a pool of a hundred must not knock a hundred times at a server that has just
/// come up.
const MAX_ATTEMPTS: usize = 4;

#[derive(Debug)]
pub(super) struct RoutePool<T> {
    pub(super) route: Route,
    pub(super) waiting: WaitQueue<T>,
    /// One for each node, in the order of the pool's hosts.
    pub(super) nodes: Vec<NodePool>,
    pub(super) active: Vec<Arc<ActiveConnection>>,
    /// When a statement that may share was handed in, by [`clock`].
    pub(super) last_quick: u64,
    /// Attempts to open a connection that are under way.
    pub(super) attempts: usize,
    /// The last attempt to open one failed.
    pub(super) last_attempt_failed: bool,
    /// Connections at most.
    limit: usize,
}

impl<T: Task> RoutePool<T> {
    pub(super) fn new(cluster: &Arc<Cluster>, route: Route, limit: usize) -> Result<Self, BuildError> {
        let nodes = cluster.nodes.iter().map(|_| NodePool::new(cluster, limit)).collect::<Result<_, _>>()?;
        Ok(Self {
            route,
            waiting: WaitQueue::default(),
            nodes,
            active: Vec::new(),
            last_quick: 0,
            attempts: 0,
            last_attempt_failed: false,
            limit,
        })
    }

    /// Connections, idle or not.
    pub(super) fn size(&self) -> usize {
        self.nodes.iter().map(NodePool::size).sum()
    }

    /// Nothing waits, and nothing runs.
    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// Whether one of those that wait and take long may begin.
    pub(super) fn may_begin_long(&self) -> bool {
        self.waiting.count_long() > 0 && self.room_for_long() > 0
    }

    /// How many more statements that take long may begin.
    fn room_for_long(&self) -> usize {
        let spare = self.limit >= MIN_SIZE_TO_SPARE && clock() - self.last_quick < QUICK_WINDOW_US;
        let most = self.limit - usize::from(spare);
        most.saturating_sub(self.active.iter().filter(|active| active.is_long()).count())
    }

    /// Makes as many connections come free as there are tasks that need one alone, beside those that are on their way.
    pub(super) fn reserve_connections(&self) {
        let long = if self.may_begin_long() { self.waiting.count_long().min(self.room_for_long()) } else { 0 };
        let coming = if self.last_attempt_failed { 0 } else { self.attempts };
        let wanted = (self.waiting.count_alone() + long).saturating_sub(coming);
        let mut reserved = self.active.iter().filter(|active| active.is_reserved()).count();
        while reserved < wanted {
            let free = self.active.iter().filter(|active| !active.is_reserved() && !active.is_long());
            let Some(active) = free.min_by_key(|active| active.load()) else { return };
            active.reserve();
            reserved += 1;
        }
    }

    /// Whether one more attempt to open a connection is wanted; if so it is counted.
    pub(super) fn begin_attempt(&mut self) -> bool {
        let room = self.active.len() + self.attempts < self.limit;
        let wanted = self.attempts < self.waiting.len().min(MAX_ATTEMPTS);
        let begins = room && wanted && !(self.last_attempt_failed && self.attempts > 0);
        self.attempts += usize::from(begins);
        begins
    }

    /// Whether a connection will come, or an attempt is under way.
    pub(super) fn is_growing(&self) -> bool {
        self.attempts > 0 && !self.last_attempt_failed
    }

    /// So many connections there are, because attempts to open more have failed; none: there are as many as may be.
    pub(super) fn reduced_size(&self) -> Option<usize> {
        (self.last_attempt_failed && self.active.len() < self.limit).then_some(self.active.len())
    }

    /// An idle connection on the best node that has one.
    pub(super) fn check_out(&self, cluster: &Cluster) -> Option<PooledSession> {
        let has_idle = |node: &usize| cluster.nodes[*node].endpoint.connections() > 0 && self.nodes[*node].has_idle();
        let mut nodes = (0..self.nodes.len()).filter(has_idle);
        let first = nodes.next()?;
        let Some(second) = nodes.next() else { return self.nodes[first].check_out() };
        let nodes = [first, second].into_iter().chain(nodes);
        let mut candidates: Vec<Candidate> = nodes.map(|node| cluster.candidate(node, self.route)).collect();
        loop {
            let chosen = cluster.choose(&candidates)?;
            if let Some(object) = self.nodes[chosen].check_out() {
                return Some(object);
            }
            // Its idle connections were no good.
            candidates.retain(|candidate| candidate.node != chosen);
        }
    }

    /// The busy connection that is best to send one more statement down: the least busy one of the best node.
    pub(super) fn best_shared(&self, cluster: &Cluster, depth: usize) -> Option<Arc<ActiveConnection>> {
        let now = clock();
        let open =
            |active: &&Arc<ActiveConnection>| active.has_pipeline_room(depth, now) && active.session().is_usable();
        let mut open = self.active.iter().filter(open).peekable();
        let node = open.peek()?.node();
        let mut others = false;
        let least = open.inspect(|active| others |= active.node() != node).min_by_key(|active| active.load());
        if !others {
            return least.cloned();
        }
        let open =
            || self.active.iter().filter(|active| active.has_pipeline_room(depth, now) && active.session().is_usable());
        let mut candidates: Vec<Candidate> = Vec::with_capacity(self.nodes.len());
        for active in open() {
            let node = active.node();
            if candidates.iter().all(|candidate| candidate.node != node) {
                // What the connection itself says of its node is newer than what the cluster has seen.
                let fit = fit(self.route, active.session().conn.role());
                candidates.push(Candidate { fit, ..cluster.candidate(node, self.route) });
            }
        }
        let chosen = cluster.choose(&candidates)?;
        open().filter(|active| active.node() == chosen).min_by_key(|active| active.load()).cloned()
    }
}
