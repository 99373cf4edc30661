//! Asks for some columns of a result as text, which tokio-postgres cannot: it asks for everything in binary.
//!
//! Some types have no binary form (aclitem, contrib's seg and isn), and the server refuses the whole statement then;
//! of others the binary form does not say enough (a regclass is a number). So the formats of the result's columns are
//! changed in the Bind message on its way out. The messages are told apart by their type and length (PostgreSQL docs,
//! 54.7 "Message Formats"), and only the Bind of a statement for which it was [asked](Formats::ask) is read further.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::engine::lock;

/// The statements of one connection that have columns to be sent as text.
#[derive(Debug, Default)]
pub(crate) struct Formats {
    /// By the statement's name: for each column whether it is text.
    asked: Mutex<HashMap<String, Vec<bool>>>,
    is_asked: AtomicBool,
}

impl Formats {
    /// From now on the statement's columns come as asked, until what is returned is dropped.
    pub(crate) fn ask(self: &Arc<Self>, name: String, text: Vec<bool>) -> Asked {
        lock(&self.asked).insert(name.clone(), text);
        self.is_asked.store(true, Ordering::Relaxed);
        Asked { name, formats: self.clone() }
    }
}

/// A statement for which it was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    name: String,
    formats: Arc<Formats>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut asked = lock(&self.formats.asked);
        asked.remove(&self.name);
        self.formats.is_asked.store(!asked.is_empty(), Ordering::Relaxed);
    }
}

/// A stream that carries out what its `Formats` were asked for.
#[derive(Debug)]
pub(crate) struct Asking<S> {
    stream: S,
    formats: Arc<Formats>,
    place: Place,
    /// A changed message, as far as it has not been written.
    changed: BytesMut,
}

/// Where in the stream of messages it is.
#[derive(Debug, Default)]
struct Place {
    /// The first message (StartupMessage) has no type.
    started: bool,
    head: [u8; 5],
    have: usize,
    /// Bytes of the body that are still to come.
    body: usize,
}

impl Place {
    fn is_between_messages(&self) -> bool {
        self.started && self.have == 0 && self.body == 0
    }

    /// These bytes have been written.
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.body.min(bytes.len());
            self.body -= skipped;
            bytes = &bytes[skipped..];
            let size = if self.started { 5 } else { 4 };
            let taken = (size - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == size {
                let length = [self.head[size - 4], self.head[size - 3], self.head[size - 2], self.head[size - 1]];
                // The length counts itself.
                self.body = (u32::from_be_bytes(length) as usize).saturating_sub(4);
                self.have = 0;
                self.started = true;
            }
        }
    }
}

/// The first message in `bytes`, its type included; None if it is not complete.
fn first_message(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.get(1..5)?.try_into().map(u32::from_be_bytes).ok()?;
    bytes.get(..1 + length as usize)
}

fn c_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The name of the statement of a Bind message.
fn bound_statement(message: &[u8]) -> Option<&str> {
    let (_portal, rest) = c_string(message.get(5..)?)?;
    std::str::from_utf8(c_string(rest)?.0).ok()
}

/// The Bind message with other formats of the result: it ends with those that tokio-postgres writes, one for all columns,
/// and that one binary.
fn with_formats(message: &[u8], text: &[bool]) -> Option<BytesMut> {
    let kept = message.strip_suffix(&[0, 1, 0, 1])?;
    let count = i16::try_from(text.len()).ok()?;
    let mut changed = BytesMut::with_capacity(kept.len() + 2 + text.len() * 2);
    changed.put_slice(kept);
    changed.put_i16(count);
    for &text in text {
        changed.put_i16(i16::from(!text));
    }
    let length = i32::try_from(changed.len() - 1).ok()?;
    changed[1..5].copy_from_slice(&length.to_be_bytes());
    Some(changed)
}

enum Found {
    /// So many bytes have nothing to be changed in them.
    Nothing(usize),
    /// The message in so many bytes becomes another.
    Changed(usize, BytesMut),
}

impl<S> Asking<S> {
    pub(super) fn new(stream: S, formats: Arc<Formats>) -> Self {
        Self { stream, formats, place: Place::default(), changed: BytesMut::new() }
    }

    /// What is to be done with the beginning of `bytes`.
    fn look(&self, bytes: &[u8]) -> io::Result<Found> {
        if !self.formats.is_asked.load(Ordering::Relaxed) {
            return Ok(Found::Nothing(bytes.len()));
        }
        if !self.place.is_between_messages() {
            return Ok(Found::Nothing(bytes.len().min(self.place.body.max(1))));
        }
        let asked = lock(&self.formats.asked);
        let mut seen = 0;
        while seen < bytes.len() {
            let rest = &bytes[seen..];
            let Some(message) = first_message(rest) else {
                // tokio-postgres hands over whole messages; it is better to fail than to read text as binary.
                let broken = rest[0] == b'B';
                return if broken {
                    Err(io::Error::other("half a Bind message"))
                } else {
                    Ok(Found::Nothing(bytes.len()))
                };
            };
            if message[0] == b'B'
                && let Some(text) = bound_statement(message).and_then(|name| asked.get(name))
            {
                if seen > 0 {
                    break;
                }
                let changed = with_formats(message, text).ok_or_else(|| io::Error::other("an unknown Bind message"))?;
                return Ok(Found::Changed(message.len(), changed));
            }
            seen += message.len();
        }
        Ok(Found::Nothing(seen))
    }
}

impl<S: AsyncWrite + Unpin> Asking<S> {
    /// Writes what is left of a changed message.
    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.changed.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.changed))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.changed.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Asking<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Asking<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_changed(cx))?;
        match this.look(buf)? {
            Found::Nothing(length) => {
                let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &buf[..length]))?;
                this.place.pass(&buf[..written]);
                Poll::Ready(Ok(written))
            }
            Found::Changed(length, changed) => {
                // Taken as written: the rest goes ahead of everything else.
                this.changed = changed;
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
mod tests {
    use super::*;

    /// Takes at most so many bytes at a time, and not each time it is asked.
    struct Slow {
        took: Vec<u8>,
        at_most: usize,
        sulks: bool,
    }

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.sulks = !self.sulks;
            if self.sulks {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let taken = buf.len().min(self.at_most);
            self.took.extend_from_slice(&buf[..taken]);
            Poll::Ready(Ok(taken))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend((body.len() as u32 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn bind(name: &str, formats: &[u8]) -> Vec<u8> {
        message(b'B', &[b"\0", name.as_bytes(), b"\0\0\x01\0\x01\0\x01\0\0\0\x02BB", formats].concat())
    }

    #[test]
    fn the_formats_of_the_asked_statement_change_and_nothing_else() {
        const BINARY: &[u8] = &[0, 1, 0, 1];
        let formats = Arc::new(Formats::default());
        let asked = formats.ask("s7".into(), vec![true, false]);
        let startup = [8_u32.to_be_bytes(), 196_608_u32.to_be_bytes()].concat();
        let other = [bind("s70", BINARY), message(b'S', b""), message(b'd', &bind("s7", BINARY))].concat();
        let stream = [&startup[..], &other, &bind("s7", BINARY), &message(b'S', b""), &other].concat();
        let expected = [&startup[..], &other, &bind("s7", &[0, 2, 0, 0, 0, 1]), &message(b'S', b""), &other].concat();
        let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for at_most in [1, 3, 7, 1000] {
            let slow = Slow { took: Vec::new(), at_most, sulks: false };
            let mut asking = Asking::new(slow, formats.clone());
            rt.block_on(tokio::io::AsyncWriteExt::write_all(&mut asking, &stream)).unwrap();
            rt.block_on(tokio::io::AsyncWriteExt::flush(&mut asking)).unwrap();
            assert_eq!(asking.stream.took, expected, "{at_most} bytes at a time");
        }
        drop(asked);
        let slow = Slow { took: Vec::new(), at_most: 1000, sulks: false };
        let mut asking = Asking::new(slow, formats);
        rt.block_on(tokio::io::AsyncWriteExt::write_all(&mut asking, &stream)).unwrap();
        assert_eq!(asking.stream.took, stream);
    }
}
