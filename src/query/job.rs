//! A statement outside a transaction, or the begin of one (`begin`), as the pool's router sees it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep;

use crate::cluster::fence::{self, Verdict};
use crate::cluster::route::Route;
use crate::connection::connection::Sequence;
use crate::engine::Backoff;
use crate::error::{ClientError, Outcome};
use crate::pool::prepared::{Pace, Sets};
use crate::pool::session::Session;
use crate::pool::task::{After, Sharing, Task};
use crate::query::Context;
use crate::query::batch::Batch;
use crate::query::begin::Begin;
use crate::query::cancellation::{Cancellation, Ended, with_cancellation};
use crate::query::copy::Copy;
use crate::query::execute::{Ahead, Failure, Statement, execute};
use crate::query::promise::Promise;
use crate::query::retry_policy::{Cause, Next, next};
use crate::query::script::Script;

/// Work for the router.
#[derive(Debug)]
pub(crate) enum Job {
    Query(Box<Query>),
    Begin(Box<Begin>),
    Batch(Box<Batch>),
    Copy(Box<Copy>),
    Script(Box<Script>),
    /// Panics on the I/O thread: lets a test show that a panic rejects one promise and nothing else.
    Panic(Box<Call>),
}

/// What every job carries.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) promise: Promise,
    pub(crate) context: Arc<Context>,
    pub(crate) route: Route,
    pub(crate) cancellation: Cancellation,
    pub(crate) attempts: u32,
    submitted: Instant,
    deadline: Instant,
    retried: bool,
    backoff: Backoff,
    /// Why it had to be tried again.
    lost: Option<(String, String)>,
}

impl Call {
    pub(crate) fn new(promise: Promise, context: Arc<Context>, cancellation: Cancellation) -> Self {
        let submitted = Instant::now();
        let deadline = submitted + context.acquire_timeout;
        let route = context.route;
        Self {
            promise,
            context,
            route,
            cancellation,
            attempts: 0,
            submitted,
            deadline,
            retried: false,
            backoff: Backoff::default(),
            lost: None,
        }
    }

    pub(crate) fn fail(self, error: &ClientError, node: Option<usize>) {
        self.promise.fail(error, self.attempts, node);
    }

    /// The same as an answer for later.
    pub(crate) fn failed<T>(self, error: ClientError, node: Option<usize>) -> After<T> {
        After::Settled(Box::new(move || self.fail(&error, node)))
    }

    /// Where there is a node that suits, and one connection after the other was lost, that no node was found would mislead.
    fn in_truth(&self, error: ClientError) -> ClientError {
        match (&error, &self.lost) {
            (ClientError::NoPrimary { .. }, Some((node, reason))) if !self.context.cluster.lacks_node(self.route) => {
                let (node, reason) = (node.clone(), reason.clone());
                ClientError::ConnectionLost { node, reason, outcome: Outcome::NotApplied }
            }
            _ => error,
        }
    }

    /// Its time begins now.
    pub(crate) fn renew(&mut self) {
        self.submitted = Instant::now();
        self.deadline = self.submitted + self.context.acquire_timeout;
        self.retried = false;
    }

    /// The time for another connection counts from the first failure.
    /// A second failure is followed by a pause: it may be the server's habit.
    pub(crate) async fn prepare_retry(&mut self, session: &Session) {
        self.promise.start_anew();
        self.lost = Some((session.conn.endpoint.label(), session.conn.loss_reason()));
        if self.attempts > 1 {
            tokio::select! {
                () = sleep(self.backoff.next()) => {}
                _ = self.cancellation.ends() => {}
            }
        }
        if !std::mem::replace(&mut self.retried, true) {
            self.deadline = Instant::now() + self.context.acquire_timeout;
        }
    }
}

/// A statement outside a transaction.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) call: Call,
    pub(crate) statement: Statement,
}

impl Job {
    fn call(&self) -> &Call {
        match self {
            Self::Query(query) => &query.call,
            Self::Begin(begin) => &begin.call,
            Self::Batch(batch) => &batch.call,
            Self::Copy(copy) => &copy.call,
            Self::Script(script) => &script.call,
            Self::Panic(call) => call,
        }
    }
}

impl Task for Job {
    fn route(&self) -> Route {
        self.call().route
    }

    fn sharing(&self) -> Sharing {
        match self {
            Self::Query(query) if query.call.cancellation.is_limited() => Sharing::Alone,
            Self::Query(query) if query.statement.text.sets != Sets::Nothing => Sharing::Alone,
            Self::Query(query) => match query.statement.text.pace() {
                Pace::Slow => Sharing::Long,
                Pace::Unknown => Sharing::Last,
                Pace::Quick => Sharing::Any,
            },
            Self::Batch(batch) => batch.sharing(),
            Self::Begin(_) | Self::Copy(_) | Self::Script(_) | Self::Panic(_) => Sharing::Alone,
        }
    }

    fn submitted(&self) -> Instant {
        self.call().submitted
    }

    fn deadline(&self) -> Instant {
        self.call().deadline
    }

    fn wakes_at(&self) -> Instant {
        let call = self.call();
        call.cancellation.expires.map_or(call.deadline, |(at, _)| at.min(call.deadline))
    }

    fn verdict(&self, now: Instant) -> Option<ClientError> {
        self.call().cancellation.has_ended(now).map(|given_up| given_up.error(Outcome::NotApplied))
    }

    async fn run(self, session: &Arc<Session>) -> After<Self> {
        match self {
            Self::Query(query) => match run_query(query, session).await {
                After::Settled(answer) => After::Settled(answer),
                After::Again(query) => After::Again(Self::Query(query)),
            },
            // Boxed: a task that is a statement shall not be as large as these.
            Self::Begin(begin) => Box::pin(begin.run(session)).await,
            Self::Batch(batch) => Box::pin(batch.run(session)).await,
            Self::Copy(copy) => Box::pin(copy.run(session)).await,
            Self::Script(script) => Box::pin(script.run(session)).await,
            Self::Panic(call) => {
                let _held = call;
                panic!("a test asked for it");
            }
        }
    }

    fn fail(self, error: ClientError) {
        let error = self.call().in_truth(error);
        match self {
            Self::Query(query) => query.call.fail(&error, None),
            Self::Begin(begin) => begin.fail(&error, None),
            Self::Batch(batch) => batch.fail(&error, None),
            Self::Copy(copy) => copy.call.fail(&error, None),
            Self::Script(script) => script.call.fail(&error, None),
            Self::Panic(call) => call.fail(&error, None),
        }
    }
}

/// Runs a statement once.
pub(super) async fn run_query(mut query: Box<Query>, session: &Arc<Session>) -> After<Box<Query>> {
    let node = session.conn.endpoint.index;
    if let Some(given_up) = query.call.cancellation.has_ended(Instant::now()) {
        return query.call.failed(given_up.error(Outcome::NotApplied), None);
    }
    query.call.attempts += 1;
    let context = query.call.context.clone();
    let ahead = if session.route.must_write() && session.conn.is_stale() { Ahead::Show } else { Ahead::Nothing };
    let ended = {
        let work = pin!(execute(&context, session, &query.statement, &mut query.call.promise, ahead, false));
        with_cancellation(&session.conn, &query.call.cancellation, work).await
    };
    let failure = match ended {
        Ended::Itself(Ok(finished)) => {
            return After::Settled(Box::new(move || query.call.promise.done(finished, node)));
        }
        // The server was silent while the statement was being prepared.
        Ended::GivenUp(given_up, None) if !query.call.promise.was_sent => {
            return query.call.failed(given_up.error(Outcome::NotApplied), Some(node));
        }
        Ended::GivenUp(given_up, last_word) => {
            let error = last_word_error(last_word, |outcome| given_up.error(outcome));
            return query.call.failed(error, Some(node));
        }
        Ended::Itself(Err(failure)) => failure,
    };
    if let Some(given_up) = query.call.cancellation.was_given_up() {
        let error = last_word_error::<()>(Some(Err(failure)), |outcome| given_up.error(outcome));
        return query.call.failed(error, Some(node));
    }
    let (cause, phase, sequence) = match failure {
        Failure::Client(error) => {
            return query.call.failed(error, Some(node));
        }
        Failure::Run { cause, phase, sequence } => (cause, phase, sequence),
    };
    let declared_read = query.statement.read_only || session.route.only_reads();
    // Rows that were read cannot be taken back.
    let streamed = query.call.promise.has_streamed();
    let again = !streamed && runs_again(&context, session, next(&cause, phase, declared_read), sequence).await;
    if again {
        if matches!(cause, Cause::ReadOnlyBefore)
            && let Some(sequence) = sequence
        {
            // Tells the others; this connection is not used again either way.
            fence::judge(&context.cluster, &session.conn, sequence).await;
        }
        // Others may be in the pipe with this one: they are to hear their answers.
        session.conn.retire();
        query.call.prepare_retry(session).await;
        return After::Again(query);
    }
    let outcome = match next(&cause, phase, declared_read) {
        Next::Fail(outcome) => outcome,
        Next::Again | Next::AskFence => Outcome::NotApplied,
    };
    let error = run_error(cause, session, outcome);
    query.call.failed(error, Some(node))
}

/// Whether what failed runs again on another connection. Where only the fence can tell, it is asked.
pub(super) async fn runs_again(context: &Context, session: &Session, next: Next, sequence: Option<Sequence>) -> bool {
    match (next, sequence) {
        (Next::Again, _) => true,
        (Next::AskFence, Some(sequence)) if session.route.must_write() => {
            fence::judge(&context.cluster, &session.conn, sequence).await == Verdict::Fenced
        }
        (Next::AskFence | Next::Fail(_), _) => false,
    }
}

/// The error for a statement that failed on the wire.
pub(crate) fn run_error(cause: Cause, session: &Session, outcome: Outcome) -> ClientError {
    match cause {
        Cause::Server(error) if outcome == Outcome::Unknown => {
            let node = session.conn.endpoint.label();
            ClientError::ConnectionLost { node, reason: error.brief(), outcome }
        }
        Cause::Server(error) => ClientError::Database { error, outcome },
        Cause::Lost | Cause::NeverLookedAt | Cause::ReadOnlyBefore => {
            let node = session.conn.endpoint.label();
            ClientError::ConnectionLost { node, reason: session.conn.loss_reason(), outcome }
        }
    }
}

/// What a statement that was given up comes to, by the server's last word.
pub(crate) fn last_word_error<T>(
    last_word: Option<Result<T, Failure>>,
    given_up: impl Fn(Outcome) -> ClientError,
) -> ClientError {
    match last_word {
        Some(Ok(_)) => given_up(Outcome::Applied),
        None | Some(Err(Failure::Client(ClientError::Unreplicated { .. }))) => given_up(Outcome::Unknown),
        Some(Err(Failure::Client(error))) => error,
        Some(Err(Failure::Run { cause: Cause::Server(error), phase, .. })) => match error.code.as_str() {
            "57014" => given_up(Outcome::NotApplied),
            _ => match next(&Cause::Server(error.clone()), phase, false) {
                Next::Fail(Outcome::Unknown) => given_up(Outcome::Unknown),
                _ => ClientError::Database { error, outcome: Outcome::NotApplied },
            },
        },
        Some(Err(Failure::Run { cause, phase, .. })) => match next(&cause, phase, false) {
            Next::Fail(outcome) => given_up(outcome),
            _ => given_up(Outcome::NotApplied),
        },
    }
}
