//! The byte stream between tokio-postgres and a server, with eyes and hands of our own on it.
//!
//! tokio-postgres believes what a server sends, keeps some of it to itself, and cannot be told some things that we want
//! said. All that is dealt with here, message by message (PostgreSQL docs, 54.7 "Message Formats"):
//!
//! - `backend`: checks what the server sends, and shows it to the observers
//! - `frontend`: notes what the client sends, and changes it where tokio-postgres cannot
//! - `pending_responses`: which answers are owed, so that none can be taken for another's
//! - `type_depth`: bounds the questions that tokio-postgres asks about types by itself
//! - `session_state`: what is known of the session
//! - `response_observer`: what the server answers that tokio-postgres keeps to itself
//! - `result_formats`: asks for columns as text where binary will not do

mod backend;
mod frontend;
mod pending_responses;
pub(crate) mod response_observer;
pub(crate) mod result_formats;
mod session_state;
mod type_depth;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::backend::Backend;
use crate::protocol::frontend::{Frontend, Written};
use crate::protocol::pending_responses::PendingResponses;
use crate::protocol::response_observer::ResponseObserver;
use crate::protocol::result_formats::ResultFormats;
pub(crate) use crate::protocol::session_state::{Naming, SessionState};
use crate::protocol::type_depth::TypeDepth;

/// The SQLSTATE of an error that stands where a row was that was too large.
pub(crate) const TOO_LARGE: &str = "HY001";
/// The same for rows with other columns than when the statement was prepared.
pub(crate) const COLUMNS_CHANGED: &str = "HY002";

/// What the wire has to do with others.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamObservers {
    pub(crate) responses: Arc<ResponseObserver>,
    pub(crate) result_formats: Arc<ResultFormats>,
    pub(crate) session_state: Arc<SessionState>,
    /// Bytes of a row at most.
    pub(crate) row_limit: Option<usize>,
}

/// Looks at the body of each authentication request ahead of tokio-postgres. An error ends the login.
pub(crate) type Gate = Box<dyn FnMut(&[u8]) -> Result<(), io::Error> + Send>;

/// The server has broken the protocol: what is found in the `io::Error` of a connection that broke for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Violation(pub(crate) String);

struct Core {
    backend: Backend,
    frontend: Frontend,
    pending: PendingResponses,
    type_depth: TypeDepth,
    responses: Arc<ResponseObserver>,
    result_formats: Arc<ResultFormats>,
    session_state: Arc<SessionState>,
    row_limit: Option<usize>,
    gate: Option<Gate>,
    /// What has come in and was not only looked at.
    held: BytesMut,
    /// What goes out instead of what was to go.
    changed: BytesMut,
    fault: Option<io::Error>,
}

/// A stream to a server, as tokio-postgres gets it.
pub(crate) struct Wire<S> {
    stream: S,
    core: Core,
}

impl<S: fmt::Debug> fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S, observers: &StreamObservers) -> Self {
        let StreamObservers { responses, result_formats, session_state, row_limit } = observers.clone();
        let core = Core {
            backend: Backend::default(),
            frontend: Frontend::default(),
            pending: PendingResponses::default(),
            type_depth: TypeDepth::default(),
            responses,
            result_formats,
            session_state,
            row_limit,
            gate: None,
            held: BytesMut::new(),
            changed: BytesMut::new(),
            fault: None,
        };
        Self { stream, core }
    }

    /// The same with somebody who looks at the login.
    pub(crate) fn gated(mut self, gate: Gate) -> Self {
        self.core.gate = Some(gate);
        self
    }

    #[expect(dead_code, reason = "the login that is being written")]
    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes what is left of changed messages.
    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.core.changed.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.core.changed))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.core.changed.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.core.held.is_empty() {
                let length = this.core.held.len().min(buf.remaining());
                buf.put_slice(&this.core.held[..length]);
                this.core.held.advance(length);
                return Poll::Ready(Ok(()));
            }
            if let Some(fault) = this.core.fault.take() {
                return Poll::Ready(Err(fault));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let came = buf.filled().len() - before;
            if came == 0 {
                return Poll::Ready(Ok(()));
            }
            let passed = this.core.take(&buf.filled()[before..]);
            buf.set_filled(before + passed);
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_changed(cx))?;
        match this.core.give(buf)? {
            Written::AsTheyAre(length) => {
                let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..length]))?;
                this.core.gave(written);
                Poll::Ready(Ok(written))
            }
            Written::Changed(length) => {
                // Taken as written: the rest goes ahead of everything else.
                if let Poll::Ready(Err(error)) = this.poll_changed(cx) {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(length))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_changed(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_changed(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
