//! Hears at once when the server refuses a COPY whose data is still on its way.
//!
//! The server sends its error with the row that is wrong, then skips what follows until the client ends its message
//! stream. tokio-postgres looks at the answer only when the data is complete: a load from an endless source would never
//! learn of it. So the bytes that come in while a COPY runs are looked at here for an ErrorResponse: type and length of
//! each message (PostgreSQL docs, 54.1 "Messaging Overview"), nothing else.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::engine::lock;

/// What is heard on one connection.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    is_listening: AtomicBool,
    has_heard: AtomicBool,
    place: Mutex<Place>,
    heard: Notify,
}

/// Where in the stream of messages it is.
#[derive(Debug, Default)]
struct Place {
    /// Type and length of a message, as far as they have come.
    head: Vec<u8>,
    /// Bytes of its body that are still to come.
    body: usize,
    /// CopyInResponse has come.
    in_copy: bool,
}

impl Ear {
    /// Listens until the guard is dropped. What the server sends next must be the beginning of a message.
    pub(crate) fn listen(self: &Arc<Self>) -> Listening {
        *lock(&self.place) = Place::default();
        self.has_heard.store(false, Ordering::Relaxed);
        self.is_listening.store(true, Ordering::Relaxed);
        Listening(self.clone())
    }

    fn take(&self, bytes: &[u8]) {
        if lock(&self.place).take(bytes) {
            self.has_heard.store(true, Ordering::Relaxed);
            self.heard.notify_one();
        }
    }
}

/// An ear that listens.
#[derive(Debug)]
pub(crate) struct Listening(Arc<Ear>);

impl Listening {
    /// Resolves when the server has sent an error since CopyInResponse.
    pub(crate) async fn heard(&self) {
        while !self.0.has_heard.load(Ordering::Relaxed) {
            self.0.heard.notified().await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.is_listening.store(false, Ordering::Relaxed);
    }
}

impl Place {
    /// Whether an error begins in these bytes.
    fn take(&mut self, mut bytes: &[u8]) -> bool {
        const HEAD: usize = 5;
        let mut heard = false;
        while !bytes.is_empty() {
            let skipped = self.body.min(bytes.len());
            self.body -= skipped;
            bytes = &bytes[skipped..];
            let (head, rest) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(head);
            bytes = rest;
            if let [kind, a, b, c, d] = self.head[..] {
                // The length counts itself.
                self.body = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                self.head.clear();
                match kind {
                    b'G' => self.in_copy = true,
                    b'E' if self.in_copy => heard = true,
                    _ => {}
                }
            }
        }
        heard
    }
}

/// A stream with an ear on what comes in.
#[derive(Debug)]
pub(crate) struct Heard<S> {
    stream: S,
    ear: Arc<Ear>,
}

impl<S> Heard<S> {
    pub(super) fn new(stream: S, ear: Arc<Ear>) -> Self {
        Self { stream, ear }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.ear.is_listening.load(Ordering::Relaxed) && buf.filled().len() > before {
            self.ear.take(&buf.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend((body.len() as u32 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn an_error_is_heard_after_copy_in_response_however_the_bytes_come() {
        let quiet =
            [message(b'1', b""), message(b'E', b"SERROR\0\0"), message(b'G', b"\0\0\0"), message(b'N', b"EEEEE")];
        let stream = [quiet.concat(), message(b'E', b"SERROR\0\0")].concat();
        let error_at = quiet.concat().len();
        for size in [1, 2, 3, 5, 7, stream.len()] {
            let mut place = Place::default();
            let heard: Vec<_> = stream.chunks(size).map(|chunk| place.take(chunk)).collect();
            let at = heard.iter().position(|&heard| heard);
            assert_eq!(at, Some((error_at + 4) / size), "pieces of {size} bytes");
            assert_eq!(heard.iter().filter(|&&heard| heard).count(), 1);
        }
    }
}
