//! One host of a pool's list, as its connections know it: its address, which of its connections may still be used, and
//! when it last answered. The cluster keeps the state of the node itself (`cluster::node`).

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;
use tokio_postgres::config::Host;

use crate::connection::link::Link;
use crate::connection::server_clock::ServerClock;
use crate::connection::socket::Address;
use crate::engine::{Histogram, Traffic, lock};

/// What is counted of a node, from the pool's start on.
#[derive(Debug, Default)]
pub(crate) struct NodeCounts {
    /// From the sending of a statement to the end of its answer.
    pub(crate) latency: Histogram,
    pub(crate) traffic: Arc<Traffic>,
}

/// The address of a node, and its connections.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Its place in the pool's list of hosts.
    pub(crate) index: usize,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// The IP address to use instead of looking up the host's name (libpq's hostaddr).
    address: Option<IpAddr>,
    /// Connections of an older generation are not used again.
    generation: AtomicU64,
    /// When the node last answered a statement, by [`crate::engine::clock`].
    last_answer: AtomicU64,
    /// Statements of the pool that run on the node.
    in_flight: AtomicUsize,
    /// Connections of the pool to the node.
    connections: AtomicUsize,
    pub(super) server_clock: ServerClock,
    pub(crate) counts: NodeCounts,
    links: Mutex<Vec<Weak<Link>>>,
    broken: Notify,
    /// Wakes the monitor of the node.
    check: Arc<Notify>,
}

impl Endpoint {
    pub(crate) fn new(index: usize, host: Host, address: Option<IpAddr>, port: u16, check: Arc<Notify>) -> Self {
        Self {
            index,
            host,
            port,
            address,
            generation: AtomicU64::new(0),
            last_answer: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            server_clock: ServerClock::default(),
            counts: NodeCounts::default(),
            links: Mutex::default(),
            broken: Notify::new(),
            check,
        }
    }

    /// Asks the monitor to check the node at once.
    pub(crate) fn request_check(&self) {
        self.check.notify_one();
    }

    /// The node has answered a statement.
    pub(super) fn note_answer(&self, now: u64) {
        self.last_answer.store(now, Ordering::Relaxed);
    }

    /// When the node last answered a statement, by [`crate::engine::clock`]; 0: never.
    pub(crate) fn last_answer(&self) -> u64 {
        self.last_answer.load(Ordering::Relaxed)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A statement begins to run on the node.
    pub(crate) fn statement_began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A statement does not run on the node any more.
    pub(crate) fn statement_ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// The pool has one connection more to the node.
    pub(crate) fn connection_opened(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// The pool has one connection less to the node.
    pub(crate) fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
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

    /// All addresses of the host. The name is looked up each time, because a failover may change its addresses.
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

    /// From now on no idle connection to this node is used again; running work goes on.
    pub(crate) fn retire_connections(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Breaks every connection to this node, with its running statements, and every attempt to open one.
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
    pub(crate) async fn breaks(&self) {
        self.broken.notified().await;
    }

    /// Every connection to this node that is not closed yet.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        lock(&self.links).iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn register(&self, link: &Arc<Link>) {
        let mut links = lock(&self.links);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }
}
