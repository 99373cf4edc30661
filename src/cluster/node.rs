//! One node of the cluster: where it is, and what is known of it right now.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::config::Host;

use super::conn::Link;
use super::role::Role;
use super::socket::Address;
use crate::engine::lock;

/// Whether a node can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody has asked it yet.
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

/// What was last seen of a node.
#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    pub(crate) state: State,
    pub(crate) role: Option<Role>,
    /// Round trip of the last probe.
    pub(crate) latency: Option<Duration>,
    /// A primary's write position, a standby's replay position.
    pub(crate) lsn: Option<u64>,
    pub(crate) last_error: Option<String>,
    /// Why the last attempt of the pool to connect failed, if it did: a server that is full serves the monitor.
    pub(crate) refusal: Option<String>,
}

/// A host of the list.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) seen: Mutex<Sighting>,
    /// A connection attempt failed and nobody has seen it alive since: do not choose it first.
    pub(crate) suspect: AtomicBool,
    /// Connections of an older generation are not used again.
    generation: AtomicU64,
    /// Asks the monitor to look at once.
    pub(crate) poke: Notify,
    links: Mutex<Vec<Weak<Link>>>,
}

impl Node {
    pub(crate) fn new(index: usize, host: Host, port: u16) -> Self {
        let seen =
            Sighting { state: State::Unknown, role: None, latency: None, lsn: None, last_error: None, refusal: None };
        Self {
            index,
            host,
            port,
            seen: Mutex::new(seen),
            suspect: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            poke: Notify::new(),
            links: Mutex::default(),
        }
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

    /// Breaks every connection to this node, running statements and all.
    pub(crate) fn break_connections(&self) {
        self.retire_connections();
        for link in std::mem::take(&mut *lock(&self.links)) {
            if let Some(link) = link.upgrade() {
                link.cut();
            }
        }
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
