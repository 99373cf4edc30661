//! The begin of a transaction, until its first statement is answered.
//!
//! BEGIN waits for the transaction's first statement and travels with it in one flight. The two are separate messages
//! to the server, so if BEGIN alone were refused, the statement would take effect outside of any transaction. A cancel
//! or a timeout can hit just BEGIN, and a standby can refuse its options. So BEGIN and the statement go one after the
//! other if the statement has limits or must be prepared first, or if the session has a `statement_timeout`. The answer
//! to BEGIN is always checked.
//!
//! Until its first statement is answered, a transaction can begin again on another connection: its caller has seen
//! nothing of it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::cluster::fence;
use crate::error::{ClientError, Outcome};

use crate::pool::session::Session;
use crate::pool::sql_facts::SettingsChange;
use crate::pool::task::{After, Answer};
use crate::query::Context;
use crate::query::call::Call;
use crate::query::cancellation::{Cancellation, Ended, with_cancellation};
use crate::query::commit::Ending;
use crate::query::execute::{Ahead, execute};
use crate::query::failure::{Failure, retry_cause_of, run_error};
use crate::query::opening::{BeginState, Opening, send_begin};
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Verdict, Work, verdict};
use crate::query::statement::Statement;
use crate::query::transaction::block::{Block, InTransaction, lost_error, result_in_transaction};
use crate::query::transaction::command::{TransactionCommand, TransactionQuery};
use crate::query::transaction::{First, refuse_rest, serve_transaction};

/// A transaction that has not begun.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) call: Call,
    /// `BEGIN ...` with its options.
    pub(crate) sql: String,
    pub(crate) commands: UnboundedReceiver<TransactionCommand>,
    /// The first command, if the connection that got it was lost.
    pub(crate) first: Option<TransactionCommand>,
    /// The caller does not wait for the connection, but for the answer to the first statement.
    pub(crate) managed: bool,
}

impl Begin {
    /// Rejects all promises of the transaction.
    pub(crate) fn fail(mut self, error: &ClientError, node: Option<usize>) {
        let is_in_use = self.managed || self.call.promise.is_settled();
        if let Some(first) = self.first {
            self.call.promise.count_without_error();
            first.refuse(error, self.call.attempts, node);
        }
        self.call.fail(error, node);
        if is_in_use {
            // Commands may follow until the caller has seen the error.
            drop(tokio::spawn(refuse_rest(self.commands, error.clone())));
        }
    }

    pub(crate) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let context = self.call.context.clone();
        let node = session.conn.endpoint.index;
        self.call.attempts += 1;
        if !self.managed {
            self.call.promise.resolve_early(node);
        }
        loop {
            let mut command = match self.first.take() {
                Some(first) => first,
                None => {
                    let command = self.commands.recv().await.unwrap_or(TransactionCommand::Abandon);
                    self.call.renew();
                    command
                }
            };
            // The first command has waited for the connection of the transaction.
            if let Some(promise) = command.promise() {
                promise.waited_us += std::mem::take(&mut self.call.promise.waited_us);
            }
            let step = match command {
                // Nothing was sent, so there is nothing to end.
                TransactionCommand::Commit(promise, _, Ending::Commit) | TransactionCommand::Rollback(promise) => {
                    FirstStep::Over(Box::new(move || promise.resolve_empty(node)))
                }
                TransactionCommand::Commit(promise, _, Ending::Prepare(_)) => {
                    let error = ClientError::InvalidParam("a transaction without statements cannot be prepared".into());
                    FirstStep::Over(Box::new(move || promise.reject(&error, 0, Some(node))))
                }
                TransactionCommand::Abandon => FirstStep::Over(Box::new(|| ())),
                command if !session.is_usable() => return self.again(session, command).await,
                TransactionCommand::Query(query) => self.first_statement(session, query).await,
                command => self.first_other(session, command).await,
            };
            match step {
                FirstStep::Wait => {}
                FirstStep::Over(answer) => {
                    self.call.promise.resolve_early(node);
                    return After::Settled(answer);
                }
                FirstStep::Begun(first) => {
                    self.call.promise.resolve_early(node);
                    return serve_transaction(&context, session, self.commands, first).await;
                }
                FirstStep::Again(command) => {
                    session.conn.cut();
                    return self.again(session, command).await;
                }
                FirstStep::Failed(error, command) => {
                    session.conn.cut();
                    self.first = Some(command);
                    return After::Settled(Box::new(move || self.fail(&error, Some(node))));
                }
            }
        }
    }

    async fn first_statement(&self, session: &Arc<Session>, mut query: TransactionQuery) -> FirstStep {
        let node = session.conn.endpoint.index;
        let TransactionQuery { promise, statement, cancellation, commits } = &mut query;
        let commits = *commits;
        match begin_with(&self.call.context, session, &self.sql, statement, promise, cancellation).await {
            BeginResult::Not(error) => {
                let reject = move || query.promise.reject(&error, 1, Some(node));
                if commits {
                    return FirstStep::Over(Box::new(reject));
                }
                reject();
                FirstStep::Wait
            }
            BeginResult::Begun(answer) if commits => FirstStep::Begun(First::Last(Box::new((query, answer)))),
            BeginResult::Begun(Ok(finished)) => {
                query.promise.resolve(finished, node);
                FirstStep::Begun(First::Answered(Block { aborted: false, wrote: query.statement.text.facts.writes }))
            }
            BeginResult::Begun(Err((error, aborted))) => {
                query.promise.reject(&error, self.call.attempts, Some(node));
                FirstStep::Begun(First::Answered(Block { aborted, wrote: false }))
            }
            BeginResult::Again => {
                query.promise.start_again();
                FirstStep::Again(TransactionCommand::Query(query))
            }
            BeginResult::Failed(error) => FirstStep::Failed(error, TransactionCommand::Query(query)),
        }
    }

    /// Runs a copy or a script as the first command, after BEGIN has been answered.
    async fn first_other(&self, session: &Arc<Session>, command: TransactionCommand) -> FirstStep {
        if let Err(failure) = send_begin(&self.call.context, session, &self.sql).await {
            return match failed_begin(session, &self.sql, Ended::Itself(Err(failure)), BeginState::Sent) {
                BeginResult::Failed(error) => FirstStep::Failed(error, command),
                _ => FirstStep::Again(command),
            };
        }
        let mut aborted = false;
        match command {
            TransactionCommand::Copy(copy) => copy.run_in_transaction(session, &mut aborted).await,
            TransactionCommand::Script(script) => script.run_in_transaction(session, &mut aborted).await,
            other => return FirstStep::Again(other),
        }
        FirstStep::Begun(First::Answered(Block { aborted, wrote: true }))
    }

    /// Gives the transaction back, to begin on another connection.
    async fn again(mut self: Box<Self>, session: &Session, first: TransactionCommand) -> After<Box<Self>> {
        match &first {
            TransactionCommand::Query(query) => self.call.cancellation = query.cancellation.clone(),
            TransactionCommand::Copy(copy) => self.call.cancellation = copy.call.cancellation.clone(),
            TransactionCommand::Script(script) => self.call.cancellation = script.call.cancellation.clone(),
            _ => {}
        }
        self.first = Some(first);
        self.call.prepare_retry(session, retry_cause_of(session)).await;
        After::Again(self)
    }
}

/// What follows from the first command.
enum FirstStep {
    /// The command could not be sent; the next one is the first.
    Wait,
    /// The transaction ended before it began.
    Over(Answer),
    /// The transaction is open.
    Begun(First),
    /// Nothing was applied: the command may run again on another connection.
    Again(TransactionCommand),
    /// There will be no transaction.
    Failed(ClientError, TransactionCommand),
}

/// The result of BEGIN and the first statement.
enum BeginResult {
    /// The statement cannot be sent, and nothing was sent.
    Not(ClientError),
    /// The transaction is open.
    Begun(InTransaction),
    /// Nothing was applied: the statement may run again on another connection.
    Again,
    /// There is no transaction.
    Failed(ClientError),
}

/// Runs BEGIN and the first statement.
async fn begin_with(
    context: &Context,
    session: &Arc<Session>,
    sql: &str,
    statement: &Statement,
    promise: &mut Promise,
    cancellation: &Cancellation,
) -> BeginResult {
    if let Some(given_up) = cancellation.reached_limit(Instant::now()) {
        return BeginResult::Not(given_up.error(Outcome::NotApplied));
    }
    let conn = &session.conn;
    let mut opening = Opening::new(sql);
    let together = !cancellation.is_limited() && opening.may_go_together(conn);
    let work = async {
        if !together {
            opening.send_alone(context, session).await?;
        }
        execute(context, session, statement, promise, Ahead::Begin(&mut opening)).await
    };
    let sequence = conn.position();
    let changes = conn.session_state.changes();
    let ended = with_cancellation(conn, cancellation, Box::pin(work).as_mut()).await;
    if statement.text.facts.settings_change == SettingsChange::Local && opening.state == BeginState::Open {
        conn.session_state.restore_changes(changes);
    }
    match opening.state {
        BeginState::Open => {}
        BeginState::Unsent => {
            return match result_in_transaction(session, ended, Work::InTransaction) {
                Ok(_) => BeginResult::Not(ClientError::Internal("a statement ran without its BEGIN".into())),
                Err((error, _)) => BeginResult::Not(error),
            };
        }
        state => return failed_begin(session, sql, ended, state),
    }
    // The answer to BEGIN has said that the node is fenced.
    if session.refuses_writes() {
        fence::why_read_only(&context.cluster, conn, sequence).await;
        return BeginResult::Again;
    }
    BeginResult::Begun(result_in_transaction(session, ended, Work::InTransaction))
}

/// What a failed BEGIN means.
fn failed_begin(
    session: &Session,
    sql: &str,
    ended: Ended<Result<Finished, Failure>>,
    state: BeginState,
) -> BeginResult {
    let failure = match ended {
        // The connection is closed, and with it whatever BEGIN has opened.
        Ended::GivenUp(given_up, _) => return BeginResult::Failed(given_up.error(Outcome::NotApplied)),
        Ended::Itself(Ok(_)) => return BeginResult::Failed(lost_error(session, Outcome::Unknown)),
        Ended::Itself(Err(failure)) => failure,
    };
    match failure {
        Failure::Client(error) => BeginResult::Failed(error),
        Failure::Run { cause: Cause::Server(mut error), .. } if state == BeginState::Bypassed => {
            error.message =
                format!("{}: BEGIN failed, and the statement sent with it took effect by itself", error.message);
            BeginResult::Failed(ClientError::Database { error, outcome: Outcome::Applied })
        }
        // Nothing of a transaction that was not opened lasts.
        Failure::Run { cause, phase, .. } => {
            // A row that came with BEGIN may be held by the session that was lost, and the same row again would wait for it:
            // lib/api/run-transaction.js begins again with another row.
            let brings_row = sql.contains("; INSERT INTO ");
            let together = state == BeginState::SentTogether;
            match verdict(
                &cause,
                phase,
                if together || brings_row { Work::OpeningWithStatement } else { Work::Opening },
            ) {
                // A pool that takes read-only primaries meets no fence.
                Verdict::AgainIfFenced if !session.route.must_write() => {
                    BeginResult::Failed(run_error(cause, session, Outcome::NotApplied))
                }
                Verdict::Again | Verdict::AgainIfFenced => BeginResult::Again,
                Verdict::Fail(outcome) if matches!(cause, Cause::Lost) => {
                    BeginResult::Failed(lost_error(session, outcome))
                }
                Verdict::Fail(outcome) => BeginResult::Failed(run_error(cause, session, outcome)),
            }
        }
    }
}
