//! A prepared statement sent by the stream itself (`protocol::direct`): from its parameters to its packed rows in one pass.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::{BufMut, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use tokio::sync::oneshot;

use crate::codec::Packer;
use crate::error::{ClientError, ServerError};
use crate::pool::prepared::{Prepared, Shapes};
use crate::pool::session::Session;
use crate::protocol::direct::Answer;
use crate::protocol::{Naming, prefix, server_error};
use crate::query::Context;
use crate::query::collect::{Cells, PIECE, pack};
use crate::query::promise::{Finished, Outlet, Promise};
use crate::query::statement::{Numbered, Statement};

/// Parameters of more bytes go by tokio-postgres, which writes them without copying them once more.
const MOST_BYTES: usize = 64 << 10;

/// What becomes of a direct statement.
pub(super) enum Reply {
    /// The server has come to its end.
    Ended(Box<Collector>),
    /// Its rows are more than a result may have. They are dropped until the end, of which the receiver tells.
    TooLarge(oneshot::Receiver<Reply>),
    /// The connection is lost. `error`: the server's last words for the statement.
    Lost { sent: bool, begun: bool, error: Option<Box<ServerError>> },
}

/// Collects the answer to a statement, and sends the rows of a large one to JavaScript in pieces.
pub(super) struct Collector {
    pub(super) prepared: Arc<Prepared>,
    shapes: Arc<Shapes>,
    pub(super) outlet: Outlet,
    /// The most bytes of all rows.
    limit: usize,
    bytes: usize,
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
    sent: bool,
    pub(super) begun: bool,
    /// JavaScript is behind.
    room: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    reply: Option<oneshot::Sender<Reply>>,
}

/// Whether a statement may go this way.
pub(super) fn may_go_direct(session: &Session, statement: &Statement, promise: &Promise) -> bool {
    statement.params.len() <= MOST_BYTES
        && session.conn.session_state.naming() != Naming::None
        && !session.conn.responses.is_listening()
        && promise.may_be_direct()
}

/// Sends a statement. The receiver gets what becomes of it; it closes if the connection was closed before.
pub(super) fn send(
    context: &Context,
    session: &Session,
    prepared: &Arc<Prepared>,
    params: &[Numbered<'_>],
    promise: &Promise,
) -> Result<oneshot::Receiver<Reply>, ClientError> {
    let (reply, replied) = oneshot::channel();
    let collector = Collector {
        prepared: prepared.clone(),
        shapes: context.shapes.clone(),
        outlet: promise.outlet(),
        limit: context.cluster.policy.result_limit.unwrap_or(usize::MAX),
        bytes: 0,
        packer: Packer::default(),
        rows: 0,
        total: 0,
        affected: 0,
        unreadable: None,
        unread: Vec::new(),
        error: None,
        sent: false,
        begun: false,
        room: None,
        reply: Some(reply),
    };
    let naming = session.conn.session_state.naming();
    session.conn.direct.send(|out| write(prepared, naming, params, out), Box::new(collector))?;
    Ok(replied)
}

/// Writes Bind, Execute and Sync.
fn write(prepared: &Prepared, naming: Naming, params: &[Numbered<'_>], out: &mut BytesMut) -> Result<(), ClientError> {
    let types = prepared.statement.params();
    let prefixed = (naming == Naming::Prefixed).then(|| format!("{}{}", prefix(), prepared.name));
    let formats = params.iter().zip(types).map(|(param, ty)| param.format(ty));
    let write_param =
        |(param, ty): (&Numbered<'_>, _), out: &mut BytesMut| -> Result<IsNull, _> { param.write(ty, out) };
    let name = prefixed.as_deref().unwrap_or(&prepared.name);
    let values = params.iter().zip(types);
    let written = match &prepared.text_columns {
        None => frontend::bind("", name, formats, values, write_param, Some(1), out),
        Some(text) => {
            let wanted = text.iter().map(|&text| i16::from(!text));
            frontend::bind("", name, formats, values, write_param, wanted, out)
        }
    };
    written.map_err(|error| match error {
        frontend::BindError::Conversion(error) => ClientError::InvalidParam(error.to_string()),
        frontend::BindError::Serialization(error) => {
            ClientError::InvalidParam(format!("error encoding message: {error}"))
        }
    })?;
    // Execute of the unnamed portal, to its end, and Sync.
    out.put_slice(b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04");
    Ok(())
}

impl Collector {
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
        self.unreadable.is_some() || self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn overflow(&mut self) {
        let Some(reply) = self.reply.take() else { return };
        let (later, told_later) = oneshot::channel();
        // Whatever comes is dropped.
        self.bytes = usize::MAX;
        self.reply = Some(later);
        let _ = reply.send(Reply::TooLarge(told_later));
    }
}

impl Answer for Collector {
    fn sent(&mut self) {
        self.sent = true;
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
        self.begun = true;
    }

    fn row(&mut self, body: &[u8]) -> Option<()> {
        let row = RawRow::new(body)?;
        if row.count != self.prepared.decoders.len() {
            return None;
        }
        if self.bytes == usize::MAX {
            return Some(());
        }
        self.bytes += row.cells.len();
        if self.bytes > self.limit {
            self.overflow();
            return Some(());
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
        if self.bytes != usize::MAX {
            self.overflow();
        }
    }

    fn completed(&mut self, tag: &[u8]) {
        let tag = tag.strip_suffix(b"\0").unwrap_or(tag);
        let count = tag.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
        self.affected = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    }

    fn failed(&mut self, fields: &[u8]) -> Option<()> {
        self.error = Some(Box::new(server_error(fields)?));
        Some(())
    }

    fn ended(mut self: Box<Self>) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Reply::Ended(self));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(Reply::Lost { sent: self.sent, begun: self.begun, error: self.error.take() });
        }
    }
}

/// The body of a DataRow.
pub(super) struct RawRow<'a> {
    count: usize,
    cells: &'a [u8],
}

impl<'a> RawRow<'a> {
    /// None: it is none.
    pub(super) fn new(body: &'a [u8]) -> Option<Self> {
        let (count, cells) = body.split_first_chunk()?;
        let count = usize::from(u16::from_be_bytes(*count));
        let mut rest = cells;
        for _ in 0..count {
            next_cell(&mut rest)?;
        }
        rest.is_empty().then_some(Self { count, cells })
    }

    pub(super) fn cells(&self) -> RawCells<'a> {
        RawCells(self.cells)
    }
}

/// The next cell; Some(None): NULL. None: there is no whole one.
fn next_cell<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, after) = rest.split_first_chunk()?;
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
        *rest = after;
        return Some(None);
    };
    let (cell, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(Some(cell))
}

/// The cells of a row, one after another.
pub(super) struct RawCells<'a>(&'a [u8]);

impl<'a> Cells<'a> for RawCells<'a> {
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        next_cell(&mut self.0)
    }
}
