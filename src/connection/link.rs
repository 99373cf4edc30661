//! What is known of a connection, shared by the task that drives it, by its users and by its endpoint.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio_postgres::Notification;
use tokio_postgres::error::DbError;

use crate::connection::probe::Role;
use crate::engine::lock;

/// What is known of a connection.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(super) read_only: AtomicBool,
    pub(super) in_recovery: AtomicBool,
    /// Counts how often the server reported a change of role or writability.
    pub(super) changes: AtomicU32,
    pub(super) closed: AtomicBool,
    /// The connection takes no more statements; running ones may end.
    pub(super) spent: AtomicBool,
    /// The server broke the protocol.
    pub(super) confused: AtomicBool,
    /// A pooler stands between the client and the server: the reported parameters are the pooler's.
    pub(super) pooled: AtomicBool,
    pub(super) cut: Notify,
    pub(super) dropped: Notify,
    pub(super) ended: Notify,
    /// The pool no longer waits for the work of the connection.
    pub(super) abandoned: AtomicBool,
    pub(super) abandoned_now: Notify,
    /// How many statements were sent: the number of the last one.
    pub(super) sent: AtomicU64,
    /// Statements up to this number may have committed without being replicated.
    pub(super) unreplicated: AtomicU64,
    /// The server has read no statement after this number; 0: it has read all.
    pub(super) refused_after: AtomicU64,
    /// When the last statement was answered, in microseconds of [`clock`].
    pub(super) answered: AtomicU64,
    /// See `Connection::pauses`.
    pub(super) pauses: AtomicU64,
    pub(super) reason: Mutex<Option<String>>,
    /// Where notifications go, if the connection is a listener's.
    pub(super) listener: OnceLock<Sender<Notification>>,
    /// Gets the notices of a pinned session.
    pub(super) notice_watcher: OnceLock<NoticeWatcher>,
}

/// Gets notices.
pub(super) struct NoticeWatcher(pub(super) Box<dyn Fn(&DbError) + Send + Sync>);

impl std::fmt::Debug for NoticeWatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NoticeWatcher")
    }
}

impl Link {
    /// Closes the socket without waiting for running statements.
    pub(crate) fn cut(&self) {
        self.cut.notify_one();
    }

    /// Resolves when the connection is broken or closed.
    pub(crate) async fn ended(&self) {
        let ended = self.ended.notified();
        if !self.closed.load(Ordering::Relaxed) {
            ended.await;
        }
    }

    /// Why the connection broke; None: nobody has said so, because the client closed it.
    pub(crate) fn reason(&self) -> Option<String> {
        lock(&self.reason).clone()
    }

    pub(super) fn set_role(&self, role: Role) {
        let before = (
            self.read_only.swap(role.read_only, Ordering::Relaxed),
            self.in_recovery.swap(role.in_recovery, Ordering::Relaxed),
        );
        if before != (role.read_only, role.in_recovery) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn note_notice(&self, notice: &DbError) {
        // syncrep.c: the statement will succeed, but its commit is only local. The message may be translated, the name
        // of the C function is not.
        if notice.routine() == Some("SyncRepWaitForLSN") {
            self.unreplicated.store(self.sent.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        if notice.code().code().starts_with("57P") {
            lock(&self.reason).replace(format!("{} ({})", notice.message(), notice.code().code()));
        }
    }

    pub(super) fn mark_closed(&self, reason: Option<String>) {
        if let Some(reason) = reason {
            lock(&self.reason).get_or_insert(reason);
        }
        self.closed.store(true, Ordering::Relaxed);
        self.ended.notify_waiters();
    }
}
