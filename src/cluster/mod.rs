//! The nodes, what is known of them, and how to get a connection to the right one.
//!
//! - `role`: which node suits which pool (pure functions)
//! - `node`: one host and what was last seen of it
//! - `socket`, `conn`: one connection and the task that drives it
//! - `ear`: hears what tokio-postgres keeps to itself: the answers to a script, the end of a COPY that goes on
//! - `notices`: the server's notices on their way to JavaScript
//! - `formats`: asks for columns as text where binary will not do
//! - `wire`: checks what servers send, and changes what we send where tokio-postgres cannot
//! - `manners`: how connections behave: how large results may be, how statements are called
//! - `probe`: what a node says of itself when asked
//! - `connect`: the race over the hosts
//! - `words`: an error of tokio-postgres, in words
//! - `failure`: why a host could not be used
//! - `guard`: what a server may ask for before it is shown to be ours
//! - `login`: the way into one of them: encryption, password
//! - `tls`: encryption
//! - `fence`: is a read-only answer the cluster's doing or the user's own
//! - `monitor`: the background task that looks at a node, for all pools that have it
//! - `view`: what follows from what was seen: which node is the primary, which is not to be used, what the pool is told
//! - `report`: all this in words and numbers, for `nodes()` and for errors
//!
//! All observations end up in [`Cluster::observe`], the only place that changes a node's state.

pub(crate) mod conn;
pub(crate) mod connect;
pub(crate) mod ear;
pub(crate) mod failure;
pub(crate) mod fence;
pub(crate) mod formats;
pub(crate) mod guard;
pub(crate) mod login;
pub(crate) mod manners;
mod monitor;
pub(crate) mod node;
mod notices;
pub(crate) mod probe;
mod report;
pub(crate) mod role;
pub(crate) mod socket;
pub(crate) mod tls;
mod view;
pub(crate) mod wire;
pub(crate) mod words;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use self::conn::Conn;
use self::failure::ConnectFailure;
pub(crate) use self::login::Access;
use self::login::Credentials;
use self::manners::Manners;
pub(crate) use self::monitor::Rhythm;
use self::monitor::Watch;
use self::node::{Node, State};
use self::role::{Fit, Mode, fit};
use self::tls::Tls;
pub(crate) use self::view::Observation;
use self::view::View;
use crate::engine::{lock, random};

/// What happened in the cluster, as the pool's events tell it.
pub(crate) type Observer = Arc<dyn Fn(Value) -> Room + Send + Sync>;

/// What to wait for before more is told, where there is much to tell; None: there is room.
pub(crate) type Room = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

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
    credentials: Credentials,
    tls: Arc<Tls>,
    /// Hosts are tried in random order.
    at_random: bool,
    /// A node was found once that suits the pool.
    served: AtomicBool,
    /// How the monitor looks; none: it does not.
    rhythm: Option<Rhythm>,
    view: Mutex<View>,
    /// A node has answered, or has failed to.
    heard: Notify,
    /// Where the next search starts, so that pools over equal nodes spread.
    rotation: AtomicUsize,
    discovery: tokio::sync::Mutex<()>,
    /// A suitable node has appeared: whoever waits may try again.
    pub(crate) appeared: Notify,
    /// Connections to some node were retired: idle ones are to be dropped.
    pub(crate) retired: Notify,
    pub(crate) manners: Manners,
    observer: Observer,
    /// Somebody listens to notices.
    notices: Arc<AtomicBool>,
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
        rhythm: Option<Rhythm>,
        manners: Manners,
        observer: Observer,
    ) -> Self {
        let config = &access.config;
        let port_of = |index: usize| match config.get_ports() {
            [one] => *one,
            ports => ports.get(index).copied().unwrap_or(5432),
        };
        let make = |(index, host): (usize, &Host)| {
            let port = port_of(index);
            let address = access.addresses.get(index).copied().flatten();
            let watch = Watch::of((host, address, port), &access, connect_timeout, rhythm);
            Arc::new(Node::new(index, host.clone(), address, port, watch))
        };
        let nodes: Vec<_> = config.get_hosts().iter().enumerate().map(make).collect();
        let mut monitor_config = config.clone();
        let name = config.get_application_name().unwrap_or("hyperiondb-client");
        monitor_config.application_name(format!("{name} monitor"));
        let Access { config, password, encryption, requirement, liveness, at_random, .. } = access;
        Self {
            view: Mutex::new(View::new(nodes.len())),
            nodes,
            mode,
            connect_timeout,
            config,
            monitor_config,
            credentials: Credentials::new(password, requirement),
            tls: Arc::new(Tls::new(encryption, liveness)),
            at_random,
            served: AtomicBool::new(false),
            rhythm,
            heard: Notify::new(),
            rotation: AtomicUsize::new(0),
            discovery: tokio::sync::Mutex::default(),
            appeared: Notify::new(),
            retired: Notify::new(),
            manners,
            observer,
            notices: Arc::default(),
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// How often a connection that must not be silently dead shows that it lives.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.rhythm.unwrap_or_default().interval()
    }

    /// How long a node may be silent before it counts as down.
    pub(crate) fn node_timeout(&self) -> Duration {
        self.rhythm.unwrap_or_default().node_timeout
    }

    /// Whether somebody listens to notices: until then they go no further.
    pub(crate) fn want_notices(&self, wanted: bool) {
        self.notices.store(wanted, Ordering::Relaxed);
    }

    /// Tells the pool's listeners of something.
    pub(crate) fn announce(&self, event: Value) {
        // Rare enough not to wait.
        drop((self.observer)(event));
    }

    /// Tells the pool's listeners of an error that no caller is told.
    pub(crate) fn announce_error(&self, code: &str, message: &str, node: &str) {
        self.announce(
            json!({ "event": "error", "class": "HyperionError", "code": code, "message": message, "node": node }),
        );
    }

    /// A connection to a node that suits the pool.
    pub(crate) async fn connect(&self) -> Result<Conn, ConnectFailure> {
        connect::connect(self, self.mode).await
    }

    /// A connection to the primary that accepts writes, whatever the pool's mode.
    pub(crate) async fn connect_to_primary(&self) -> Result<Conn, ConnectFailure> {
        connect::connect(self, Mode::ReadWrite).await
    }

    /// Starts looking at the nodes in the background, if the pool wants that.
    pub(crate) fn watch(self: &Arc<Self>) {
        if self.rhythm.is_some() {
            self.begin();
            for node in &self.nodes {
                node.watch.join(self, node.index);
            }
        }
    }

    /// The nodes are being asked.
    fn begin(&self) {
        lock(&self.view).begin();
    }

    /// Stops looking, and resolves when every connection that nobody has any more is closed.
    pub(crate) async fn close(self: &Arc<Self>) {
        let mut links: Vec<_> = self.nodes.iter().flat_map(|node| node.links()).collect();
        for node in &self.nodes {
            links.extend(node.watch.leave(self).await);
        }
        let _ = timeout(CLOSING, join_all(links.iter().map(|link| link.ended()))).await;
    }

    /// The node to connect to for `mode`, when one is known to suit.
    fn target(&self, mode: Mode) -> Option<Arc<Node>> {
        let suits = |node: &&Arc<Node>| {
            let seen = lock(&node.seen);
            let is_up = seen.state == State::Up || (seen.state == State::Fenced && !mode.must_write());
            is_up && !node.suspect.load(Ordering::Relaxed) && seen.role.is_some_and(|role| fit(mode, role) == Fit::Good)
        };
        let is_ours = |node: &&Arc<Node>| self.objection_to(node, mode).is_none();
        self.in_order(mode).iter().filter(suits).find(is_ours).cloned()
    }

    /// Whether nobody knows a node that suits the pool, not even as the second best.
    fn lacks_node(&self) -> bool {
        let is_up = |node: &Arc<Node>| {
            let seen = lock(&node.seen);
            matches!(seen.state, State::Up | State::Fenced)
                && seen.role.is_some_and(|role| fit(self.mode, role) != Fit::No)
        };
        let found = |node: &Arc<Node>| is_up(node) && self.objection_to(node, self.mode).is_none();
        !self.nodes.iter().any(found)
    }

    /// Whether a better node than this connection's is up.
    pub(crate) fn has_better_than(&self, conn: &Conn) -> bool {
        fit(self.mode, conn.role()) == Fit::Fallback && self.target(self.mode).is_some()
    }

    /// All nodes in the order in which to try them: the known primary first where a primary is wanted, then in turn;
    /// nodes that are down last.
    fn in_order(&self, mode: Mode) -> Vec<Arc<Node>> {
        let first = match lock(&self.view).primary {
            Some(primary) if mode.wants_primary() => primary,
            _ if mode.wants_primary() => 0,
            _ => self.rotation.fetch_add(1, Ordering::Relaxed),
        };
        let count = self.nodes.len();
        let mut nodes: Vec<_> = (0..count).map(|step| self.nodes[(first + step) % count].clone()).collect();
        if self.at_random {
            // The known primary stays where it is.
            let known = usize::from(mode.wants_primary() && lock(&self.view).primary.is_some());
            shuffle(&mut nodes[known..]);
        }
        nodes.sort_by_key(|node| lock(&node.seen).state == State::Down);
        nodes
    }
}

/// Fisher and Yates.
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, (random() * (last + 1) as f64) as usize);
    }
}
