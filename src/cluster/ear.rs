//! Hears what the server sends and tokio-postgres keeps to itself.
//!
//! Of a script: the columns and the command tag of each result, whether a transaction is open at the end, and that it wants
//! to copy. Of a COPY: at once when the server refuses it although its data is still on its way.
//!
//! The server sends its error with the row that is wrong, then skips what follows until the client ends its message
//! stream. tokio-postgres looks at the answer only when the data is complete: a load from an endless source would never
//! learn of it.
//!
//! So the bytes that come in are looked at here while somebody listens: type and length of each message (PostgreSQL docs,
//! 54.7 "Message Formats"), and the bodies of those that matter.

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
    /// A script runs.
    script: Option<Answers>,
    /// The type of the message whose body is kept, and what has come of it.
    kept: Option<(u8, Vec<u8>)>,
}

/// What a script was answered, its rows apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) results: Vec<Answer>,
    /// The columns of the result that has begun.
    columns: Option<Vec<u8>>,
    /// As the last ReadyForQuery has it.
    pub(crate) block: Block,
    pub(crate) copies: Copies,
}

/// A transaction block as ReadyForQuery reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Block {
    #[default]
    None,
    Open,
    /// Only ROLLBACK is possible in it.
    Failed,
}

/// Data outside of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Copies {
    #[default]
    Nothing,
    /// The server waits for some.
    In,
    /// The server sends some.
    Out,
}

/// The answer to one statement.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The body of its RowDescription, if it has rows.
    pub(crate) columns: Option<Vec<u8>>,
    /// `INSERT 0 1`, `SELECT 5`; nothing for an empty statement.
    pub(crate) tag: String,
}

impl Answers {
    /// A message of which the body was kept. Returns whether somebody should know at once.
    fn add(&mut self, kind: u8, body: Vec<u8>) -> bool {
        match kind {
            b'T' => self.columns = Some(body),
            b'C' | b'I' => {
                let tag = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(&body)).into_owned();
                self.results.push(Answer { columns: self.columns.take(), tag });
            }
            b'Z' => {
                self.block = match body[..] {
                    [b'T'] => Block::Open,
                    [b'E'] => Block::Failed,
                    _ => Block::None,
                }
            }
            b'H' => self.copies = Copies::Out,
            _ => self.copies = Copies::In,
        }
        self.copies != Copies::Nothing
    }
}

impl Ear {
    /// Listens until the guard is dropped. What the server sends next must be the beginning of a message.
    pub(crate) fn listen(self: &Arc<Self>) -> Listening {
        self.begin(None)
    }

    /// The same for a script.
    pub(crate) fn listen_to_script(self: &Arc<Self>) -> Listening {
        self.begin(Some(Answers::default()))
    }

    fn begin(self: &Arc<Self>, script: Option<Answers>) -> Listening {
        *lock(&self.place) = Place { script, ..Place::default() };
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
    /// What the script was answered so far.
    pub(crate) fn answers(&self) -> Answers {
        lock(&self.0.place).script.clone().unwrap_or_default()
    }

    /// Resolves when the server has sent an error since CopyInResponse, or a script copies.
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
    /// Whether there is something in these bytes that somebody should know at once.
    fn take(&mut self, mut bytes: &[u8]) -> bool {
        const HEAD: usize = 5;
        let mut heard = false;
        while !bytes.is_empty() {
            let skipped = self.body.min(bytes.len());
            self.body -= skipped;
            if let Some((_, kept)) = &mut self.kept {
                kept.extend_from_slice(&bytes[..skipped]);
            }
            bytes = &bytes[skipped..];
            heard |= self.end_of_body();
            let (head, rest) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
            self.head.extend_from_slice(head);
            bytes = rest;
            if let [kind, a, b, c, d] = self.head[..] {
                // The length counts itself.
                self.body = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                self.head.clear();
                match kind {
                    b'T' | b'C' | b'I' | b'Z' | b'G' | b'H' | b'W' if self.script.is_some() => {
                        self.kept = Some((kind, Vec::new()));
                        heard |= self.end_of_body();
                    }
                    b'G' => self.in_copy = true,
                    b'E' if self.in_copy => heard = true,
                    _ => {}
                }
            }
        }
        heard
    }

    /// Takes note of a message that is complete, if its body was kept.
    fn end_of_body(&mut self) -> bool {
        if self.body > 0 {
            return false;
        }
        let (Some((kind, body)), Some(script)) = (self.kept.take(), &mut self.script) else { return false };
        script.add(kind, body)
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
    fn the_answers_to_a_script_however_they_come() {
        let stream = [
            message(b'C', b"SET\0"),
            message(b'T', b"\0\x01columns"),
            message(b'D', b"\0\x01CCCC"),
            message(b'C', b"SELECT 1\0"),
            message(b'I', b""),
            message(b'N', b"CCC"),
            message(b'Z', b"T"),
        ]
        .concat();
        for size in [1, 2, 3, 5, 7, stream.len()] {
            let mut place = Place { script: Some(Answers::default()), ..Place::default() };
            assert!(!stream.chunks(size).any(|chunk| place.take(chunk)));
            let answers = place.script.clone().unwrap();
            let tags: Vec<_> =
                answers.results.iter().map(|answer| (answer.tag.as_str(), answer.columns.is_some())).collect();
            assert_eq!(tags, [("SET", false), ("SELECT 1", true), ("", false)], "pieces of {size} bytes");
            assert_eq!(answers.results[1].columns.as_deref(), Some(&b"\0\x01columns"[..]));
            assert_eq!((answers.block, answers.copies), (Block::Open, Copies::Nothing));
            assert!(place.take(&message(b'G', b"\0\0\0")), "a copy is told at once");
        }
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
