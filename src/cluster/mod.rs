//! The nodes, what is known of them, and how to get a connection to the right one.
//!
//! - `role`: which node suits which route (pure functions)
//! - `node`: one host and what was last seen of it
//! - `session_policy`: how connections behave: how large results may be, how statements are named, what is reset
//! - `discovery`: the race over the hosts
//! - `fence`: is a read-only answer the cluster's doing or the user's own
//! - `monitor`: the background task that looks at a node, for all pools that have it
//! - `topology`: what follows from what was seen: which node is the primary, which is not to be used, what the pool is told
//! - `status`: what is known of the nodes, for `nodes()` and for errors
//!
//! All observations end up in [`Cluster::observe`], the only place that changes a node's state.

pub(crate) mod discovery;
pub(crate) mod fence;
mod monitor;
pub(crate) mod node;
pub(crate) mod role;
pub(crate) mod session_policy;
mod status;
mod topology;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

pub(crate) use crate::cluster::monitor::MonitorInterval;
use crate::cluster::monitor::Watch;
use crate::cluster::node::{Node, State};
use crate::cluster::role::{Fit, Mode, fit};
use crate::cluster::session_policy::SessionPolicy;
pub(crate) use crate::cluster::topology::Observation;
use crate::cluster::topology::Topology;
use crate::connection::authentication::{Access, Connector};
use crate::connection::connection::Connection;
use crate::connection::endpoint::Endpoint;
use crate::connection::failure::ConnectFailure;
use crate::connection::notices::EventSink;
use crate::connection::pooler::StatementNaming;
use crate::connection::tls::Tls;
use crate::engine::{lock, random};

/// How long closing waits for the sockets to be closed.
const CLOSING: Duration = Duration::from_secs(1);

/// A list of hosts, seen with the eyes of one pool.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) mode: Mode,
    connect_timeout: Duration,
    config: Config,
    /// The same under another application_name: what the monitor's connections are called.
    monitor_config: Config,
    connector: Connector,
    /// Hosts are tried in random order.
    at_random: bool,
    /// A node was found once that suits the pool.
    served: AtomicBool,
    /// How the monitor looks; none: it does not.
    monitor_interval: Option<MonitorInterval>,
    topology: Mutex<Topology>,
    /// A node has answered, or has failed to.
    heard: Notify,
    /// Where the next search starts, so that pools over equal nodes spread.
    rotation: AtomicUsize,
    discovery: tokio::sync::Mutex<()>,
    /// A suitable node has appeared: whoever waits may try again.
    pub(crate) appeared: Notify,
    /// Connections to some node were retired: idle ones are to be dropped.
    pub(crate) retired: Notify,
    pub(crate) policy: SessionPolicy,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("nodes", &self.nodes).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Cluster {
    pub(crate) fn new(
        access: Access,
        mode: Mode,
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
            let watch = Watch::of((host, address, port), &access, connect_timeout, monitor_interval);
            let endpoint = Endpoint::new(index, host.clone(), address, port, watch.check());
            Arc::new(Node::new(endpoint, watch))
        };
        let nodes: Vec<_> = config.get_hosts().iter().enumerate().map(make).collect();
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
            mode,
            connect_timeout,
            config,
            monitor_config,
            connector,
            at_random,
            served: AtomicBool::new(false),
            monitor_interval,
            heard: Notify::new(),
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

    /// A connection to a node that suits the pool.
    pub(crate) async fn connect(&self) -> Result<Connection, ConnectFailure> {
        discovery::connect(self, self.mode).await
    }

    /// A connection to the primary that accepts writes, whatever the pool's mode.
    pub(crate) async fn connect_to_primary(&self) -> Result<Connection, ConnectFailure> {
        discovery::connect(self, Mode::ReadWrite).await
    }

    /// Starts looking at the nodes in the background, if the pool wants that.
    pub(crate) fn watch(self: &Arc<Self>) {
        if self.monitor_interval.is_some() {
            self.begin();
            for node in &self.nodes {
                node.watch.join(self, node.endpoint.index);
            }
        }
    }

    /// The nodes are being asked.
    fn begin(&self) {
        lock(&self.topology).begin();
    }

    /// Stops looking, and resolves when every connection that nobody has any more is closed.
    pub(crate) async fn close(self: &Arc<Self>) {
        let mut links: Vec<_> = self.nodes.iter().flat_map(|node| node.endpoint.links()).collect();
        for node in &self.nodes {
            links.extend(node.watch.leave(self).await);
        }
        let _ = timeout(CLOSING, join_all(links.iter().map(|link| link.ended()))).await;
    }

    /// The node to connect to for `mode`, when one is known to suit.
    fn target(&self, mode: Mode) -> Option<Arc<Node>> {
        let suits = |node: &&Arc<Node>| {
            let seen = lock(&node.status);
            let is_up = seen.state == State::Up || (seen.state == State::Fenced && !mode.must_write());
            is_up && !node.suspect.load(Ordering::Relaxed) && seen.role.is_some_and(|role| fit(mode, role) == Fit::Good)
        };
        let is_ours = |node: &&Arc<Node>| self.objection_to(node, mode).is_none();
        self.in_order(mode).iter().filter(suits).find(is_ours).cloned()
    }

    /// Whether nobody knows a node that suits the pool, not even as the second best.
    pub(crate) fn lacks_node(&self) -> bool {
        let is_up = |node: &Arc<Node>| {
            let seen = lock(&node.status);
            matches!(seen.state, State::Up | State::Fenced)
                && seen.role.is_some_and(|role| fit(self.mode, role) != Fit::No)
        };
        let found = |node: &Arc<Node>| is_up(node) && self.objection_to(node, self.mode).is_none();
        !self.nodes.iter().any(found)
    }

    /// Whether a better node than this connection's is up.
    pub(crate) fn has_better_than(&self, conn: &Connection) -> bool {
        fit(self.mode, conn.role()) == Fit::Fallback && self.target(self.mode).is_some()
    }

    /// All nodes in the order in which to try them: the known primary first where a primary is wanted, then in turn;
    /// nodes that are down last.
    fn in_order(&self, mode: Mode) -> Vec<Arc<Node>> {
        let first = match lock(&self.topology).primary {
            Some(primary) if mode.wants_primary() => primary,
            _ if mode.wants_primary() => 0,
            _ => self.rotation.fetch_add(1, Ordering::Relaxed),
        };
        let count = self.nodes.len();
        let mut nodes: Vec<_> = (0..count).map(|step| self.nodes[(first + step) % count].clone()).collect();
        if self.at_random {
            // The known primary stays where it is.
            let known = usize::from(mode.wants_primary() && lock(&self.topology).primary.is_some());
            shuffle(&mut nodes[known..]);
        }
        nodes.sort_by_key(|node| lock(&node.status).state == State::Down);
        nodes
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, (random() * (last + 1) as f64) as usize);
    }
}
