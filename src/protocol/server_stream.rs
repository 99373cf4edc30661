//! The stream to a server that tokio-postgres reads and writes.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::protocol::backend::{Backend, Gate};
use crate::protocol::conversation::{Conversation, StreamObservers};
use crate::protocol::direct::{KEPT, LaneEnd};
use crate::protocol::flight::refuse_copy;
use crate::protocol::frontend::{Frontend, Outgoing};

/// The stream to a server that tokio-postgres reads and writes.
pub(crate) struct ServerStream<S> {
    stream: S,
    backend: Backend,
    frontend: Frontend,
    conversation: Conversation,
    direct: LaneEnd,
}

/// Fewer bytes are collected before they are written.
const SHORT_WRITE: usize = 16 << 10;

/// Bytes that are read at a time while direct statements are answered.
const CHUNK: usize = 64 << 10;

thread_local! {
    /// One for all connections: what is read is taken apart at once.
    static CHUNKS: RefCell<Box<[MaybeUninit<u8>]>> = RefCell::new(Box::new_uninit_slice(CHUNK));
}

impl<S: fmt::Debug> fmt::Debug for ServerStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<S> ServerStream<S> {
    pub(crate) fn new(stream: S, observers: &StreamObservers) -> Self {
        Self {
            stream,
            backend: Backend::default(),
            frontend: Frontend::default(),
            conversation: Conversation::new(observers),
            direct: LaneEnd(observers.direct.clone()),
        }
    }

    /// Has `gate` judge each authentication request before tokio-postgres reads it.
    pub(crate) fn gated(mut self, gate: Gate) -> Self {
        self.backend.gate = Some(gate);
        self
    }

    /// Puts direct statements behind what was written, if that ends with a whole request.
    fn take_direct(&mut self, cx: &mut Context<'_>) {
        let Self { frontend, conversation, direct, .. } = self;
        if !frontend.is_between_requests(conversation) {
            return;
        }
        let Conversation { answers, pending, .. } = conversation;
        let taken = direct.0.take(cx, &mut frontend.out, &mut answers.awaited, pending);
        if taken > 0 {
            conversation.session_state.flights.fetch_add(taken as u32, Ordering::Relaxed);
        }
    }
}

impl<S: AsyncRead + Unpin> ServerStream<S> {
    /// Reads while direct statements are answered. What tokio-postgres must read is then in `held`. False: the server has
    /// closed the connection.
    fn poll_direct(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        CHUNKS.with_borrow_mut(|chunk| {
            let mut buf = ReadBuf::uninit(chunk);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            let came = buf.filled();
            self.conversation.note_received(came.len());
            self.backend.receive(came, true, &mut self.conversation);
            Poll::Ready(Ok(!came.is_empty()))
        })
    }
}

impl<S: AsyncWrite + Unpin> ServerStream<S> {
    /// Writes what is not written yet.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Frontend { out, out_held, .. } = &mut self.frontend;
        *out_held = out.len().max(*out_held);
        while !self.frontend.out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.frontend.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.conversation.note_sent(written);
            self.frontend.out.advance(written);
        }
        if std::mem::take(&mut self.frontend.out_held) > KEPT {
            self.frontend.out = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ServerStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let Backend { held, read, fault, .. } = &mut this.backend;
            // tokio-postgres has come to the end of all that it has read. If it is given what comes behind an answer, it may end the
            // connection before that answer has ended.
            let limit = this.conversation.answers.hand_over(&this.direct.0, *read);
            if !held.is_empty() {
                let most = limit.map_or(usize::MAX, |limit| limit as usize);
                let length = held.len().min(buf.remaining()).min(most);
                buf.put_slice(&held[..length]);
                held.advance(length);
                *read += length as u64;
                return Poll::Ready(Ok(()));
            }
            if let Some(fault) = fault.take() {
                return Poll::Ready(Err(fault));
            }
            if let Some(answer) = this.conversation.answers.current() {
                ready!(answer.poll_room(cx));
                if !ready!(this.poll_direct(cx))? {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let came = buf.filled().len() - before;
            if came == 0 {
                return Poll::Ready(Ok(()));
            }
            this.conversation.note_received(came);
            let passed = this.backend.receive(&buf.filled()[before..], false, &mut this.conversation);
            buf.set_filled(before + passed);
            if let Some(extended) = this.backend.copy_to_refuse.take() {
                refuse_copy(extended, &mut this.frontend.out);
                // What cannot be written now goes with the next poll of the writer.
                if let Poll::Ready(Err(error)) = Pin::new(&mut *this).poll_flush(cx) {
                    return Poll::Ready(Err(error));
                }
            }
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ServerStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        // What is short is written by `poll_flush`, which always follows, in one system call with what the lane has.
        if this.frontend.out.len() >= SHORT_WRITE || buf.len() >= SHORT_WRITE {
            ready!(this.poll_out(cx))?;
        }
        match this.frontend.prepare(buf, &mut this.conversation)? {
            Outgoing::Unchanged(length) if length < SHORT_WRITE => {
                this.frontend.out.extend_from_slice(&buf[..length]);
                this.frontend.written(length);
                Poll::Ready(Ok(length))
            }
            Outgoing::Unchanged(length) => {
                let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..length]))?;
                this.conversation.note_sent(written);
                this.frontend.written(written);
                Poll::Ready(Ok(written))
            }
            Outgoing::Changed(length) => {
                // They count as written: what is left of them goes ahead of everything else.
                if let Poll::Ready(Err(error)) = this.poll_out(cx) {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Ok(length))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.take_direct(cx);
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
