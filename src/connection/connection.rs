//! One open connection. `drive` is the task that drives it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::{Receiver, channel};
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, Notification};

use crate::connection::drive::{Driven, drive, reported_role};
use crate::connection::endpoint::Endpoint;
use crate::connection::failure::ConnectProgress;
use crate::connection::failure::describe;
use crate::connection::lease::SessionLease;
use crate::connection::link::{Link, NoticeWatcher};
use crate::connection::notices::Notices;
use crate::connection::probe::{Probe, ProbeAnswer, ProbeFailure, Role, send_probe};
use crate::connection::socket::{Address, KeptOpen, Ready};
use crate::connection::tls::{SocketFailure, Tls, Way};
use crate::engine::{Traffic, clock, lock};
use crate::protocol::direct::DirectLane;
use crate::protocol::response_observer::ResponseObserver;
use crate::protocol::result_formats::ResultFormats;
use crate::protocol::{SessionState, StreamObservers};

/// A statement's place in the order in which its connection's statements were sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    number: u64,
    changes: u32,
    /// When the statement was sent, by [`clock`].
    sent: u64,
}

/// An open connection to a node.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Where cancel requests go, and whether they are encrypted.
    address: Address,
    way: Way,
    tls: Arc<Tls>,
    pub(crate) created: Instant,
    generation: u64,
    /// Whether the server reports the session's role: PostgreSQL 14 and later.
    reports_role: bool,
    /// Whether the session began with a `statement_timeout`.
    limits_statements: AtomicBool,
    /// Whether the session may read the cluster's system identifier.
    may_read_control: AtomicBool,
    pub(crate) responses: Arc<ResponseObserver>,
    pub(crate) result_formats: Arc<ResultFormats>,
    pub(crate) session_state: Arc<SessionState>,
    /// The way of statements that the stream sends itself.
    pub(crate) direct: Arc<DirectLane>,
    /// None: the pool has no leases, or they cannot work here.
    pub(super) lease: Option<SessionLease>,
    /// The server had little room left for more sessions at the login of this one. Only known with a lease.
    pub(super) found_crowd: bool,
    traffic: Arc<OnceLock<Arc<Traffic>>>,
    link: Arc<Link>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.link.dropped.notify_one();
    }
}

/// How many notifications may wait for the listener.
const NOTIFICATIONS: usize = 1_000;

/// How long after an answer, in microseconds, the flags count as fresh. The server reports nothing to an idle session.
const FRESH: u64 = 100_000;

/// A connection that sends nothing for this long, in microseconds, after an answer has paused. DDL of another session
/// takes longer than that.
const PAUSE: u64 = 400;

impl Connection {
    /// Takes over a connection that has just logged in, and starts the task that drives it. The endpoint can break it
    /// only after [`Self::join`].
    pub(crate) fn start(
        client: Client,
        connection: Driven,
        endpoint: &Arc<Endpoint>,
        (address, way, tls): (Address, Way, Arc<Tls>),
        observers: StreamObservers,
        notices: Notices,
    ) -> Self {
        let StreamObservers { responses, result_formats, session_state, traffic, direct, .. } = observers;
        let link = Arc::new(Link::default());
        let reports_role = reported_role(&connection).is_some();
        let generation = endpoint.generation();
        drop(tokio::spawn(drive(
            // Boxed: the future would have room for it three times, as long as the connection lives.
            Box::new(connection),
            direct.clone(),
            link.clone(),
            endpoint.clone(),
            notices,
        )));
        Self {
            client,
            endpoint: endpoint.clone(),
            address,
            way,
            tls,
            created: Instant::now(),
            generation,
            reports_role,
            limits_statements: AtomicBool::new(false),
            may_read_control: AtomicBool::new(true),
            responses,
            result_formats,
            session_state,
            direct,
            lease: None,
            found_crowd: false,
            traffic,
            link,
        }
    }

    /// Registers it with its endpoint, which can break all its connections.
    pub(crate) fn join(&self) {
        self.endpoint.register(&self.link);
    }

    /// From now on its bytes are counted as those of its node.
    pub(crate) fn count_traffic(&self) {
        let _ = self.traffic.set(self.endpoint.counts.traffic.clone());
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Asks the node for its role, timeline and position, in one flight.
    pub(crate) async fn probe(&self) -> Result<Probe, ProbeFailure> {
        let ProbeAnswer { probe, limits_statements, may_read_control, pid } =
            send_probe(&self.client, self.may_read_control.load(Ordering::Relaxed)).await?;
        if self.session_state.pid() != pid {
            self.link.pooled.store(true, Ordering::Relaxed);
        }
        self.may_read_control.store(may_read_control, Ordering::Relaxed);
        self.limits_statements.store(limits_statements, Ordering::Relaxed);
        self.link.set_role(probe.role);
        self.answered();
        Ok(probe)
    }

    /// The notifications of the channels that this session will listen to.
    pub(crate) fn notifications(&self) -> Receiver<Notification> {
        let (sender, receiver) = channel(NOTIFICATIONS);
        let _ = self.link.listener.set(sender);
        receiver
    }

    /// Calls the watcher with each notice of the session.
    pub(crate) fn watch_notices(&self, watcher: Box<dyn Fn(&DbError) + Send + Sync>) {
        let _ = self.link.notice_watcher.set(NoticeWatcher(watcher));
    }

    /// The role that the server reported last.
    pub(crate) fn role(&self) -> Role {
        Role {
            in_recovery: self.link.in_recovery.load(Ordering::Relaxed),
            read_only: self.link.read_only.load(Ordering::Relaxed),
        }
    }

    /// Whether [`Self::role`] may be out of date, so that a statement needs a `SHOW` in its flight.
    pub(crate) fn is_stale(&self) -> bool {
        !self.reports_role() || clock().saturating_sub(self.link.answered.load(Ordering::Relaxed)) > FRESH
    }

    /// Whether the server reports changes of [`Self::role`] with the first answer after them.
    pub(crate) fn reports_role(&self) -> bool {
        self.reports_role && !self.is_pooled()
    }

    /// Whether a pooler stands between the client and the server: the process that answered is not the one that the
    /// login named.
    pub(crate) fn is_pooled(&self) -> bool {
        self.link.pooled.load(Ordering::Relaxed)
    }

    /// Whether the server may cancel a statement for taking too long.
    pub(crate) fn limits_statements(&self) -> bool {
        self.limits_statements.load(Ordering::Relaxed)
    }

    /// Whether the connection is broken.
    pub(crate) fn is_closed(&self) -> bool {
        self.link.closed.load(Ordering::Relaxed) || self.client.is_closed()
    }

    /// Whether it, or all connections to its node, were retired since it was opened.
    pub(crate) fn is_retired(&self) -> bool {
        self.link.spent.load(Ordering::Relaxed) || self.generation != self.endpoint.generation()
    }

    /// Lets running statements end, and takes no more.
    pub(crate) fn retire(&self) {
        self.link.spent.store(true, Ordering::Relaxed);
    }

    /// Resolves when the connection is broken.
    pub(crate) async fn ended(&self) {
        self.link.ended().await;
    }

    /// The pool no longer waits for the work of the connection. Work that waits for its caller (a stream that nobody
    /// reads, a load that gets no data) would not notice that it was cancelled.
    pub(crate) fn abandon(&self) {
        self.link.abandoned.store(true, Ordering::Relaxed);
        self.link.abandoned_now.notify_waiters();
    }

    /// Resolves when the pool no longer waits.
    pub(crate) async fn abandoned(&self) {
        let abandoned = self.link.abandoned_now.notified();
        if !self.link.abandoned.load(Ordering::Relaxed) {
            abandoned.await;
        }
    }

    /// Closes the socket without waiting for running statements.
    pub(crate) fn cut(&self) {
        self.link.closed.store(true, Ordering::Relaxed);
        self.link.cut();
    }

    /// Whether it broke because the server broke the protocol.
    pub(crate) fn is_confused(&self) -> bool {
        self.link.confused.load(Ordering::Relaxed)
    }

    /// Closes the socket without waiting for running statements, and keeps the reason.
    pub(crate) fn break_off(&self, reason: String) {
        lock(&self.link.reason).get_or_insert(reason);
        self.cut();
    }

    /// How long ago the last statement was answered.
    pub(crate) fn idle_for(&self) -> Duration {
        Duration::from_micros(clock().saturating_sub(self.link.answered.load(Ordering::Relaxed)))
    }

    /// Asks the server to cancel the running statement, and waits until the server has closed the request's socket: it
    /// has then sent the signal. No other statement may run before that, because the signal could cancel it.
    pub(crate) async fn cancel(&self) -> Result<(), String> {
        let (mut socket, _) =
            self.tls.connect(&self.endpoint, &self.address, self.way, &ConnectProgress::default()).await.map_err(
                |failure| match failure {
                    SocketFailure::Io(error) | SocketFailure::BrokenOff(error) => error.to_string(),
                    SocketFailure::Unreadable(reason) => reason,
                    SocketFailure::Tls(failure) => failure.reason,
                },
            )?;
        let ready = Ready { binding: None };
        let open = KeptOpen(&mut socket);
        self.client.cancel_token().cancel_query_raw(open, ready).await.map_err(|error| describe(&error))?;
        let mut rest = [0; 16];
        while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        Ok(())
    }

    /// Why it broke, as far as the server or the kernel has said.
    pub(crate) fn loss_reason(&self) -> String {
        lock(&self.link.reason).clone().unwrap_or_else(|| "connection closed".into())
    }

    /// Must be called just before a statement is sent.
    pub(crate) fn sending(&self) -> Sequence {
        let number = self.link.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let now = clock();
        if self.pauses_at(now) {
            self.link.pauses.fetch_add(1, Ordering::Relaxed);
        }
        Sequence { number, changes: self.link.changes.load(Ordering::Relaxed), sent: now }
    }

    /// How often the connection had nothing to do for a moment, up to now.
    pub(crate) fn pauses(&self) -> u64 {
        self.link.pauses.load(Ordering::Relaxed) + u64::from(self.pauses_at(clock()))
    }

    fn pauses_at(&self, now: u64) -> bool {
        now.saturating_sub(self.link.answered.load(Ordering::Relaxed)) > PAUSE
    }

    /// The place of the statement that was sent last.
    pub(crate) fn position(&self) -> Sequence {
        let number = self.link.sent.load(Ordering::Relaxed);
        Sequence { number, changes: self.link.changes.load(Ordering::Relaxed), sent: clock() }
    }

    /// Must be called when a statement was answered.
    pub(crate) fn answered(&self) {
        let now = clock();
        self.link.answered.store(now, Ordering::Relaxed);
        self.endpoint.note_answer(now);
    }

    /// Like [`Self::answered`], for work of a caller: how long it took is counted.
    pub(crate) fn answered_work(&self, sequence: Sequence) {
        let now = clock();
        self.link.answered.store(now, Ordering::Relaxed);
        self.note_answer(now, sequence);
    }

    /// Like [`Self::answered_work`], for work that has failed. What could not be encoded was not sent, so it took no time.
    pub(crate) fn failed(&self, sequence: Sequence, error: &tokio_postgres::Error) {
        if error.as_db_error().is_some() {
            self.answered_work(sequence);
        } else {
            self.answered();
        }
    }

    fn note_answer(&self, now: u64, sequence: Sequence) {
        self.endpoint.note_answer(now);
        self.endpoint.counts.latency.record(now.saturating_sub(sequence.sent));
    }

    /// Like [`Self::answered_work`]. Returns how long the server was busy with the statement, in microseconds, without the
    /// time that the statement waited behind others on the connection.
    pub(crate) fn answered_in(&self, sequence: Sequence) -> u64 {
        let now = clock();
        let before = self.link.answered.swap(now, Ordering::Relaxed);
        self.note_answer(now, sequence);
        now - sequence.sent.max(before)
    }

    /// Whether the server warned that this statement's commit was not replicated. Earlier statements in flight count,
    /// too: an "unknown" too many is better than a lost write that is called a success.
    pub(crate) fn is_unreplicated(&self, sequence: Sequence) -> bool {
        sequence.number <= self.link.unreplicated.load(Ordering::Relaxed)
    }

    /// Whether the server reported a change of role while the statement ran.
    pub(crate) fn role_changed_since(&self, sequence: Sequence) -> bool {
        sequence.changes != self.link.changes.load(Ordering::Relaxed)
    }

    /// The server ended the session in answer to this statement: it has not read the statements behind it.
    pub(crate) fn session_ended_at(&self, sequence: Sequence) {
        let _ = self.link.refused_after.compare_exchange(0, sequence.number, Ordering::Relaxed, Ordering::Relaxed);
        self.cut();
    }

    /// Whether the server ended the session before it read this statement.
    pub(crate) fn was_never_looked_at(&self, sequence: Sequence) -> bool {
        let after = self.link.refused_after.load(Ordering::Relaxed);
        after != 0 && sequence.number > after
    }
}
