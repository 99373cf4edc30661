//! The part of a pool that serves one route: its waiting tasks, and its connections, kept per node.
//!
//! A pool has one `RoutePool` for each route in use: usually only that of the option `mode`. Tasks and failures of one
//! route do not delay the tasks of another.

use std::sync::Arc;
use std::time::Instant;

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

/// For this long after a quick statement the pool expects more of them.
const QUICK_WINDOW_US: u64 = 100_000;
/// A smaller pool keeps no connection free for quick statements.
const MIN_SIZE_TO_SPARE: usize = 4;
/// The most attempts to connect at a time: a pool of a hundred connections must not send a hundred logins at once to a
/// server that has just started.
const MAX_ATTEMPTS: usize = 4;

/// Tasks for which no connection was looked for yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh {
    pub(super) count: usize,
    /// The earliest `Task::next_check` of them.
    pub(super) next_check: Instant,
}

#[derive(Debug)]
pub(super) struct RoutePool<T> {
    pub(super) route: Route,
    pub(super) waiting: WaitQueue<T>,
    /// Tasks that were submitted since connections were last looked for.
    pub(super) fresh: Option<Fresh>,
    /// One for each node, in the order of the pool's hosts.
    pub(super) nodes: Vec<NodePool>,
    pub(super) active: Vec<Arc<ActiveConnection>>,
    /// When the last task with `Sharing::Any` was submitted, by [`clock`].
    pub(super) last_quick: u64,
    /// How many attempts to open a connection are under way.
    pub(super) attempts: usize,
    pub(super) last_attempt_failed: bool,
    /// The most connections.
    limit: usize,
    /// So many connections are kept open when they are idle, too.
    pub(super) least: usize,
}

impl<T: Task> RoutePool<T> {
    pub(super) fn new(cluster: &Arc<Cluster>, route: Route, limit: usize) -> Result<Self, BuildError> {
        let nodes = cluster.nodes.iter().map(|_| NodePool::new(cluster, limit)).collect::<Result<_, _>>()?;
        Ok(Self {
            route,
            waiting: WaitQueue::default(),
            fresh: None,
            nodes,
            active: Vec::new(),
            last_quick: 0,
            attempts: 0,
            last_attempt_failed: false,
            limit,
            least: 0,
        })
    }

    /// The number of connections, idle or busy.
    pub(super) fn size(&self) -> usize {
        self.nodes.iter().map(NodePool::size).sum()
    }

    /// A task has been submitted.
    pub(super) fn push_fresh(&mut self, task: T) {
        let next_check = task.next_check();
        self.waiting.push_back(task);
        self.fresh = Some(match self.fresh {
            None => Fresh { count: 1, next_check },
            Some(fresh) => Fresh { count: fresh.count + 1, next_check: fresh.next_check.min(next_check) },
        });
    }

    /// How many quick statements one connection gets before the next one gets any: what each would have if all were
    /// spread evenly. Statements that are sent together cost client and server less: one system call, one process to wake.
    pub(super) fn fair_share(&self, depth: usize) -> usize {
        if self.waiting.len() < 2 {
            return 1;
        }
        let in_flight: usize = self.active.iter().map(|active| active.load()).sum();
        ((in_flight + self.waiting.len()) / self.size().max(1)).clamp(1, depth)
    }

    /// Whether no task waits or runs.
    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.active.is_empty()
    }

    /// Whether a long statement waits and may begin.
    pub(super) fn may_begin_long(&self) -> bool {
        self.waiting.count_long() > 0 && self.room_for_long() > 0
    }

    /// How many more long statements may begin.
    fn room_for_long(&self) -> usize {
        let spare = self.limit >= MIN_SIZE_TO_SPARE && clock() - self.last_quick < QUICK_WINDOW_US;
        let most = self.limit - usize::from(spare);
        most.saturating_sub(self.active.iter().filter(|active| active.is_long()).count())
    }

    /// Reserves a busy connection for each waiting task that needs one to itself, less the connections that are being
    /// opened.
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

    /// Whether one more attempt to open a connection shall begin. If so, the attempt is counted.
    pub(super) fn begin_attempt(&mut self) -> bool {
        let room = self.active.len() + self.attempts < self.limit;
        let wanted = self.attempts < self.waiting.len().min(MAX_ATTEMPTS);
        let begins = room && wanted && !(self.last_attempt_failed && self.attempts > 0);
        self.attempts += usize::from(begins);
        begins
    }

    /// The same for a connection that no task waits for: there are fewer than are kept open in any case.
    pub(super) fn begin_attempt_for_least(&mut self) -> bool {
        let wanted = self.size() + self.attempts < self.least && self.attempts < MAX_ATTEMPTS;
        let begins = wanted && !(self.last_attempt_failed && self.attempts > 0);
        self.attempts += usize::from(begins);
        begins
    }

    /// Whether attempts are under way that may succeed soon.
    pub(super) fn is_growing(&self) -> bool {
        self.attempts > 0 && !self.last_attempt_failed
    }

    /// The number of busy connections, if the last attempt failed and the limit is not reached.
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
            // None of the node's idle connections could be used.
            candidates.retain(|candidate| candidate.node != chosen);
        }
    }

    /// The busy connection that gets the next pipelined task: the least busy one of the best node.
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
                // The role that the server reported on this connection is newer than the cluster's last observation.
                let fit = fit(self.route, active.session().conn.role());
                candidates.push(Candidate { fit, ..cluster.candidate(node, self.route) });
            }
        }
        let chosen = cluster.choose(&candidates)?;
        open().filter(|active| active.node() == chosen).min_by_key(|active| active.load()).cloned()
    }
}
