//! LISTEN that survives failovers: one connection to the primary for all channels of a pool.
//!
//! NOTIFY is neither replicated nor logged, so notifications between two connections are lost; the event `gap` says so.
//! A heartbeat shows that the session is alive and on a primary: an old primary that still runs, fenced or cut off,
//! would keep the session open and silent. When a heartbeat is answered, every notification from before it has arrived,
//! because the server sends pending notifications ahead of its ReadyForQuery. A gap begins with the last such heartbeat
//! and ends when the server has confirmed the new LISTEN.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_postgres::Notification;

use crate::cluster::Cluster;
use crate::cluster::route::Route;
use crate::connection::connection::Connection;
use crate::connection::failure::describe;
use crate::engine::Backoff;
use crate::error::{ClientError, Outcome, ServerError};
use crate::query::Context;
use crate::query::promise::Promise;

/// What a pool asks of its listener.
#[derive(Debug)]
pub(crate) enum ListenCommand {
    Listen(String, Promise),
    Unlisten(String, Promise),
}

/// A LISTEN that the server has not confirmed.
#[derive(Debug)]
struct PendingListen {
    channel: String,
    promise: Promise,
    deadline: Instant,
}

/// Since when notifications may be missing, and why.
#[derive(Debug)]
struct Gap {
    since: u64,
    from: String,
    reason: String,
}

#[derive(Debug)]
struct Listener {
    cluster: Arc<Cluster>,
    acquire_timeout: Duration,
    commands: UnboundedReceiver<ListenCommand>,
    /// Channels whose LISTEN was confirmed once.
    channels: BTreeSet<String>,
    pending: Vec<PendingListen>,
    gap: Option<Gap>,
    /// The pauses after connections that were lost soon.
    losses: Backoff,
}

/// A connection that has listened for this long counts as good: the next one is opened without a pause.
const STEADY: Duration = Duration::from_secs(1);

/// Starts the listener of a pool. It ends and closes its connection when the sender is dropped.
pub(crate) fn start(context: &Context) -> UnboundedSender<ListenCommand> {
    let (sender, commands) = unbounded_channel();
    let listener = Listener {
        cluster: context.cluster.clone(),
        acquire_timeout: context.acquire_timeout,
        commands,
        channels: BTreeSet::new(),
        pending: Vec::new(),
        gap: None,
        losses: Backoff::default(),
    };
    drop(tokio::spawn(listener.run()));
    sender
}

/// The pool has ended.
struct PoolEnded;

/// Milliseconds since 1970, as JavaScript's Date has them.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn quote_channel(channel: &str) -> String {
    format!("\"{}\"", channel.replace('"', "\"\""))
}

fn listen_sql<'a>(channels: impl Iterator<Item = &'a String>) -> String {
    channels.map(|channel| format!("LISTEN {}", quote_channel(channel))).collect::<Vec<_>>().join(";")
}

impl Listener {
    async fn run(mut self) {
        let ended = self.listen().await;
        if ended.is_err() {
            for listen in self.pending {
                listen.promise.reject(&ClientError::PoolClosed, 0, None);
            }
        }
    }

    async fn listen(&mut self) -> Result<(), PoolEnded> {
        loop {
            while self.channels.is_empty() && self.pending.is_empty() {
                self.gap = None;
                let command = self.commands.recv().await.ok_or(PoolEnded)?;
                self.carry_out_later(command);
            }
            if let Some((conn, notifications)) = self.connect().await? {
                let began = Instant::now();
                self.announce_until_lost(conn, notifications).await?;
                // A server may confirm LISTEN and then end the session, each time: without a pause it would be asked at
                // once.
                if began.elapsed() < STEADY {
                    sleep(self.losses.next()).await;
                } else {
                    self.losses = Backoff::default();
                }
            }
        }
    }

    /// Carries out a command while there is no connection.
    fn carry_out_later(&mut self, command: ListenCommand) {
        match command {
            ListenCommand::Listen(channel, promise) => {
                let deadline = Instant::now() + self.acquire_timeout;
                self.pending.push(PendingListen { channel, promise, deadline });
            }
            ListenCommand::Unlisten(channel, promise) => {
                self.channels.remove(&channel);
                promise.resolve_empty(0);
            }
        }
    }

    /// A connection on which the server has confirmed all channels; None: no channel is left.
    async fn connect(&mut self) -> Result<Option<Listening>, PoolEnded> {
        let mut backoff = Backoff::default();
        loop {
            let cluster = self.cluster.clone();
            let failure = {
                let sql = listen_sql(self.channels.iter().chain(self.pending.iter().map(|listen| &listen.channel)));
                let mut attempt = pin!(open_listening(&cluster, &sql));
                loop {
                    let first_deadline = self.pending.iter().map(|listen| listen.deadline).min();
                    let expired = async {
                        match first_deadline {
                            Some(at) => sleep_until(at.into()).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        attempted = attempt.as_mut() => match attempted {
                            Ok(listening) => return Ok(Some(listening)),
                            Err(failure) => break failure,
                        },
                        () = expired => self.reject_expired(),
                        command = self.commands.recv() => {
                            self.carry_out_later(command.ok_or(PoolEnded)?);
                            break None;
                        }
                    }
                }
            };
            if let Some(error) = failure {
                // Another attempt cannot help a new LISTEN. The channels of earlier ones are tried again.
                for listen in self.pending.drain(..) {
                    listen.promise.reject(&error, 1, None);
                }
            }
            if self.channels.is_empty() && self.pending.is_empty() {
                return Ok(None);
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                // Only a node that appears from now on counts: the failed attempt has made its own node appear.
                () = cluster.appeared.notified() => {}
            }
            self.reject_expired();
        }
    }

    fn reject_expired(&mut self) {
        let (now, acquire_timeout) = (Instant::now(), self.acquire_timeout);
        for listen in self.pending.extract_if(.., |listen| listen.deadline <= now) {
            let error = ClientError::NoPrimary {
                wanted: Route::Primary.wanted(),
                waited_ms: acquire_timeout.as_millis() as u64,
                nodes: self.cluster.reasons(Route::Primary),
            };
            listen.promise.reject(&error, 1, None);
        }
    }

    /// Announces notifications until the connection is lost or no channel is left.
    async fn announce_until_lost(
        &mut self,
        conn: Connection,
        mut notifications: Receiver<Notification>,
    ) -> Result<(), PoolEnded> {
        self.note_confirmed(&conn);
        let cluster = self.cluster.clone();
        let alive = AtomicU64::new(now());
        let reason = {
            let mut silent = pin!(send_heartbeats(&cluster, &conn, &alive));
            loop {
                tokio::select! {
                    Some(notification) = notifications.recv() => self.announce_notification(&conn, &notification).await,
                    reason = silent.as_mut() => break reason,
                    () = conn.ended() => break conn.loss_reason(),
                    command = self.commands.recv() => {
                        let Some(command) = command else { return Err(PoolEnded) };
                        if let Err(reason) = self.carry_out(&conn, command, &mut notifications).await {
                            break reason;
                        }
                        if self.channels.is_empty() && self.pending.is_empty() {
                            return Ok(());
                        }
                    }
                }
            }
        };
        // Notifications that had arrived before the end.
        while let Ok(notification) = notifications.try_recv() {
            self.announce_notification(&conn, &notification).await;
        }
        conn.cut();
        let since = alive.load(Ordering::Relaxed);
        // If a gap is still open, it goes on: no connection has listened since it began.
        self.gap.get_or_insert(Gap { since, from: conn.endpoint.label(), reason });
        Ok(())
    }

    /// Resolves the promises of the LISTENs that the server has confirmed, and announces the gap.
    fn note_confirmed(&mut self, conn: &Connection) {
        if let Some(Gap { since, from, reason }) = self.gap.take()
            && !self.channels.is_empty()
        {
            self.cluster.announce(json!({
                "event": "gap",
                "channels": self.channels,
                "since": since,
                "until": now(),
                "from": from,
                "to": conn.endpoint.label(),
                "reason": reason,
            }));
        }
        for listen in self.pending.drain(..) {
            self.channels.insert(listen.channel);
            listen.promise.resolve_empty(conn.endpoint.index);
        }
    }

    async fn carry_out(
        &mut self,
        conn: &Connection,
        command: ListenCommand,
        notifications: &mut Receiver<Notification>,
    ) -> Result<(), String> {
        let (sql, channel, promise) = match command {
            ListenCommand::Listen(channel, promise) => (listen_sql(std::iter::once(&channel)), Some(channel), promise),
            ListenCommand::Unlisten(channel, promise) => {
                self.channels.remove(&channel);
                (format!("UNLISTEN {}", quote_channel(&channel)), None, promise)
            }
        };
        let mut answer = pin!(timeout(self.cluster.node_timeout(), conn.client.batch_execute(&sql)));
        let outcome = loop {
            tokio::select! {
                outcome = answer.as_mut() => break outcome,
                // Notifications come ahead of the answer.
                Some(notification) = notifications.recv() => self.announce_notification(conn, &notification).await,
            }
        };
        let lost = match outcome {
            Ok(Ok(())) => {
                self.channels.extend(channel);
                promise.resolve_empty(conn.endpoint.index);
                return Ok(());
            }
            Ok(Err(error)) => match error.as_db_error().map(ServerError::from) {
                // After a FATAL error the next session listens to the channel.
                Some(refusal) if !refusal.ends_session => {
                    let error = ClientError::Database { error: Box::new(refusal), outcome: Outcome::NotApplied };
                    promise.reject(&error, 1, Some(conn.endpoint.index));
                    return Ok(());
                }
                _ => describe(&error),
            },
            Err(_) => "no answer to LISTEN".to_owned(),
        };
        match channel {
            Some(channel) => self.carry_out_later(ListenCommand::Listen(channel, promise)),
            None => promise.resolve_empty(conn.endpoint.index),
        }
        Err(lost)
    }

    async fn announce_notification(&self, conn: &Connection, notification: &Notification) {
        if self.channels.contains(notification.channel()) {
            let event = json!({
                "event": "notification",
                "channel": notification.channel(),
                "payload": notification.payload(),
                "processId": notification.process_id(),
                "node": conn.endpoint.label(),
            });
            self.cluster.announce_in_time(event).await;
        }
    }
}

/// A connection that listens, and its notifications.
type Listening = (Connection, Receiver<Notification>);

/// Opens a connection to the primary and listens. An error comes only when another attempt cannot help.
async fn open_listening(cluster: &Arc<Cluster>, sql: &str) -> Result<Listening, Option<ClientError>> {
    let conn = cluster.connect(Route::Primary).await.map_err(|failure| failure.hopeless())?;
    // Before LISTEN is sent: the first notification may come right behind the answer.
    let notifications = conn.notifications();
    match timeout(cluster.connect_timeout(), conn.client.batch_execute(sql)).await {
        Ok(Ok(())) => Ok((conn, notifications)),
        Ok(Err(_)) | Err(_) => Err(None),
    }
}

/// Sends heartbeats; ends with the reason why the connection must be replaced.
async fn send_heartbeats(cluster: &Cluster, conn: &Connection, alive: &AtomicU64) -> String {
    loop {
        sleep(cluster.heartbeat()).await;
        let sent = now();
        match timeout(cluster.node_timeout(), conn.probe()).await {
            Ok(Ok(probe)) if probe.role.in_recovery => return "the node is a standby now".to_owned(),
            Ok(Ok(_)) => {
                alive.store(sent, Ordering::Relaxed);
                conn.keep_lease().await;
            }
            Ok(Err(error)) => return error.to_string(),
            Err(_) => return format!("no answer within {} ms", cluster.node_timeout().as_millis()),
        }
    }
}
