//! Observes the server's messages that tokio-postgres does not hand on.
//!
//! Of a script it collects the columns and the command tag of each result and the transaction status at the end, and
//! signals at once that the script copies. Of a COPY FROM STDIN it signals at once that the server has failed: the
//! server sends its error with the first wrong row and then ignores the rest of the data, while tokio-postgres reads
//! the error only when all data was sent. A load from an endless source would never see it.
//!
//! `backend` calls this only while there is a listener.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::engine::lock;

/// The observer of one connection.
#[derive(Debug, Default)]
pub(crate) struct ResponseObserver {
    is_listening: AtomicBool,
    has_signal: AtomicBool,
    subject: Mutex<Subject>,
    signal: Notify,
}

/// What the listener wants to know of.
#[derive(Debug, Default)]
struct Subject {
    /// A CopyInResponse has come.
    in_copy: bool,
    /// The answers to a script, if one runs; to flights that were sent together, each.
    scripts: Vec<Answers>,
    /// The one that is being answered.
    at: usize,
}

/// The answers to a script, without their rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) results: Vec<StatementAnswer>,
    /// The columns of the result that has begun.
    columns: Option<Vec<u8>>,
    pub(crate) copy_state: CopyState,
    pub(crate) summary: Summary,
}

/// What has become of a script or a flight.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    /// A ParseComplete has come.
    pub(crate) has_parsed: bool,
    /// A statement has begun: a BindComplete, columns or a command tag have come.
    pub(crate) has_begun: bool,
    /// Statements that were completed, and whether one of them was a COMMIT.
    pub(crate) completed: usize,
    pub(crate) committed: bool,
    /// The transaction status of the last ReadyForQuery.
    pub(crate) transaction_status: TransactionStatus,
}

/// The command tag of a result.
#[derive(Debug)]
pub(crate) struct ResultAnswer {
    pub(crate) tag: String,
    pub(crate) suspended: bool,
}

/// The transaction status that ReadyForQuery reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TransactionStatus {
    #[default]
    Idle,
    InTransaction,
    /// The transaction can only be rolled back.
    Failed,
}

/// Whether a statement copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CopyState {
    #[default]
    None,
    /// The server waits for data.
    In,
    /// The server sends data.
    Out,
}

/// The answer to one statement.
#[derive(Clone, Debug)]
pub(crate) struct StatementAnswer {
    /// The body of its RowDescription, if it has rows.
    pub(crate) columns: Option<Vec<u8>>,
    /// `INSERT 0 1`, `SELECT 5`; nothing for an empty statement.
    pub(crate) tag: String,
    /// A portal has more rows: there is no tag.
    pub(crate) suspended: bool,
}

impl Answers {
    /// Adds a message. Returns whether the listener must know of it at once.
    fn add(&mut self, kind: u8, body: &[u8]) -> bool {
        self.summary.has_parsed |= kind == b'1';
        self.summary.has_begun |= matches!(kind, b'2' | b'T' | b'C');
        match kind {
            b'T' => self.columns = Some(body.to_vec()),
            b'C' | b'I' | b's' => {
                let tag = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(body)).into_owned();
                self.summary.completed += usize::from(kind == b'C');
                self.summary.committed |= matches!(&*tag, "COMMIT" | "PREPARE TRANSACTION");
                self.results.push(StatementAnswer { columns: self.columns.take(), tag, suspended: kind == b's' });
            }
            b'Z' => {
                self.summary.transaction_status = match *body {
                    [b'T'] => TransactionStatus::InTransaction,
                    [b'E'] => TransactionStatus::Failed,
                    _ => TransactionStatus::Idle,
                };
            }
            b'H' => self.copy_state = CopyState::Out,
            b'G' => self.copy_state = CopyState::In,
            _ => {}
        }
        self.copy_state != CopyState::None
    }
}

impl ResponseObserver {
    /// Listens to a COPY until the guard is dropped. All earlier statements must have been answered.
    pub(crate) fn listen(self: &Arc<Self>) -> ResponseListener {
        self.start_listening(0)
    }

    /// Listens to a script until the guard is dropped. All earlier statements must have been answered.
    pub(crate) fn listen_to_script(self: &Arc<Self>) -> ResponseListener {
        self.start_listening(1)
    }

    /// Listens to so many flights until the guard is dropped. All earlier statements must have been answered.
    pub(crate) fn listen_to_flights(self: &Arc<Self>, flights: usize) -> ResponseListener {
        self.start_listening(flights)
    }

    fn start_listening(self: &Arc<Self>, scripts: usize) -> ResponseListener {
        *lock(&self.subject) = Subject { scripts: vec![Answers::default(); scripts], ..Subject::default() };
        self.has_signal.store(false, Ordering::Relaxed);
        self.is_listening.store(true, Ordering::Relaxed);
        ResponseListener(self.clone())
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.is_listening.load(Ordering::Relaxed)
    }

    /// A message came that is no error.
    pub(crate) fn message_received(&self, kind: u8, body: &[u8]) {
        let mut subject = lock(&self.subject);
        subject.in_copy |= kind == b'G';
        let at = subject.at;
        let Some(script) = subject.scripts.get_mut(at) else { return };
        if script.add(kind, body) {
            self.signal_listener();
        }
        if kind == b'Z' && at + 1 < subject.scripts.len() {
            subject.at += 1;
        }
    }

    /// An ErrorResponse came.
    pub(crate) fn error_received(&self) {
        if lock(&self.subject).in_copy {
            self.signal_listener();
        }
    }

    fn signal_listener(&self) {
        self.has_signal.store(true, Ordering::Relaxed);
        self.signal.notify_one();
    }
}

/// Makes the observer listen until it is dropped.
#[derive(Debug)]
pub(crate) struct ResponseListener(Arc<ResponseObserver>);

impl ResponseListener {
    /// The answers to the script so far.
    pub(crate) fn answers(&self) -> Answers {
        lock(&self.0.subject).scripts.first().cloned().unwrap_or_default()
    }

    /// The body of the RowDescription of a result, by its place among the results of its flight.
    pub(crate) fn columns(&self, flight: usize, result: usize) -> Option<Vec<u8>> {
        let subject = lock(&self.0.subject);
        let answers = subject.scripts.get(flight)?;
        match answers.results.get(result) {
            Some(answer) => answer.columns.clone(),
            None => answers.columns.clone(),
        }
    }

    /// The answer to a statement that has ended, by its place among the results. Its tag is taken away.
    pub(crate) fn take_answer(&self, flight: usize, result: usize) -> Option<ResultAnswer> {
        let mut subject = lock(&self.0.subject);
        let answer = subject.scripts.get_mut(flight)?.results.get_mut(result)?;
        Some(ResultAnswer { tag: std::mem::take(&mut answer.tag), suspended: answer.suspended })
    }

    /// What has become of a flight so far.
    pub(crate) fn summary(&self, flight: usize) -> Summary {
        lock(&self.0.subject).scripts.get(flight).map_or_else(Summary::default, |answers| answers.summary)
    }

    /// Resolves when the server has sent an error after a CopyInResponse, or a script copies.
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
