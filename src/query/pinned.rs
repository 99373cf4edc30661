//! A session that its caller has to itself until it closes the session, and whose transactions are its caller's own: for
//! programs that were written for `pg`. Lives in a pool as a transaction does, and never goes back to the pool.
//!
//! - this file: the session from its opening to its end, and what JavaScript is told of it meanwhile
//! - `command`: what JavaScript asks of it
//! - `binary`: a statement whose result arrives as bytes
//! - `run`: one flight of statements on it; `messages`: its messages; `results`: its results

mod binary;
pub(crate) mod command;
mod messages;
mod results;
mod run;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;
use crate::cluster::fence::{self, ReadOnlyReason};
use crate::codec::{Decoder, Described};
use crate::error::{ClientError, Outcome, is_sqlstate, notice_event};
use crate::pool::prepared::{Field, Shape, Shapes};
use crate::pool::session::Session;
use crate::pool::task::After;
use crate::protocol::ParameterWatcher;
use crate::protocol::response_observer::TransactionStatus;
use crate::query::Context;
use crate::query::call::Call;
use crate::query::promise::Promise;
use crate::query::transaction::command::TransactionCommand;
use crate::query::transaction::{refuse_all, refuse_rest};
use command::PinnedCommand;

/// How often an idle session is looked at: whether its node is still the right one, and whether its lease runs out.
const LOOK: Duration = Duration::from_millis(250);

/// The request for a session.
#[derive(Debug)]
pub(crate) struct Pin {
    pub(crate) call: Call,
    /// The number by which JavaScript knows the session.
    pub(crate) number: u32,
    pub(crate) commands: UnboundedReceiver<TransactionCommand>,
}

impl Pin {
    pub(crate) fn fail(self, error: &ClientError, node: Option<usize>) {
        self.call.fail(error, node);
        drop(tokio::spawn(refuse_rest(self.commands, error.clone())));
    }

    pub(crate) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let context = self.call.context.clone();
        self.call.attempts += 1;
        if !session.is_usable() {
            return After::Again(self);
        }
        let mut pinned = Pinned::new(self.number, session.clone(), context);
        let opened = pinned.open();
        self.call.promise.grant(0, 0, opened.to_string());
        self.call.promise.resolve_early(session.conn.endpoint.index);
        let closing = pinned.serve(&mut self.commands).await;
        session.conn.retire();
        match closing {
            Some(promise) => After::Settled(Box::new(move || promise.resolve_empty(0))),
            None => {
                let error = pinned.lost_error();
                session.conn.cut();
                drop(tokio::spawn(refuse_all(self.commands, error)));
                After::Settled(Box::new(|| ()))
            }
        }
    }
}

/// How the rows of a RowDescription are read.
#[derive(Debug)]
struct Columns {
    shape: Arc<Shape>,
    decoders: Vec<Decoder>,
    names: Vec<String>,
}

impl Columns {
    /// The columns of a RowDescription, each with its decoder.
    fn new(described: Vec<Described>, decoder: impl Fn(&Described) -> Decoder, shapes: &Shapes) -> Self {
        let decoders: Vec<Decoder> = described.iter().map(decoder).collect();
        let fields = described.iter().map(|column| Field {
            name: &column.name,
            type_oid: column.type_oid,
            type_name: "",
            type_modifier: column.type_modifier,
            table_oid: Some(column.table_oid),
            column_number: Some(column.column_number),
            type_size: Some(column.type_size),
        });
        let shape = shapes.shape_of(fields, &decoders);
        Self { shape, decoders, names: described.into_iter().map(|column| column.name).collect() }
    }
}

/// A statement that was parsed under a name.
#[derive(Debug)]
struct Named {
    /// The number of the text, which stands for the types that its caller wants, too.
    text: u32,
    /// None: the server has not said, or its result has no rows.
    columns: Option<Arc<Columns>>,
}

/// Flights that are sent together at most: as many as exports/pg/pipelines.js has on a session (`MOST`), and some more.
const TOGETHER: usize = 8;

/// RowDescriptions that a session keeps the reading of.
const KEPT_COLUMNS: usize = 500;

/// A pinned session.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts")]
struct Pinned {
    number: u32,
    session: Arc<Session>,
    context: Arc<Context>,
    /// The status of the last ReadyForQuery.
    status: TransactionStatus,
    /// A portal is open, and the server owes no ReadyForQuery for it.
    has_portal: bool,
    /// A statement of the transaction has written.
    has_written: bool,
    /// The statements that were parsed, by their names.
    names: HashMap<String, Named>,
    /// By the number of the statement's text and the RowDescription.
    columns: HashMap<(u32, Vec<u8>), Arc<Columns>>,
    /// JavaScript was told that the node is not the right one any more.
    is_retired: bool,
    /// The caller has made the session read-only: that is no fence.
    is_read_only_by_itself: bool,
}

impl Pinned {
    fn new(number: u32, session: Arc<Session>, context: Arc<Context>) -> Self {
        Self {
            number,
            session,
            context,
            status: TransactionStatus::Idle,
            has_portal: false,
            has_written: false,
            names: HashMap::new(),
            columns: HashMap::new(),
            is_retired: false,
            is_read_only_by_itself: false,
        }
    }

    fn cluster(&self) -> &Arc<Cluster> {
        &self.context.cluster
    }

    /// Sends JavaScript what the server says to this session from now on. Returns what it has said of itself.
    fn open(&self) -> Value {
        let (conn, number) = (&self.session.conn, self.number);
        let tell = {
            let cluster = Arc::downgrade(self.cluster());
            move |kind: &str, mut event: Value| {
                if let Some(cluster) = cluster.upgrade() {
                    (event["event"], event["session"], event["type"]) = ("session".into(), number.into(), kind.into());
                    cluster.announce(event);
                }
            }
        };
        let tell_parameter = tell.clone();
        let watcher =
            move |name: &str, value: &str| tell_parameter("parameter", json!({ "name": name, "value": value }));
        let parameters = conn.session_state.watch_parameters(ParameterWatcher(Box::new(watcher)));
        let (tell_notice, node) = (tell.clone(), conn.endpoint.label());
        conn.watch_notices(Box::new(move |notice| tell_notice("notice", notice_event(notice, &node))));
        let mut notifications = conn.notifications();
        drop(tokio::spawn(async move {
            while let Some(notification) = notifications.recv().await {
                let (channel, payload) = (notification.channel(), notification.payload());
                let event = json!({ "processId": notification.process_id(), "channel": channel, "payload": payload });
                tell("notification", event);
            }
        }));
        json!({
            "processId": conn.session_state.pid(),
            "secretKey": conn.session_state.secret.load(Ordering::Relaxed),
            "node": conn.endpoint.label(),
            "parameters": parameters.into_iter().collect::<HashMap<_, _>>(),
        })
    }

    fn tell(&self, kind: &str, mut event: Value) {
        (event["event"], event["session"], event["type"]) = ("session".into(), self.number.into(), kind.into());
        self.cluster().announce(event);
    }

    /// The error for what is asked of the session after its end: nothing of it was sent.
    fn lost_error(&self) -> ClientError {
        let (node, reason) = (self.session.conn.endpoint.label(), self.session.conn.loss_reason());
        ClientError::ConnectionLost { node, reason, outcome: Outcome::NotApplied }
    }

    /// Carries out commands until the caller closes the session, whose promise is returned, or the session is lost.
    async fn serve(&mut self, commands: &mut UnboundedReceiver<TransactionCommand>) -> Option<Promise> {
        let session = self.session.clone();
        let mut look = pin!(sleep(LOOK));
        let mut next: Option<TransactionCommand> = None;
        loop {
            if session.conn.is_closed() {
                let reason = session.conn.loss_reason();
                let code = reason.strip_suffix(')').and_then(|reason| reason.rsplit_once('('));
                let code = code.map(|(_, code)| code).filter(|code| is_sqlstate(code));
                // Those who wait for an answer learn first that there is none.
                while let Some(command) = next.take().or_else(|| commands.try_recv().ok()) {
                    command.refuse(&self.lost_error(), 0, None);
                }
                self.tell("lost", json!({ "reason": reason, "sqlstate": code, "node": session.conn.endpoint.label() }));
                return None;
            }
            let command = if let Some(command) = next.take() {
                command
            } else {
                tokio::select! {
                    biased;
                    command = commands.recv() => command.unwrap_or(TransactionCommand::Abandon),
                    () = session.conn.ended() => continue,
                    () = &mut look => {
                        self.look().await;
                        look.as_mut().reset(tokio::time::Instant::now() + LOOK);
                        continue;
                    }
                }
            };
            match command {
                TransactionCommand::Pinned(command) => match *command {
                    PinnedCommand::Run(call) if self.may_run_together(&call) => {
                        let mut calls = vec![call];
                        while calls.len() < TOGETHER && next.is_none() {
                            let Ok(command) = commands.try_recv() else { break };
                            match command {
                                TransactionCommand::Pinned(command) => match *command {
                                    PinnedCommand::Run(call) if self.may_run_together(&call) => calls.push(call),
                                    other => next = Some(TransactionCommand::Pinned(Box::new(other))),
                                },
                                other => next = Some(other),
                            }
                        }
                        self.run_together(calls).await;
                    }
                    PinnedCommand::Run(call) => self.run(call).await,
                    PinnedCommand::Check(promise) => self.check(promise).await,
                },
                TransactionCommand::Copy(copy) => {
                    copy.run_pinned(&session, self.status != TransactionStatus::Idle).await;
                    self.status = match (session.conn.session_state.is_in_block(), self.status) {
                        (false, _) => TransactionStatus::Idle,
                        (true, TransactionStatus::Failed) => TransactionStatus::Failed,
                        // The copy may have failed; only the next answer says so.
                        (true, _) => TransactionStatus::InTransaction,
                    };
                }
                TransactionCommand::Rollback(promise) => return Some(promise),
                TransactionCommand::Abandon => return None,
                other => other.refuse(&ClientError::Internal("no command of a pinned session".into()), 0, None),
            }
            if self.may_need_look() {
                self.look().await;
            }
        }
    }

    /// Whether the last answer has brought news of the node.
    fn may_need_look(&self) -> bool {
        let role = self.session.conn.role();
        !self.is_retired
            && (self.session.conn.is_retired()
                || self.session.route.must_write()
                    && (role.in_recovery || role.read_only != self.is_read_only_by_itself))
    }

    /// Looks whether the session should be given up: its node was fenced or replaced. Renews its lease.
    async fn look(&mut self) {
        let session = self.session.clone();
        let is_idle = self.status == TransactionStatus::Idle && !self.has_portal;
        if is_idle && session.lease_runs_out_soon() {
            session.renew_lease(self.cluster()).await;
        }
        if self.is_retired || session.conn.is_closed() {
            return;
        }
        let role = session.conn.role();
        let must_write = session.route.must_write();
        let mut is_wrong = session.conn.is_retired() || must_write && role.in_recovery;
        if must_write && role.read_only && !self.is_read_only_by_itself && is_idle && !is_wrong {
            is_wrong = self.is_fenced().await;
            self.is_read_only_by_itself = !is_wrong;
        } else if !role.read_only {
            self.is_read_only_by_itself = false;
        }
        if is_wrong {
            self.is_retired = true;
            self.tell("retired", json!({}));
        }
    }

    /// Whether the session is read-only because its node is fenced or a standby.
    async fn is_fenced(&self) -> bool {
        let conn = &self.session.conn;
        fence::why_read_only(self.cluster(), conn, conn.position()).await == ReadOnlyReason::Fenced
    }

    /// Asks whether the node still accepts writes. A server that does not answer in time is given up.
    async fn check(&mut self, promise: Promise) {
        let session = self.session.clone();
        let conn = &session.conn;
        conn.sending();
        let began = Instant::now();
        let shown =
            match timeout(self.cluster().connect_timeout(), conn.client.simple_query("SHOW transaction_read_only"))
                .await
            {
                Ok(Ok(shown)) => shown,
                Ok(Err(_)) => {
                    conn.cut();
                    return promise.reject(&self.lost_error(), 1, Some(self.status as usize));
                }
                Err(_) => {
                    conn.break_off(format!("no answer within {} ms", began.elapsed().as_millis()));
                    return promise.reject(&self.lost_error(), 1, Some(self.status as usize));
                }
            };
        conn.answered();
        let is_on = fence::is_on(&shown) && session.route.must_write() && !self.is_read_only_by_itself;
        if is_on && self.is_fenced().await {
            self.is_retired = true;
            self.tell("retired", json!({}));
            let (node, reason) = (conn.endpoint.label(), "the node does not accept writes any more".to_owned());
            let error = ClientError::ConnectionLost { node, reason, outcome: Outcome::NotApplied };
            return promise.reject(&error, 1, Some(self.status as usize));
        }
        promise.resolve_empty(self.status as usize);
    }
}
