//! One node of the cluster: where it is, and what is known of it right now.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::config::Host;

use super::conn::Link;
use super::monitor::Watch;
use super::probe::Probe;
use super::role::Role;
use super::socket::Address;
use crate::engine::lock;

/// Whether a node can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody has asked it yet.
    #[default]
    Unknown,
    Up,
    /// It answers nothing, or refuses connections.
    Down,
    /// It is a primary that accepts no writes (`default_transaction_read_only`), or a deposed one.
    Fenced,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unknown | Self::Down => "down",
            Self::Fenced => "fenced",
        }
    }
}

/// How far a standby's replay is behind the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

/// What was last seen of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sighting {
    pub(crate) state: State,
    /// None too while it is refused for belonging to another cluster.
    pub(crate) role: Option<Role>,
    pub(crate) timeline: Option<u32>,
    /// Round trip of the last probe.
    pub(crate) latency: Option<Duration>,
    /// A primary's write position, a standby's replay position.
    pub(crate) lsn: Option<u64>,
    /// None: a primary, or no primary was seen yet.
    pub(crate) lag: Option<Lag>,
    pub(crate) last_error: Option<String>,
    /// Why the last attempt of the pool to connect failed, if it did: a server that is full serves the monitor.
    pub(crate) refusal: Option<String>,
}

/// A host of a pool's list.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Where it is, if its name is not to be looked up.
    address: Option<IpAddr>,
    pub(crate) seen: Mutex<Sighting>,
    /// A connection attempt failed and nobody has seen it alive since: do not choose it first.
    pub(crate) suspect: AtomicBool,
    /// Connections of an older generation are not used again.
    generation: AtomicU64,
    /// What it said before it was known which cluster the nodes belong to.
    pub(super) early: Mutex<Option<Probe>>,
    /// When a statement was last answered, by [`crate::engine::clock`]: a sign of life.
    heard: AtomicU64,
    pub(super) watch: Arc<Watch>,
    /// Where the monitor's connection goes.
    watched: Mutex<Option<Address>>,
    links: Mutex<Vec<Weak<Link>>>,
    broken: Notify,
}

impl Node {
    pub(super) fn new(index: usize, host: Host, address: Option<IpAddr>, port: u16, watch: Arc<Watch>) -> Self {
        Self {
            index,
            host,
            port,
            address,
            seen: Mutex::default(),
            suspect: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            early: Mutex::default(),
            heard: AtomicU64::new(0),
            watch,
            watched: Mutex::default(),
            links: Mutex::default(),
            broken: Notify::new(),
        }
    }

    /// Asks the monitor to look at once.
    pub(crate) fn poke(&self) {
        self.watch.poke();
    }

    /// The monitor looks at this address of it.
    pub(super) fn watch_at(&self, address: Option<&Address>) {
        *lock(&self.watched) = address.cloned();
    }

    /// Whether what is seen at this address is seen of the node: another may be another server's.
    pub(super) fn is_watched_at(&self, address: &Address) -> bool {
        lock(&self.watched).as_ref().is_none_or(|watched| watched == address)
    }

    /// It has answered a statement.
    pub(super) fn hear(&self, now: u64) {
        self.heard.store(now, Ordering::Relaxed);
    }

    /// When it last answered a statement, by [`crate::engine::clock`]; 0: never.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// The host as the user wrote it.
    pub(crate) fn host_name(&self) -> String {
        match &self.host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(directory) => directory.display().to_string(),
        }
    }

    /// `host:port`, for messages.
    pub(crate) fn label(&self) -> String {
        let host = self.host_name();
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }

    /// All addresses of the host, looked up anew each time: names move at a failover.
    pub(crate) async fn addresses(&self) -> std::io::Result<Vec<Address>> {
        if let Some(address) = self.address {
            return Ok(vec![Address::Tcp((address, self.port).into())]);
        }
        match &self.host {
            Host::Tcp(name) => {
                let found = tokio::net::lookup_host((name.as_str(), self.port)).await?;
                Ok(found.map(Address::Tcp).collect())
            }
            #[cfg(unix)]
            Host::Unix(directory) => Ok(vec![Address::Unix(directory.join(format!(".s.PGSQL.{}", self.port)))]),
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// From now on no idle connection to this node is used again; what runs goes on.
    pub(crate) fn retire_connections(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Breaks every connection to this node, running statements and all, and attempts to make one.
    pub(crate) fn break_connections(&self) {
        self.retire_connections();
        self.broken.notify_waiters();
        for link in std::mem::take(&mut *lock(&self.links)) {
            if let Some(link) = link.upgrade() {
                link.cut();
            }
        }
    }

    /// Resolves at the next [`Self::break_connections`].
    pub(super) async fn breaks(&self) {
        self.broken.notified().await;
    }

    /// Every connection to this node that is not closed yet.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        lock(&self.links).iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn register(&self, link: &Arc<Link>) {
        let mut links = lock(&self.links);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }
}
