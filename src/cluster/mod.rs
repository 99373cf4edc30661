//! The nodes, what is known of them, and how to get a connection to the right one.
//!
//! - `role`: which node suits which pool (pure functions)
//! - `node`: one host and what was last seen of it
//! - `socket`, `conn`: one connection and the task that drives it
//! - `ear`: hears the server refuse a COPY whose data is still on its way
//! - `connect`: the race over the hosts
//! - `fence`: is a read-only answer the cluster's doing or the user's own
//! - `monitor`: the background task that looks at every node
//!
//! All observations end up in [`Cluster::observe`], the only place that changes a node's state.

pub(crate) mod conn;
pub(crate) mod connect;
pub(crate) mod ear;
pub(crate) mod fence;
mod monitor;
pub(crate) mod node;
pub(crate) mod role;
pub(crate) mod socket;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use self::conn::{Conn, Probe};
use self::connect::{ConnectFailure, HostFailure};
use self::node::{Node, Sighting, State};
use self::role::{Fit, Mode, fit};
use crate::engine::lock;
use crate::error::HostReason;

/// Asks for a password; resolves to the password or the error's text.
pub(crate) type AskPassword =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

/// Where passwords come from.
pub(crate) enum Password {
    /// One for each host, as far as known (`~/.pgpass` can differ by host).
    PerHost(Vec<Option<String>>),
    /// The user's function, called for each new connection.
    Ask(AskPassword),
}

impl Password {
    async fn get(&self, host: usize) -> Result<Option<String>, String> {
        match self {
            Self::PerHost(passwords) => Ok(passwords.get(host).cloned().flatten()),
            Self::Ask(ask) => ask().await.map(Some),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// What happened in the cluster, as the pool's events tell it.
pub(crate) type Observer = Box<dyn Fn(Value) + Send + Sync>;

/// Something seen of a node.
#[derive(Debug)]
pub(crate) enum Observation {
    /// It answered.
    Alive(Probe),
    /// A connection attempt of the pool failed; that alone does not condemn the node.
    Failed(HostFailure),
    /// The monitor failed to reach it.
    Lost(HostFailure),
}

#[derive(Debug)]
struct Primary {
    node: Option<usize>,
    /// The last one there was, for the event.
    last: Option<usize>,
    lost_at: Option<Instant>,
}

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
    password: Password,
    primary: Mutex<Primary>,
    highest_timeline: AtomicU32,
    /// Where the next search starts, so that pools over equal nodes spread.
    rotation: AtomicUsize,
    discovery: tokio::sync::Mutex<()>,
    /// A suitable node has appeared: whoever waits may try again.
    pub(crate) appeared: Notify,
    /// Connections to some node were retired: idle ones are to be dropped.
    pub(crate) retired: Notify,
    observer: Observer,
    watchers: Mutex<Vec<JoinHandle<()>>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("nodes", &self.nodes).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Cluster {
    /// `config` is a multi-host configuration: its hosts and ports are the nodes.
    pub(crate) fn new(
        config: Config,
        password: Password,
        mode: Mode,
        connect_timeout: Duration,
        observer: Observer,
    ) -> Self {
        let port_of = |index: usize| match config.get_ports() {
            [one] => *one,
            ports => ports.get(index).copied().unwrap_or(5432),
        };
        let make = |(index, host): (usize, &Host)| Arc::new(Node::new(index, host.clone(), port_of(index)));
        let mut monitor_config = config.clone();
        let name = config.get_application_name().unwrap_or("hyperiondb-client");
        monitor_config.application_name(format!("{name} monitor"));
        let nodes = config.get_hosts().iter().enumerate().map(make).collect();
        Self {
            nodes,
            mode,
            connect_timeout,
            config,
            monitor_config,
            password,
            primary: Mutex::new(Primary { node: None, last: None, lost_at: None }),
            highest_timeline: AtomicU32::new(0),
            rotation: AtomicUsize::new(0),
            discovery: tokio::sync::Mutex::default(),
            appeared: Notify::new(),
            retired: Notify::new(),
            observer,
            watchers: Mutex::default(),
        }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// A connection to a node that suits the pool.
    pub(crate) async fn connect(&self) -> Result<Conn, ConnectFailure> {
        connect::connect(self).await
    }

    /// Starts looking at the nodes in the background.
    pub(crate) fn watch(self: &Arc<Self>) {
        *lock(&self.watchers) = monitor::start(self);
    }

    /// Stops looking, and resolves when every connection that nobody has any more is closed.
    pub(crate) async fn close(&self) {
        let watchers = std::mem::take(&mut *lock(&self.watchers));
        for watcher in watchers {
            watcher.abort();
            let _ = watcher.await;
        }
        let links: Vec<_> = self.nodes.iter().flat_map(|node| node.links()).collect();
        let _ = timeout(CLOSING, join_all(links.iter().map(|link| link.ended()))).await;
    }

    /// The node to connect to, when one is known to suit.
    fn target(&self) -> Option<Arc<Node>> {
        let usable = |node: &&Arc<Node>| !node.suspect.load(Ordering::Relaxed);
        let suits = |node: &&Arc<Node>| {
            let seen = lock(&node.seen);
            matches!(seen.state, State::Up | State::Fenced)
                && seen.role.is_some_and(|role| fit(self.mode, role) == Fit::Good)
                && (!self.mode.must_write() || seen.state == State::Up)
        };
        self.in_order().iter().filter(usable).find(suits).cloned()
    }

    /// Whether a better node than this connection's is up.
    pub(crate) fn has_better_than(&self, conn: &Conn) -> bool {
        fit(self.mode, conn.role()) == Fit::Fallback && self.target().is_some()
    }

    /// All nodes in the order in which to try them: the known primary first where a primary is wanted, then in turn;
    /// nodes that are down last.
    fn in_order(&self) -> Vec<Arc<Node>> {
        let wants_primary = matches!(self.mode, Mode::ReadWrite | Mode::Primary);
        let first = match lock(&self.primary).node {
            Some(primary) if wants_primary => primary,
            _ if wants_primary => 0,
            _ => self.rotation.fetch_add(1, Ordering::Relaxed),
        };
        let count = self.nodes.len();
        let mut nodes: Vec<_> = (0..count).map(|step| self.nodes[(first + step) % count].clone()).collect();
        nodes.sort_by_key(|node| lock(&node.seen).state == State::Down);
        nodes
    }

    /// What every host last said, for NoPrimaryError.
    pub(crate) fn reasons(&self) -> Vec<HostReason> {
        let reason_of = |node: &Arc<Node>| {
            let seen = lock(&node.seen);
            let role = seen.role.filter(|_| seen.state != State::Down);
            let reason = match (seen.last_error.as_ref().or(seen.refusal.as_ref()), role) {
                (Some(error), _) => error.clone(),
                (None, Some(role)) => role::misfit(self.mode, role).to_owned(),
                (None, None) => "no answer yet".to_owned(),
            };
            HostReason { host: node.host_name(), port: node.port, reason }
        };
        self.nodes.iter().map(reason_of).collect()
    }

    /// Whether a writable node is one that was deposed: its timeline is behind the highest ever seen.
    fn is_deposed(&self, timeline: Option<u32>) -> bool {
        timeline.is_some_and(|timeline| timeline < self.highest_timeline.load(Ordering::Relaxed))
    }

    /// Whether nobody knows a primary.
    fn lacks_primary(&self) -> bool {
        lock(&self.primary).node.is_none()
    }

    /// Takes note of something seen, and does what follows from it.
    pub(crate) fn observe(&self, node: &Arc<Node>, observation: Observation) {
        match observation {
            Observation::Alive(probe) => self.alive(node, probe),
            Observation::Failed(failure) => {
                let mut seen = lock(&node.seen);
                let reason = Some(failure.describe());
                seen.refusal.clone_from(&reason);
                seen.last_error = reason;
                if seen.state == State::Unknown {
                    seen.state = State::Down;
                }
                drop(seen);
                if matches!(failure, HostFailure::Unreachable(_) | HostFailure::Silent(_)) {
                    node.suspect.store(true, Ordering::Relaxed);
                }
                node.poke.notify_one();
            }
            Observation::Lost(failure) => self.lost(node, &failure),
        }
    }

    fn alive(&self, node: &Arc<Node>, probe: Probe) {
        if let Some(timeline) = probe.timeline {
            self.highest_timeline.fetch_max(timeline, Ordering::Relaxed);
        }
        let deposed = self.is_deposed(probe.timeline);
        let writable = fit(Mode::ReadWrite, probe.role) == Fit::Good && !deposed;
        let fenced = !probe.role.in_recovery && !writable;
        let known = lock(&node.seen).clone();
        let sighting = Sighting {
            state: if fenced { State::Fenced } else { State::Up },
            role: Some(probe.role),
            latency: probe.latency.or(known.latency),
            lsn: probe.lsn.or(known.lsn),
            last_error: deposed.then(|| "is a deposed primary (its timeline is behind)".to_owned()),
            refusal: known.refusal.filter(|_| known.role == Some(probe.role)),
        };
        node.suspect.store(false, Ordering::Relaxed);
        let before = std::mem::replace(&mut *lock(&node.seen), sighting);
        let state = if fenced { State::Fenced } else { State::Up };
        if before.state != state || before.role.map(|r| r.in_recovery) != Some(probe.role.in_recovery) {
            self.tell_node(node, state);
            if fenced && before.state != State::Fenced {
                self.tell("fenced", node, json!({}));
                if self.mode.must_write() {
                    node.retire_connections();
                    self.retired.notify_one();
                }
            }
        }
        if writable {
            self.found_primary(node);
        } else {
            self.lost_primary(node);
        }
        if fit(self.mode, probe.role) == Fit::Good && (writable || !self.mode.must_write()) {
            self.appeared.notify_waiters();
        }
    }

    fn lost(&self, node: &Arc<Node>, failure: &HostFailure) {
        let gone = matches!(failure, HostFailure::Unreachable(_) | HostFailure::Silent(_));
        let mut seen = lock(&node.seen);
        seen.last_error = Some(failure.describe());
        let was = seen.state;
        // A server that refuses the monitor (too many connections, starting up) may still serve those it has.
        if gone || was == State::Unknown {
            seen.state = State::Down;
            seen.latency = None;
        }
        let changed = seen.state != was;
        drop(seen);
        if gone {
            self.lost_primary(node);
            node.break_connections();
            self.retired.notify_one();
        }
        if changed {
            self.tell_node(node, State::Down);
        }
    }

    fn found_primary(&self, node: &Arc<Node>) {
        let mut primary = lock(&self.primary);
        if primary.node == Some(node.index) {
            return;
        }
        let from = primary.node.or(primary.last);
        let down = primary.lost_at.take().map_or(0, |at| at.elapsed().as_millis() as u64);
        primary.node = Some(node.index);
        primary.last = Some(node.index);
        drop(primary);
        if let Some(old) = from.filter(|old| *old != node.index).map(|old| &self.nodes[old])
            && self.mode.must_write()
        {
            // It may not know yet (frozen, cut off): whatever it says, nothing new goes there.
            old.retire_connections();
            self.retired.notify_one();
        }
        if from != Some(node.index) {
            let from = from.map(|index| self.nodes[index].label());
            self.tell("primary", node, json!({ "from": from, "to": node.label(), "downMs": down }));
        }
    }

    fn lost_primary(&self, node: &Arc<Node>) {
        let mut primary = lock(&self.primary);
        if primary.node == Some(node.index) {
            primary.node = None;
            primary.lost_at = Some(Instant::now());
            drop(primary);
            // Whichever node is promoted is to be seen at once.
            for node in &self.nodes {
                node.poke.notify_one();
            }
        }
    }

    fn tell_node(&self, node: &Node, state: State) {
        let role = role_name(&lock(&node.seen));
        self.tell("node", node, json!({ "state": state.name(), "role": role }));
    }

    fn tell(&self, event: &str, node: &Node, mut detail: Value) {
        detail["event"] = json!(event);
        detail["host"] = json!(node.host_name());
        detail["port"] = json!(node.port);
        (self.observer)(detail);
    }

    /// The public `nodes()`.
    pub(crate) fn to_json(&self) -> Value {
        let primary_lsn = lock(&self.primary).node.and_then(|index| lock(&self.nodes[index].seen).lsn);
        let node_json = |node: &Arc<Node>| {
            let seen = lock(&node.seen);
            let lag = match (seen.role, primary_lsn, seen.lsn) {
                (Some(role), Some(primary), Some(own)) if role.in_recovery => Some(primary.saturating_sub(own)),
                (Some(role), _, _) if !role.in_recovery => Some(0),
                _ => None,
            };
            json!({
                "host": node.host_name(),
                "port": node.port,
                "role": role_name(&seen),
                "state": seen.state.name(),
                "latencyMs": seen.latency.map(|latency| latency.as_secs_f64() * 1000.0),
                "lagBytes": lag,
                "lastError": seen.last_error,
            })
        };
        self.nodes.iter().map(node_json).collect()
    }
}

fn role_name(seen: &Sighting) -> &'static str {
    match seen.role {
        Some(role) if role.in_recovery => "standby",
        Some(_) => "primary",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::role::Role;
    use super::*;

    fn cluster(mode: Mode) -> (Cluster, Arc<Mutex<Vec<String>>>) {
        let mut config = Config::new();
        config.host("a").host("b").host("c").port(5432);
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let observer = move |event: Value| {
            let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
            lock(&sink).push(format!("{} {} {} {}", text("event"), text("host"), text("state"), text("to")));
        };
        let timeout = Duration::from_secs(1);
        (Cluster::new(config, Password::PerHost(vec![]), mode, timeout, Box::new(observer)), told)
    }

    fn alive(in_recovery: bool, read_only: bool, timeline: u32) -> Observation {
        Observation::Alive(Probe {
            role: Role { in_recovery, read_only },
            timeline: (!in_recovery).then_some(timeline),
            lsn: Some(100),
            latency: Some(Duration::from_millis(1)),
        })
    }

    fn see(cluster: &Cluster, node: usize, observation: Observation) {
        let node = cluster.nodes[node].clone();
        cluster.observe(&node, observation);
    }

    fn target(cluster: &Cluster) -> Option<usize> {
        cluster.target().map(|node| node.index)
    }

    #[test]
    fn a_switchover_seen_step_by_step() {
        let (cluster, told) = cluster(Mode::ReadWrite);
        assert_eq!(target(&cluster), None);
        see(&cluster, 0, alive(false, false, 1));
        see(&cluster, 1, alive(true, false, 0));
        assert_eq!(target(&cluster), Some(0));
        let generation = cluster.nodes[0].generation();
        see(&cluster, 0, alive(false, true, 1));
        assert_eq!(target(&cluster), None, "fenced");
        assert_ne!(cluster.nodes[0].generation(), generation, "its connections are retired");
        see(&cluster, 1, alive(false, false, 2));
        assert_eq!(target(&cluster), Some(1));
        see(&cluster, 0, alive(false, false, 1));
        assert_eq!(target(&cluster), Some(1), "the old primary, writable again, is deposed");
        assert_eq!(
            *lock(&told),
            [
                "node a up -",
                "primary a - a:5432",
                "node b up -",
                "node a fenced -",
                "fenced a - -",
                "node b up -",
                "primary b - b:5432",
            ]
        );
    }

    #[test]
    fn a_lost_node_is_not_chosen_and_its_connections_are_retired() {
        let (cluster, _) = cluster(Mode::ReadWrite);
        see(&cluster, 0, alive(false, false, 1));
        see(&cluster, 0, Observation::Lost(HostFailure::Refused(Box::default())));
        assert_eq!(target(&cluster), Some(0), "refusing the monitor is not being dead");
        see(&cluster, 0, Observation::Failed(HostFailure::Silent(Duration::from_secs(1))));
        assert_eq!(target(&cluster), None, "suspect");
        see(&cluster, 0, alive(false, false, 1));
        assert_eq!(target(&cluster), Some(0));
        see(&cluster, 0, Observation::Lost(HostFailure::Unreachable("refused".into())));
        assert_eq!(target(&cluster), None);
        assert_eq!(cluster.in_order().last().map(|node| node.index), Some(0), "dead nodes are tried last");
    }

    #[test]
    fn standbys_are_preferred_and_the_primary_is_second_best() {
        let (cluster, _) = cluster(Mode::PreferStandby);
        see(&cluster, 0, alive(false, false, 1));
        assert_eq!(target(&cluster), None);
        see(&cluster, 2, alive(true, false, 0));
        assert_eq!(target(&cluster), Some(2));
    }
}
