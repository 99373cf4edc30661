//! A list of hosts as one pool sees it: what all parts of the cluster share.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::cluster::balance::{self, Candidate};
use crate::cluster::node::{Node, NodeState};
use crate::cluster::role::{Fit, fit};
use crate::cluster::route::Route;
use crate::cluster::session_policy::SessionPolicy;
use crate::cluster::topology::Topology;
use crate::cluster::watch::{MonitorInterval, Watch, Watches};
use crate::connection::authentication::{Access, Connector};
use crate::connection::connection::Connection;
use crate::connection::endpoint::Endpoint;
use crate::connection::notices::EventSink;
use crate::connection::pooler::StatementNaming;
use crate::connection::tls::Tls;
use crate::engine::{lock, random};

/// The watches of all pools of the process.
static WATCHES: Watches<Cluster> = Watches::new();

/// A list of hosts as one pool sees it.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Arc<Node>>,
    /// The routes on which the pool has statements run.
    routes: Mutex<Vec<Route>>,
    /// Who looks at each node in the background.
    pub(super) watches: Vec<Arc<Watch<Cluster>>>,
    pub(super) connect_timeout: Duration,
    pub(super) config: Config,
    /// The same under another application_name: what the monitor's connections are called.
    pub(super) monitor_config: Config,
    pub(super) connector: Connector,
    /// Hosts are tried in random order.
    at_random: bool,
    /// A node was found once that suits a statement of the pool.
    pub(super) served: AtomicBool,
    /// How the monitor looks; none: it does not.
    pub(super) monitor_interval: Option<MonitorInterval>,
    pub(super) topology: Mutex<Topology>,
    /// A node has answered, or has failed to.
    pub(super) node_answered: Notify,
    /// Where the next search starts, so that pools over equal nodes spread.
    rotation: AtomicUsize,
    pub(super) discovery: tokio::sync::Mutex<()>,
    /// A suitable node has appeared: whoever waits may try again.
    pub(crate) appeared: Notify,
    /// Connections to some node were retired: idle ones are to be dropped.
    pub(crate) retired: Notify,
    pub(crate) policy: SessionPolicy,
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
        policy: SessionPolicy,
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
            (Arc::new(Node::new(endpoint)), watch)
        };
        let (nodes, watches): (Vec<_>, Vec<_>) = config.get_hosts().iter().enumerate().map(make).unzip();
        let mut monitor_config = config.clone();
        let name = config.get_application_name().unwrap_or("hyperiondb-client");
        monitor_config.application_name(format!("{name} monitor"));
        let Access { config, password, encryption, requirement, liveness, at_random, .. } = access;
        let naming = StatementNaming::new(policy.prepare);
        let tls = Tls::new(encryption, liveness);
        let connector = Connector::new((password, requirement), tls, naming, policy.result_limit, event_sink);
        Self {
            topology: Mutex::new(Topology::new(nodes.len())),
            nodes,
            routes: Mutex::new(vec![route]),
            watches,
            connect_timeout,
            config,
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
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How often a connection that must not be silently dead shows that it lives.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.monitor_interval.unwrap_or_default().interval()
    }

    /// How long a node may be silent before it counts as down.
    pub(crate) fn node_timeout(&self) -> Duration {
        self.monitor_interval.unwrap_or_default().node_timeout
    }

    /// Whether somebody listens to notices: until then they go no further.
    pub(crate) fn want_notices(&self, wanted: bool) {
        self.connector.want_notices(wanted);
    }

    /// Tells the pool's listeners of something.
    pub(crate) fn announce(&self, event: Value) {
        // Rare enough not to wait.
        drop(self.connector.announce(event));
    }

    /// The same where there is much to tell: waits while JavaScript is behind.
    pub(crate) async fn announce_in_time(&self, event: Value) {
        if let Some(room) = self.connector.announce(event) {
            room.await;
        }
    }

    /// Tells the pool's listeners of an error that no caller is told.
    pub(crate) fn announce_error(&self, code: &str, message: &str, node: &str) {
        self.announce(
            json!({ "event": "error", "class": "HyperionError", "code": code, "message": message, "node": node }),
        );
    }

    /// From now on the pool has statements run on this route, too.
    pub(crate) fn serve(&self, route: Route) {
        let mut routes = lock(&self.routes);
        if !routes.contains(&route) {
            routes.push(route);
        }
    }

    /// Whether a route of the pool is so.
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
        let nodes: Vec<_> = self.nodes.iter().filter(suits).filter(is_ours).collect();
        let candidates: Vec<_> = nodes.iter().map(|node| candidate(node, Fit::Good)).collect();
        let chosen = self.choose(&candidates)?;
        Some(self.nodes[chosen].clone())
    }

    /// Which of these nodes is to get the next statement, or connection.
    pub(crate) fn choose(&self, candidates: &[Candidate]) -> Option<usize> {
        match candidates {
            [] => None,
            [one] => Some(one.node),
            // Hosts that are tried in random order are chosen in random order, too.
            _ if self.at_random => balance::DEFAULT(candidates, (random() * f64::from(u32::MAX)) as usize),
            _ => balance::DEFAULT(candidates, self.rotation.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// What a choice on `route` knows of a node.
    pub(crate) fn candidate(&self, node: usize, route: Route) -> Candidate {
        let node = &self.nodes[node];
        let role = lock(&node.status).role;
        candidate(node, role.map_or(Fit::No, |role| fit(route, role)))
    }

    /// Whether nobody knows a node that suits `route`, not even as the second best.
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

    /// Whether a better node than this connection's is up.
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

    /// Why a node whose role suits `route` is not to be used for it all the same.
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

    /// Why a primary on `timeline` is none any more.
    pub(super) fn deposed(&self, timeline: Option<u32>) -> Option<String> {
        lock(&self.topology).deposed(timeline)
    }

    /// Of two primaries on the same timeline the one in use stays.
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

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, (random() * (last + 1) as f64) as usize);
    }
}
