//! Hears what the server sends and tokio-postgres keeps to itself.
//!
//! Of a script: the columns and the command tag of each result, whether a transaction is open at the end, and that it wants
//! to copy. Of a COPY: at once when the server refuses it although its data is still on its way.
//!
//! The server sends its error with the row that is wrong, then skips what follows until the client ends its message
//! stream. tokio-postgres looks at the answer only when the data is complete: a load from an endless source would never
//! learn of it.
//!
//! So what comes in is looked at here while somebody listens (`wire` cuts it into messages).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::engine::lock;

/// What is heard on one connection.
#[derive(Debug, Default)]
pub(crate) struct ResponseObserver {
    is_listening: AtomicBool,
    has_signal: AtomicBool,
    subject: Mutex<Subject>,
    signal: Notify,
}

/// What is listened to.
#[derive(Debug, Default)]
struct Subject {
    /// CopyInResponse has come.
    in_copy: bool,
    /// A script runs.
    script: Option<Answers>,
}

/// What a script was answered, its rows apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) results: Vec<StatementAnswer>,
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
pub(crate) struct StatementAnswer {
    /// The body of its RowDescription, if it has rows.
    pub(crate) columns: Option<Vec<u8>>,
    /// `INSERT 0 1`, `SELECT 5`; nothing for an empty statement.
    pub(crate) tag: String,
}

impl Answers {
    /// A message that was heard. Returns whether somebody should know at once.
    fn add(&mut self, kind: u8, body: &[u8]) -> bool {
        match kind {
            b'T' => self.columns = Some(body.to_vec()),
            b'C' | b'I' => {
                let tag = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(body)).into_owned();
                self.results.push(StatementAnswer { columns: self.columns.take(), tag });
            }
            b'Z' => {
                self.block = match *body {
                    [b'T'] => Block::Open,
                    [b'E'] => Block::Failed,
                    _ => Block::None,
                }
            }
            b'H' => self.copies = Copies::Out,
            b'G' => self.copies = Copies::In,
            _ => {}
        }
        self.copies != Copies::Nothing
    }
}

impl ResponseObserver {
    /// Listens until the guard is dropped. What was asked before must have been answered.
    pub(crate) fn listen(self: &Arc<Self>) -> ResponseListener {
        self.begin(None)
    }

    /// The same for a script.
    pub(crate) fn listen_to_script(self: &Arc<Self>) -> ResponseListener {
        self.begin(Some(Answers::default()))
    }

    fn begin(self: &Arc<Self>, script: Option<Answers>) -> ResponseListener {
        *lock(&self.subject) = Subject { script, ..Subject::default() };
        self.has_signal.store(false, Ordering::Relaxed);
        self.is_listening.store(true, Ordering::Relaxed);
        ResponseListener(self.clone())
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.is_listening.load(Ordering::Relaxed)
    }

    /// A message that is no error.
    pub(crate) fn message(&self, kind: u8, body: &[u8]) {
        let mut subject = lock(&self.subject);
        subject.in_copy |= kind == b'G';
        if subject.script.as_mut().is_some_and(|script| script.add(kind, body)) {
            self.signal_listener();
        }
    }

    /// An ErrorResponse.
    pub(crate) fn error(&self) {
        if lock(&self.subject).in_copy {
            self.signal_listener();
        }
    }

    fn signal_listener(&self) {
        self.has_signal.store(true, Ordering::Relaxed);
        self.signal.notify_one();
    }
}

/// An ear that listens.
#[derive(Debug)]
pub(crate) struct ResponseListener(Arc<ResponseObserver>);

impl ResponseListener {
    /// What the script was answered so far.
    pub(crate) fn answers(&self) -> Answers {
        lock(&self.0.subject).script.clone().unwrap_or_default()
    }

    /// Resolves when the server has sent an error since CopyInResponse, or a script copies.
    pub(crate) async fn signalled(&self) {
        while !self.0.has_signal.load(Ordering::Relaxed) {
            self.0.signal.notified().await;
        }
    }
}

impl Drop for ResponseListener {
    fn drop(&mut self) {
        self.0.is_listening.store(false, Ordering::Relaxed);
    }
}
