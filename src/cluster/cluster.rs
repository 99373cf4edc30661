//! A list of hosts as one pool sees it: the state that all parts of the cluster share.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::cluster::balance::{self, Admission, Candidate, ReadCandidate};
use crate::cluster::failovers::Failovers;
use crate::cluster::node::{Node, NodeState};
use crate::cluster::read_policy::ReadPolicy;
use crate::cluster::replay::ReplayQueue;
use crate::cluster::role::{Fit, fit};
use crate::cluster::route::Route;
use crate::cluster::session_policy::SessionPolicy;
use crate::cluster::topology::Topology;
use crate::cluster::watch::{MonitorInterval, Watch, Watches};
use crate::connection::authentication::{Access, Connector};
use crate::connection::connection::Connection;
use crate::connection::endpoint::Endpoint;
use crate::connection::lease::Leases;
use crate::connection::notices::EventSink;
use crate::connection::pooler::StatementNaming;
use crate::connection::tls::Tls;
use crate::engine::{Statistics, lock, random};

/// The watches of all pools of the process.
static WATCHES: Watches<Cluster> = Watches::new();

/// A list of hosts as one pool sees it.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The routes on which the pool has statements run.
    routes: Mutex<Vec<Route>>,
    /// The watch over each node, in the order of the nodes.
    pub(super) watches: Vec<Arc<Watch<Cluster>>>,
    pub(super) connect_timeout: Duration,
    pub(super) config: Config,
    /// The configuration of the connections for reads: whatever the node becomes, they cannot write.
    pub(super) read_config: Config,
    /// The configuration of the monitor's connections: it has an application_name of its own.
    pub(super) monitor_config: Config,
    pub(super) connector: Connector,
    /// Hosts are tried in random order.
    at_random: bool,
    /// The pool has had a connection to a suitable node.
    pub(super) served: AtomicBool,
    /// How often the monitor checks the nodes; None: never.
    pub(super) monitor_interval: Option<MonitorInterval>,
    pub(super) topology: Mutex<Topology>,
    /// A node has answered or failed.
    pub(super) node_answered: Notify,
    /// Where the next search starts, so that connections spread over equal nodes.
    rotation: AtomicUsize,
    pub(super) discovery: tokio::sync::Mutex<()>,
    /// A suitable node has appeared: waiting tasks may try again.
    pub(crate) appeared: Notify,
    /// Connections to a node were retired: the pool must drop the idle ones.
    pub(crate) retired: Notify,
    pub(crate) policy: SessionPolicy,
    pub(super) reads: ReadPolicy,
    /// None: sessions have no leases.
    pub(crate) leases: Option<Arc<Leases>>,
    /// A login was refused because the server had no more room for sessions, and none has succeeded since.
    pub(super) was_full: AtomicBool,
    /// How many reads were placed: equal nodes take turns by it.
    pub(super) turns: AtomicU64,
    /// Memory for the choice of a node, used again for each read.
    pub(super) candidates: Mutex<Vec<(Admission, ReadCandidate)>>,
    pub(super) admitted: Mutex<Vec<ReadCandidate>>,
    pub(super) replay_queue: Mutex<ReplayQueue>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) failovers: Arc<Failovers>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("nodes", &self.nodes).field("routes", &self.routes).finish_non_exhaustive()
    }
}

impl Cluster {
    pub(crate) fn new(
        access: Access,
        route: Route,
        connect_timeout: Duration,
        monitor_interval: Option<MonitorInterval>,
        (policy, reads): (SessionPolicy, ReadPolicy),
        event_sink: EventSink,
    ) -> Self {
        let config = &access.config;
        let port_of = |index: usize| match config.get_ports() {
            [one] => *one,
            ports => ports.get(index).copied().unwrap_or(5432),
        };
        let make = |(index, host): (usize, &Host)| {
            let port = port_of(index);
            let address = access.addresses.get(index).copied().flatten();
            let watch = WATCHES.of((host, address, port), &access, connect_timeout, monitor_interval);
            let endpoint = Endpoint::new(index, host.clone(), address, port, watch.wake_up());
            (Arc::new(Node::new(endpoint, reads.weight(index), reads.slow_start)), watch)
        };
        let (nodes, watches): (Vec<_>, Vec<_>) = config.get_hosts().iter().enumerate().map(make).unzip();
        let mut monitor_config = config.clone();
        let name = config.get_application_name().unwrap_or("hyperiondb-client");
        monitor_config.application_name(format!("{name} monitor"));
        let mut read_config = config.clone();
        let settings = config.get_options().unwrap_or_default();
        read_config.options(format!("{settings} -c default_transaction_read_only=on").trim_start());
        let Access { config, password, encryption, requirement, liveness, at_random, leases, .. } = access;
        let statistics = Arc::<Statistics>::default();
        let labels = nodes.iter().map(|node: &Arc<Node>| node.endpoint.label()).collect();
        let failovers = Arc::new(Failovers::new(labels, statistics.clone(), event_sink.clone()));
        let naming = StatementNaming::new(policy.prepare);
        let tls = Tls::new(encryption, liveness);
        let connector =
            Connector::new((password, requirement), tls, (naming, leases.clone()), policy.result_limit, event_sink);
        Self {
            topology: Mutex::new(Topology::new(nodes.len())),
            nodes,
            routes: Mutex::new(vec![route]),
            watches,
            connect_timeout,
            config,
            read_config,
            monitor_config,
            connector,
            at_random,
            served: AtomicBool::new(false),
            monitor_interval,
            node_answered: Notify::new(),
            rotation: AtomicUsize::new(0),
            discovery: tokio::sync::Mutex::default(),
            appeared: Notify::new(),
            retired: Notify::new(),
            policy,
            reads,
            leases,
            was_full: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            candidates: Mutex::default(),
            admitted: Mutex::default(),
            replay_queue: Mutex::default(),
            statistics,
            failovers,
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How often a connection that waits for notifications is checked.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.monitor_interval.unwrap_or_default().interval()
    }

    /// How long a node may be silent before it counts as down.
    pub(crate) fn node_timeout(&self) -> Duration {
        self.monitor_interval.unwrap_or_default().node_timeout
    }

    /// The cluster's system identifier, if it is known.
    pub(crate) fn system(&self) -> Option<u64> {
        lock(&self.topology).identity
    }

    /// Whether a login was refused since the last call because the server had no more room for sessions.
    pub(crate) fn take_was_full(&self) -> bool {
        self.was_full.swap(false, Ordering::Relaxed)
    }

    /// Whether JavaScript has a listener for notices: they are dropped otherwise.
    pub(crate) fn want_notices(&self, wanted: bool) {
        self.connector.want_notices(wanted);
    }

    /// Sends an event of the pool to JavaScript.
    pub(crate) fn announce(&self, event: Value) {
        // Such an event is too rare to wait for room.
        drop(self.connector.announce(event));
    }

    /// Sends an event of which there may be many: waits while JavaScript is behind.
    pub(crate) async fn announce_in_time(&self, event: Value) {
        if let Some(room) = self.connector.announce(event) {
            room.await;
        }
    }

    /// Sends JavaScript an error that no caller gets.
    pub(crate) fn announce_error(&self, code: &str, message: &str, node: &str) {
        self.announce(
            json!({ "event": "error", "class": "HyperionError", "code": code, "message": message, "node": node }),
        );
    }

    /// From now on the pool uses this route, too.
    pub(crate) fn serve(&self, route: Route) {
        let mut routes = lock(&self.routes);
        if !routes.contains(&route) {
            routes.push(route);
        }
    }

    /// Whether `matches` is true of a route of the pool.
    pub(super) fn has_route(&self, matches: impl Fn(Route) -> bool) -> bool {
        let routes = lock(&self.routes).clone();
        routes.into_iter().any(matches)
    }

    /// The node to connect to on `route`, when one is known to suit.
    pub(super) fn target(&self, route: Route) -> Option<Arc<Node>> {
        let suits = |node: &&Arc<Node>| {
            let seen = lock(&node.status);
            let is_up = seen.state == NodeState::Up || (seen.state == NodeState::Fenced && !route.must_write());
            is_up
                && !node.suspect.load(Ordering::Relaxed)
                && seen.role.is_some_and(|role| fit(route, role) == Fit::Good)
        };
        let is_ours = |node: &&Arc<Node>| self.objection_to(node, route).is_none();
        let is_right = |node: &&Arc<Node>| route.node().is_none_or(|index| index == node.endpoint.index);
        let nodes: Vec<_> = self.nodes.iter().filter(is_right).filter(suits).filter(is_ours).collect();
        let candidates: Vec<_> = nodes.iter().map(|node| candidate(node, Fit::Good)).collect();
        let chosen = self.choose(&candidates)?;
        Some(self.nodes[chosen].clone())
    }

    /// Which of these nodes gets the next statement or connection.
    pub(crate) fn choose(&self, candidates: &[Candidate]) -> Option<usize> {
        match candidates {
            [] => None,
            [one] => Some(one.node),
            // Hosts that are tried in random order are chosen in random order, too.
            _ if self.at_random => balance::DEFAULT(candidates, (random() * f64::from(u32::MAX)) as usize),
            _ => balance::DEFAULT(candidates, self.rotation.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// A node as a candidate for `route`.
    pub(crate) fn candidate(&self, node: usize, route: Route) -> Candidate {
        let node = &self.nodes[node];
        let role = lock(&node.status).role;
        candidate(node, role.map_or(Fit::No, |role| fit(route, role)))
    }

    /// Whether no known node suits `route`, not even as a fallback.
    pub(crate) fn lacks_node(&self, route: Route) -> bool {
        let is_up = |node: &Arc<Node>| {
            let seen = lock(&node.status);
            matches!(seen.state, NodeState::Up | NodeState::Fenced)
                && seen.role.is_some_and(|role| fit(route, role) != Fit::No)
        };
        let found = |node: &Arc<Node>| is_up(node) && self.objection_to(node, route).is_none();
        !self.nodes.iter().any(found)
    }

    /// Whether a route of the pool lacks a node.
    pub(super) fn lacks_some_node(&self) -> bool {
        self.has_route(|route| self.lacks_node(route))
    }

    /// Whether a node is up that suits `route` better than this connection's.
    pub(crate) fn has_better_than(&self, conn: &Connection, route: Route) -> bool {
        fit(route, conn.role()) == Fit::Fallback && self.target(route).is_some()
    }

    /// All nodes in the order in which to try them: the known primary first where a primary is wanted, then in turn;
    /// nodes that are down last.
    pub(super) fn in_order(&self, route: Route) -> Vec<Arc<Node>> {
        let primary = lock(&self.topology).primary.filter(|_| route.wants_primary());
        let first = match primary {
            Some(primary) => primary,
            None if route.wants_primary() => 0,
            None => self.rotation.fetch_add(1, Ordering::Relaxed),
        };
        let count = self.nodes.len();
        let mut nodes: Vec<_> = (0..count).map(|step| self.nodes[(first + step) % count].clone()).collect();
        if self.at_random {
            // The known primary stays where it is.
            shuffle(&mut nodes[usize::from(primary.is_some())..]);
        }
        nodes.sort_by_key(|node| lock(&node.status).state == NodeState::Down);
        nodes
    }

    /// Why a node must not be used for `route` although its role suits.
    pub(super) fn objection_to(&self, node: &Node, route: Route) -> Option<String> {
        let (role, timeline, refused) = {
            let seen = lock(&node.status);
            (seen.role, seen.timeline, seen.last_error.clone())
        };
        let Some(role) = role else { return Some(refused.unwrap_or_else(|| "no answer yet".to_owned())) };
        if role.in_recovery {
            return None;
        }
        self.deposed(timeline).or_else(|| self.rival(node, route))
    }

    /// Why a primary on `timeline` is deposed, if it is.
    pub(super) fn deposed(&self, timeline: Option<u32>) -> Option<String> {
        lock(&self.topology).deposed(timeline)
    }

    /// Why a second primary on the same timeline must not be used: the one in use stays.
    pub(super) fn rival(&self, node: &Node, route: Route) -> Option<String> {
        let primary = lock(&self.topology).primary?;
        let other = Some(primary).filter(|other| route.wants_primary() && *other != node.endpoint.index)?;
        let label = self.nodes[other].endpoint.label();
        Some(format!("is a primary on the same timeline as {label}, which is in use"))
    }
}

fn candidate(node: &Node, fit: Fit) -> Candidate {
    let endpoint = &node.endpoint;
    Candidate { node: endpoint.index, fit, in_flight: endpoint.in_flight(), connections: endpoint.connections() }
}

/// Shuffles by Fisher and Yates.
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, (random() * (last + 1) as f64) as usize);
    }
}
