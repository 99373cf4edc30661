//! The begin of a transaction.
//!
//! BEGIN waits for the transaction's first statement and travels with it in one flight. The two are separate messages
//! to the server, so if BEGIN alone were refused, the statement would take effect outside of any transaction. What could
//! do that is a cancel or a timeout that hits just BEGIN, or a standby that does not like its options: so they go one after
//! the other where the statement is limited, where the session has a `statement_timeout`, and where the statement must be
//! prepared first. BEGIN's own answer is always looked at.
//!
//! Until its first statement is answered, a transaction can move to another connection without anybody noticing.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::cluster::fence;
use crate::error::{ClientError, Outcome};
use crate::pool::prepared::SettingsChange;
use crate::pool::session::Session;
use crate::pool::task::{After, Answer};
use crate::query::Context;
use crate::query::call::Call;
use crate::query::cancellation::{Cancellation, Ended, with_cancellation};
use crate::query::execute::{Ahead, execute};
use crate::query::failure::{Failure, run_error};
use crate::query::opening::{BeginState, Opening, begin};
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Verdict, Work, verdict};
use crate::query::statement::Statement;
use crate::query::transaction::{Command, lost, refuse_all, serve, settled};

/// A transaction that is to begin.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) call: Call,
    /// `BEGIN ...` with its options.
    pub(crate) sql: String,
    pub(crate) commands: UnboundedReceiver<Command>,
    /// The first command, when the connection it came to was of no use.
    pub(crate) first: Option<Command>,
    /// Nobody waits for the connection alone: the caller hears of it with the first statement's answer.
    pub(crate) managed: bool,
}

impl Begin {
    /// Tells everybody that there will be no transaction.
    pub(crate) fn fail(self, error: &ClientError, node: Option<usize>) {
        let is_in_use = self.managed || self.call.promise.is_settled();
        if let Some(first) = self.first {
            first.refuse(error, self.call.attempts, node);
        }
        self.call.fail(error, node);
        if is_in_use {
            // What its user wants of it meanwhile is answered too.
            drop(tokio::spawn(refuse_all(self.commands, error.clone())));
        }
    }

    pub(crate) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let context = self.call.context.clone();
        let node = session.conn.endpoint.index;
        self.call.attempts += 1;
        if !self.managed {
            self.call.promise.done_early(node);
        }
        loop {
            let command = match self.first.take() {
                Some(first) => first,
                None => {
                    let command = self.commands.recv().await.unwrap_or(Command::Abandon);
                    self.call.renew();
                    command
                }
            };
            let step = match command {
                // Nothing was sent, so there is nothing to end.
                Command::Commit(promise, _) | Command::Rollback(promise) => {
                    Step::Over(Box::new(move || promise.done_empty(node)))
                }
                Command::Abandon => Step::Over(Box::new(|| ())),
                command if !session.is_usable() => return self.again(session, command).await,
                Command::Query { promise, statement, cancellation } => {
                    self.first_statement(session, promise, statement, cancellation).await
                }
                command => self.first_other(session, command).await,
            };
            match step {
                Step::Wait => {}
                Step::Over(answer) => {
                    self.call.promise.done_early(node);
                    return After::Settled(answer);
                }
                Step::Begun { aborted } => {
                    self.call.promise.done_early(node);
                    return serve(&context, session, self.commands, aborted).await;
                }
                Step::Again(command) => {
                    session.conn.cut();
                    return self.again(session, command).await;
                }
                Step::Failed(error, command) => {
                    session.conn.cut();
                    self.first = Some(command);
                    return After::Settled(Box::new(move || self.fail(&error, Some(node))));
                }
            }
        }
    }

    async fn first_statement(
        &self,
        session: &Session,
        mut promise: Promise,
        statement: Statement,
        cancellation: Cancellation,
    ) -> Step {
        let node = Some(session.conn.endpoint.index);
        match open(&self.call.context, session, &self.sql, &statement, &mut promise, &cancellation).await {
            Opened::Not(error) => {
                promise.fail(&error, 1, node);
                Step::Wait
            }
            Opened::Begun(Ok(finished)) => {
                promise.done(finished, session.conn.endpoint.index);
                Step::Begun { aborted: false }
            }
            Opened::Begun(Err((error, spoils))) => {
                promise.fail(&error, self.call.attempts, node);
                Step::Begun { aborted: spoils }
            }
            Opened::Again => {
                promise.start_anew();
                Step::Again(Command::Query { promise, statement, cancellation })
            }
            Opened::Failed(error) => Step::Failed(error, Command::Query { promise, statement, cancellation }),
        }
    }

    /// A copy or a script: BEGIN goes ahead of it by itself.
    async fn first_other(&self, session: &Arc<Session>, command: Command) -> Step {
        if let Err(failure) = begin(&self.call.context, session, &self.sql).await {
            return match not_opened(session, Ended::Itself(Err(failure)), BeginState::Sent) {
                Opened::Failed(error) => Step::Failed(error, command),
                _ => Step::Again(command),
            };
        }
        let mut aborted = false;
        match command {
            Command::Copy(copy) => copy.run_within(session, &mut aborted).await,
            Command::Script(script) => script.run_within(session, &mut aborted).await,
            other => return Step::Again(other),
        }
        Step::Begun { aborted }
    }

    /// Tries again on another connection.
    async fn again(mut self: Box<Self>, session: &Session, first: Command) -> After<Box<Self>> {
        match &first {
            Command::Query { cancellation, .. } => self.call.cancellation = cancellation.clone(),
            Command::Copy(copy) => self.call.cancellation = copy.call.cancellation.clone(),
            Command::Script(script) => self.call.cancellation = script.call.cancellation.clone(),
            _ => {}
        }
        self.first = Some(first);
        self.call.prepare_retry(session).await;
        After::Again(self)
    }
}

/// What follows from the first command.
enum Step {
    /// It could not be sent; the next one is the first.
    Wait,
    /// The transaction ended before it began.
    Over(Answer),
    /// The transaction is open. `aborted`: the command has spoilt it.
    Begun { aborted: bool },
    /// Nothing was applied, and another connection may do better.
    Again(Command),
    /// There will be no transaction.
    Failed(ClientError, Command),
}

/// What came of BEGIN and the first statement.
enum Opened {
    /// The statement cannot be sent, and nothing was.
    Not(ClientError),
    /// The transaction is open; an error comes with whether it has spoilt the transaction.
    Begun(Result<Finished, (ClientError, bool)>),
    /// Nothing was applied, and another connection may do better.
    Again,
    /// There is no transaction.
    Failed(ClientError),
}

/// BEGIN and the first statement.
async fn open(
    context: &Context,
    session: &Session,
    sql: &str,
    statement: &Statement,
    promise: &mut Promise,
    cancellation: &Cancellation,
) -> Opened {
    if let Some(given_up) = cancellation.has_ended(Instant::now()) {
        return Opened::Not(given_up.error(Outcome::NotApplied));
    }
    let conn = &session.conn;
    let mut opening = Opening::new(sql);
    let together = !cancellation.is_limited() && opening.may_go_together(conn);
    let work = async {
        if !together {
            opening.alone(context, session).await?;
        }
        execute(context, session, statement, promise, Ahead::Begin(&mut opening), true).await
    };
    let sequence = conn.position();
    let changes = conn.session_state.changes();
    let ended = with_cancellation(conn, cancellation, Box::pin(work).as_mut()).await;
    if statement.text.settings_change == SettingsChange::Local && opening.state == BeginState::Open {
        conn.session_state.restore_changes(changes);
    }
    match opening.state {
        BeginState::Open => {}
        BeginState::Unsent => {
            return match settled(session, ended) {
                Ok(_) => Opened::Not(ClientError::Internal("a statement ran without its BEGIN".into())),
                Err((error, _)) => Opened::Not(error),
            };
        }
        state => return not_opened(session, ended, state),
    }
    // BEGIN's answer has brought the news of a fence.
    if session.refuses_writes() {
        fence::judge(&context.cluster, conn, sequence).await;
        return Opened::Again;
    }
    Opened::Begun(settled(session, ended))
}

/// BEGIN has failed.
fn not_opened(session: &Session, ended: Ended<Result<Finished, Failure>>, state: BeginState) -> Opened {
    let failure = match ended {
        // Whatever came of the BEGIN, this connection ends with it.
        Ended::GivenUp(given_up, _) => return Opened::Failed(given_up.error(Outcome::NotApplied)),
        Ended::Itself(Ok(_)) => return Opened::Failed(lost(session, Outcome::Unknown)),
        Ended::Itself(Err(failure)) => failure,
    };
    match failure {
        Failure::Client(error) => Opened::Failed(error),
        Failure::Run { cause: Cause::Server(mut error), .. } if state == BeginState::Bypassed => {
            error.message =
                format!("{}: BEGIN failed, and the statement sent with it took effect by itself", error.message);
            Opened::Failed(ClientError::Database { error, outcome: Outcome::Applied })
        }
        // Nothing of a transaction that was not opened lasts.
        Failure::Run { cause, phase, .. } => {
            let together = state == BeginState::SentTogether;
            match verdict(&cause, phase, if together { Work::OpeningWithStatement } else { Work::Opening }) {
                Verdict::Again | Verdict::AgainIfFenced => Opened::Again,
                Verdict::Fail(outcome) if matches!(cause, Cause::Lost) => Opened::Failed(lost(session, outcome)),
                Verdict::Fail(outcome) => Opened::Failed(run_error(cause, session, outcome)),
            }
        }
    }
}
