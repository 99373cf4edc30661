//! Collects the answer to a direct statement.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use tokio::sync::oneshot;

use crate::codec::Packer;
use crate::error::{ClientError, ServerError};
use crate::pool::prepared::{Prepared, Shapes};
use crate::protocol::direct::DirectAnswer;
use crate::protocol::server_error;
use crate::query::Context;
use crate::query::collect::PIECE;
use crate::query::promise::{Finished, Outlet};
use crate::query::retry_policy::Phase;
use crate::query::rows::{RawRow, pack};

/// What becomes of a direct statement.
pub(in crate::query) enum Reply {
    /// The server has come to its end.
    Ended(Box<Collector>),
    /// Its rows are more than a result may have. They are dropped until the end, of which the receiver tells.
    TooLarge(oneshot::Receiver<Reply>),
    /// The connection is lost. `delivered`: rows were sent to JavaScript; `error`: the server's last words for the statement.
    Lost { phase: Phase, delivered: bool, error: Option<Box<ServerError>> },
}

/// Who gets the reply.
pub(super) enum Recipient {
    /// A future that waits for it.
    Future(oneshot::Sender<Reply>),
    /// A statement without a future.
    Call(Box<dyn FnOnce(Reply) + Send + Sync>),
}

impl Recipient {
    fn get(self, reply: Reply) {
        match self {
            Self::Future(sender) => drop(sender.send(reply)),
            Self::Call(call) => call(reply),
        }
    }

    /// Whether nobody waits any more.
    fn has_left(&self) -> bool {
        matches!(self, Self::Future(sender) if sender.is_closed())
    }
}

/// Collects the answer to a statement, and sends the rows of a large one to JavaScript in pieces.
pub(in crate::query) struct Collector {
    pub(super) prepared: Arc<Prepared>,
    shapes: Arc<Shapes>,
    pub(super) outlet: Outlet,
    /// The most bytes of all rows.
    limit: usize,
    bytes: usize,
    /// They are more than that. Whatever comes is dropped.
    overflows: bool,
    packer: Packer,
    /// Rows in `packer`.
    rows: u32,
    /// Rows in all.
    total: u64,
    /// Rows that the command tag counts.
    affected: u64,
    /// Why the rows cannot be read.
    pub(super) unreadable: Option<ClientError>,
    /// From the first row on for which the plan is out of date.
    pub(super) unread: Vec<Box<[u8]>>,
    pub(super) error: Option<Box<ServerError>>,
    /// How far the statement has come.
    pub(super) phase: Phase,
    /// JavaScript is behind.
    room: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
    recipient: Option<Recipient>,
}

impl Collector {
    pub(super) fn new(context: &Context, prepared: &Arc<Prepared>, outlet: Outlet, recipient: Recipient) -> Self {
        Self {
            prepared: prepared.clone(),
            shapes: context.shapes.clone(),
            packer: outlet.packer(),
            outlet,
            limit: context.result_limit(),
            bytes: 0,
            overflows: false,
            rows: 0,
            total: 0,
            affected: 0,
            unreadable: None,
            unread: Vec::new(),
            error: None,
            phase: Phase::NotSent,
            room: None,
            recipient: Some(recipient),
        }
    }

    /// Whether the statement has succeeded, and all rows could be read.
    pub(super) fn is_whole(&self) -> bool {
        self.error.is_none() && self.unreadable.is_none() && self.unread.is_empty()
    }

    /// The result, if all rows could be read.
    pub(super) fn finish(&mut self) -> Finished {
        let has_rows = self.prepared.has_columns() || self.total > 0;
        Finished {
            rows: self.rows,
            shape: has_rows.then(|| self.prepared.shape.clone()),
            row_count: self.affected.max(self.total),
            packer: std::mem::take(&mut self.packer),
            takes_structure: self.prepared.takes_structure,
            ..Finished::default()
        }
    }

    /// Whether the rows are not wanted, or cannot be delivered.
    fn drops_rows(&self) -> bool {
        self.overflows || self.unreadable.is_some() || self.recipient.as_ref().is_none_or(Recipient::has_left)
    }

    fn overflow(&mut self) {
        if self.overflows {
            return;
        }
        let Some(recipient) = self.recipient.take() else { return };
        let (later, told_later) = oneshot::channel();
        self.overflows = true;
        self.recipient = Some(Recipient::Future(later));
        recipient.get(Reply::TooLarge(told_later));
    }
}

impl DirectAnswer for Collector {
    fn sent(&mut self) {
        self.phase = Phase::Sent;
    }

    fn poll_room(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            if let Some(room) = &mut self.room {
                std::task::ready!(room.as_mut().poll(cx));
                self.room = None;
            }
            if !self.outlet.is_full() || self.drops_rows() {
                return Poll::Ready(());
            }
            self.room = Some(self.outlet.room());
        }
    }

    fn begun(&mut self) {
        self.phase = Phase::Begun;
    }

    fn row(&mut self, body: &[u8]) -> Option<()> {
        let row = RawRow::new(body)?;
        if row.count != self.prepared.decoders.len() {
            return None;
        }
        self.bytes += row.cells.len();
        if self.bytes > self.limit {
            self.overflow();
        }
        if self.drops_rows() {
            return Some(());
        }
        self.total += 1;
        if !self.unread.is_empty() {
            self.unread.push(body.into());
            return Some(());
        }
        match pack(&mut row.cells(), &self.prepared, &self.shapes, &mut self.packer) {
            Ok(()) => {}
            Err(error) if error.is_outdated() => {
                self.unread.push(body.into());
                return Some(());
            }
            Err(error) => {
                self.unreadable = Some(error);
                return Some(());
            }
        }
        self.rows += 1;
        if self.packer.byte_len() > PIECE {
            self.outlet.send_rows(std::mem::take(&mut self.rows), self.prepared.shape.id, &mut self.packer);
        }
        Some(())
    }

    fn row_too_large(&mut self) {
        self.overflow();
    }

    fn completed(&mut self, tag: &str) {
        self.affected = tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
    }

    fn failed(&mut self, fields: &[u8]) -> Option<()> {
        self.error = Some(Box::new(server_error(fields)?));
        Some(())
    }

    fn ended(mut self: Box<Self>) {
        if let Some(recipient) = self.recipient.take() {
            recipient.get(Reply::Ended(self));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(recipient) = self.recipient.take() {
            let (phase, delivered, error) = (self.phase, self.outlet.has_delivered(), self.error.take());
            recipient.get(Reply::Lost { phase, delivered, error });
        }
    }
}
