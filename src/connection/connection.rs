//! One connection: the client, the task that drives it, and what that task sees.
//!
//! We drive `tokio_postgres::Connection` ourselves, for two reasons. After each poll the parameters the server reports
//! (`default_transaction_read_only`, `in_hot_standby`; PostgreSQL 14 and later) are copied into flags: the server
//! sends them just before the ReadyForQuery of the first response after a change, and on our single thread the flags
//! are set before the statement's own task sees the end of its response. And notices arrive only here: 57P02, the
//! 57P01 of an immediate stop, and the warning that a commit was not replicated.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::sleep;
use tokio_postgres::{AsyncMessage, Client, Notification};

use crate::connection::endpoint::Endpoint;
use crate::connection::failure::ConnectProgress;
use crate::connection::failure::{describe, violation};
use crate::connection::link::Link;
use crate::connection::notices::Notices;
use crate::connection::probe::{Probe, ProbeAnswer, ProbeFailure, Role, ask};
use crate::connection::socket::{Address, Bound, KeptOpen, Ready, Socket};
use crate::connection::tls::{SocketFailure, Tls, Way};
use crate::engine::{clock, lock};
use crate::protocol::response_observer::ResponseObserver;
use crate::protocol::result_formats::ResultFormats;
use crate::protocol::{ServerStream, SessionState, StreamObservers};

/// A statement's place in the order in which its connection's statements were sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    number: u64,
    changes: u32,
    /// When it was sent, by [`clock`].
    sent: u64,
}

/// An open connection to a node.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Where cancel requests go, and how.
    address: Address,
    way: Way,
    tls: Arc<Tls>,
    pub(crate) created: Instant,
    generation: u64,
    /// Whether the session's parameters tell its role: PostgreSQL 14 and later.
    reports_role: bool,
    /// Whether the session began with a `statement_timeout`.
    limits_statements: AtomicBool,
    /// Whether the session may ask which cluster it is.
    may_ask: AtomicBool,
    pub(crate) responses: Arc<ResponseObserver>,
    pub(crate) result_formats: Arc<ResultFormats>,
    pub(crate) session_state: Arc<SessionState>,
    link: Arc<Link>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.link.dropped.notify_one();
    }
}

/// Notifications that may wait to be handed on.
const NOTIFICATIONS: usize = 1_000;

/// How long after an answer the flags are taken as fresh. An idle session is told nothing.
const FRESH: u64 = 100_000;

impl Connection {
    /// Takes over a connection that has just logged in, and starts its driver. It is broken with the others of its node
    /// only after [`Self::join`].
    pub(crate) fn start(
        client: Client,
        connection: Driven,
        endpoint: &Arc<Endpoint>,
        (address, way, tls): (Address, Way, Arc<Tls>),
        observers: StreamObservers,
        notices: Notices,
    ) -> Self {
        let StreamObservers { responses, result_formats, session_state, .. } = observers;
        let link = Arc::new(Link::default());
        let reports_role = reported_role(&connection).is_some();
        let generation = endpoint.generation();
        drop(tokio::spawn(drive(connection, link.clone(), endpoint.clone(), notices)));
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
            may_ask: AtomicBool::new(true),
            responses,
            result_formats,
            session_state,
            link,
        }
    }

    /// From now on it is one of its node's connections.
    pub(crate) fn join(&self) {
        self.endpoint.register(&self.link);
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// What the node says of itself, in one flight.
    pub(crate) async fn probe(&self) -> Result<Probe, ProbeFailure> {
        let ProbeAnswer { probe, limits_statements, may_ask, pid } =
            ask(&self.client, self.may_ask.load(Ordering::Relaxed)).await?;
        if self.session_state.pid() != pid {
            self.link.pooled.store(true, Ordering::Relaxed);
        }
        self.may_ask.store(may_ask, Ordering::Relaxed);
        self.limits_statements.store(limits_statements, Ordering::Relaxed);
        self.link.set_role(probe.role);
        self.answered();
        Ok(probe)
    }

    /// What other sessions tell the channels that this one will listen to.
    pub(crate) fn notifications(&self) -> Receiver<Notification> {
        let (sender, receiver) = channel(NOTIFICATIONS);
        let _ = self.link.listener.set(sender);
        receiver
    }

    /// The role as last reported.
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

    /// Whether a pooler stands between us and the server: who answered was not who we logged in to.
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

    /// Whether it, or all connections to its node, were retired since it was made.
    pub(crate) fn is_retired(&self) -> bool {
        self.link.spent.load(Ordering::Relaxed) || self.generation != self.endpoint.generation()
    }

    /// Lets what runs end, and takes no more.
    pub(crate) fn retire(&self) {
        self.link.spent.store(true, Ordering::Relaxed);
    }

    /// Resolves when the connection is broken.
    pub(crate) async fn ended(&self) {
        self.link.ended().await;
    }

    /// Closes the socket under whatever runs.
    pub(crate) fn cut(&self) {
        self.link.closed.store(true, Ordering::Relaxed);
        self.link.cut();
    }

    /// Whether it broke because the server did not keep to the protocol.
    pub(crate) fn is_confused(&self) -> bool {
        self.link.confused.load(Ordering::Relaxed)
    }

    /// The same, for this reason.
    pub(crate) fn break_off(&self, reason: String) {
        lock(&self.link.reason).get_or_insert(reason);
        self.cut();
    }

    /// How long ago its last statement was answered.
    pub(crate) fn idle_for(&self) -> Duration {
        Duration::from_micros(clock().saturating_sub(self.link.answered.load(Ordering::Relaxed)))
    }

    /// Asks the server to cancel what runs, and waits until the request is over: the server closes its socket when the
    /// signal has been sent. Before that nothing else may run here, or the cancel could hit it.
    pub(crate) async fn cancel(&self) -> Result<(), String> {
        let (mut socket, _) =
            self.tls.connect(&self.endpoint, &self.address, self.way, &ConnectProgress::default()).await.map_err(
                |failure| match failure {
                    SocketFailure::Io(error) | SocketFailure::BrokenOff(error) => error.to_string(),
                    SocketFailure::Nonsense(reason) => reason,
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

    /// Why it broke, as far as the server or the kernel said.
    pub(crate) fn loss_reason(&self) -> String {
        lock(&self.link.reason).clone().unwrap_or_else(|| "connection closed".into())
    }

    /// To be called when a statement is about to be sent.
    pub(crate) fn sending(&self) -> Sequence {
        let number = self.link.sent.fetch_add(1, Ordering::Relaxed) + 1;
        Sequence { number, changes: self.link.changes.load(Ordering::Relaxed), sent: clock() }
    }

    /// The place of the statement that was sent last, as of now.
    pub(crate) fn position(&self) -> Sequence {
        let number = self.link.sent.load(Ordering::Relaxed);
        Sequence { number, changes: self.link.changes.load(Ordering::Relaxed), sent: clock() }
    }

    /// To be called when a statement was answered.
    pub(crate) fn answered(&self) {
        let now = clock();
        self.link.answered.store(now, Ordering::Relaxed);
        self.endpoint.answered(now);
    }

    /// The same, for one whose time counts: how long the server was busy with it, in microseconds. What it waited in
    /// the pipe behind others is not its own time.
    pub(crate) fn answered_in(&self, sequence: Sequence) -> u64 {
        let now = clock();
        let before = self.link.answered.swap(now, Ordering::Relaxed);
        self.endpoint.answered(now);
        now - sequence.sent.max(before)
    }

    /// Whether the server warned that this statement's commit was not replicated. Statements that were in the pipe
    /// before it count too: better an "unknown" too many than a lost write called success.
    pub(crate) fn is_unreplicated(&self, sequence: Sequence) -> bool {
        sequence.number <= self.link.unreplicated.load(Ordering::Relaxed)
    }

    /// Whether the server reported a change of role while the statement ran.
    pub(crate) fn role_changed_since(&self, sequence: Sequence) -> bool {
        sequence.changes != self.link.changes.load(Ordering::Relaxed)
    }

    /// The server ended the session in answer to this statement: those behind it were never looked at.
    pub(crate) fn session_ended_at(&self, sequence: Sequence) {
        let _ = self.link.refused_after.compare_exchange(0, sequence.number, Ordering::Relaxed, Ordering::Relaxed);
        self.cut();
    }

    /// Whether the statement stood in the pipe behind one with which the server ended the session.
    pub(crate) fn was_never_looked_at(&self, sequence: Sequence) -> bool {
        let after = self.link.refused_after.load(Ordering::Relaxed);
        after != 0 && sequence.number > after
    }
}

type Driven = tokio_postgres::Connection<ServerStream<Socket>, Bound<ServerStream<Socket>>>;

fn reported_role(connection: &Driven) -> Option<Role> {
    let read_only = connection.parameter("default_transaction_read_only")? == "on";
    let in_recovery = connection.parameter("in_hot_standby")? == "on";
    Some(Role { in_recovery, read_only })
}

/// How long a connection that nobody has any more may take to close.
const POLITENESS: Duration = Duration::from_secs(1);

async fn drive(mut connection: Driven, link: Arc<Link>, endpoint: Arc<Endpoint>, notices: Notices) {
    let driven = async {
        loop {
            let message = poll_fn(|cx| {
                let polled = connection.poll_message(cx);
                if !link.pooled.load(Ordering::Relaxed)
                    && let Some(role) = reported_role(&connection)
                {
                    link.set_role(role);
                }
                polled
            });
            match message.await {
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    link.notice(&notice);
                    notices.forward(&notice).await;
                }
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if let Some(listener) = link.listener.get() {
                        // Who is behind is waited for: more stays in the server.
                        let _ = listener.send(notification).await;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    link.confused.store(violation(&error).is_some(), Ordering::Relaxed);
                    return Some(describe(&error));
                }
                None => return None,
            }
        }
    };
    let reason = tokio::select! {
        reason = driven => reason,
        () = link.cut.notified() => Some("cut by the client: the node was lost".to_owned()),
        // Closing politely takes an answer to whatever is still asked; a frozen node has none.
        () = async { link.dropped.notified().await; sleep(POLITENESS).await } => Some("closed".to_owned()),
    };
    // The flag is set before the responses' channels close, so whoever sees them closed sees the reason too.
    let broke = reason.is_some();
    link.end(reason);
    drop(connection);
    if broke {
        endpoint.request_check();
    }
}
