//! Several statements by the simple protocol: migrations and dumps.
//!
//! The server runs them as one transaction, unless the script has BEGIN and COMMIT in it. A script may leave anything
//! in the session (SET, temporary tables, a search_path), so its connection is not used again; a transaction that it
//! leaves open is rolled back.
//!
//! Values come as text. tokio-postgres does not show the types of the columns and the command tags, so the observer of
//! the responses keeps them. The types are looked up after the script, so its results are held until then.

mod results;

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::cluster::fence;
use crate::codec::Types;
use crate::error::{ClientError, Outcome};
use crate::pool::schema_changes;
use crate::pool::session::Session;
use crate::pool::sql_facts::SqlFacts;
use crate::pool::sql_words::may_alter_schema;
use crate::pool::task::After;
use crate::protocol::response_observer::{Answers, CopyState, Summary, TransactionStatus};
use crate::query::Context;
use crate::query::call::Call;
use crate::query::cancellation::{Ended, cancel_until_ended, with_cancellation};
use crate::query::collect::{is_too_large, outcome_of};
use crate::query::commit::roll_back;
use crate::query::failure::{Failure, cancelled_error, database_error, failure, prepare_another_attempt, run_error};
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Phase, Progress, Work, verdict};
use results::{KnownTypes, Returned, known_types, send_results};

/// A script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) call: Call,
    pub(crate) sql: String,
    /// How values arrive, if not as the option `types` of the pool says.
    pub(crate) types: Option<Types>,
}

impl Progress {
    pub(super) fn of(summary: Summary) -> Self {
        Self { completed: summary.completed, committed: summary.committed }
    }
}

/// Why a script has failed, and how much of it had run.
type ScriptFailure = (Failure, Progress);

fn without_progress(failure: Failure) -> ScriptFailure {
    (failure, Progress::default())
}

impl Script {
    /// Runs the script outside of any transaction.
    pub(crate) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let node = session.conn.endpoint.index;
        if let Some(given_up) = self.call.cancellation.reached_limit(Instant::now()) {
            return self.call.failed(given_up.error(Outcome::NotApplied), None);
        }
        self.call.attempts += 1;
        let context = self.call.context.clone();
        let work = run_script_alone(&context, session, &self.sql, self.types.as_ref(), &mut self.call.promise);
        let ended = with_cancellation(&session.conn, &self.call.cancellation, Box::pin(work).as_mut()).await;
        let (failure, progress) = match ended {
            Ended::Itself(Ok(finished)) => {
                return After::Settled(Box::new(move || self.call.promise.resolve(finished, node)));
            }
            Ended::GivenUp(given_up, Some(Err((_, progress)))) if progress.committed => {
                return self.call.failed(given_up.error(Outcome::Unknown), Some(node));
            }
            Ended::GivenUp(given_up, last_answer) => {
                let progress = match &last_answer {
                    Some(Err((_, progress))) => *progress,
                    _ => Progress::default(),
                };
                let last_answer = last_answer.map(|answer| answer.map_err(|(failure, _)| failure));
                let error = cancelled_error(given_up, last_answer, Work::Script { progress, reads: false });
                return self.call.failed(error, Some(node));
            }
            Ended::Itself(Err(failed)) => failed,
        };
        let (cause, phase, sequence) = match failure {
            Failure::Client(error) => return self.call.failed(error, Some(node)),
            Failure::Run { cause, phase, sequence } => (cause, phase, sequence),
        };
        let verdict = verdict(&cause, phase, Work::Script { progress, reads: session.route.only_reads() });
        if prepare_another_attempt(&mut self.call, session, verdict, &cause, sequence).await {
            return After::Again(self);
        }
        self.call.failed(refused(cause, progress, session, verdict.outcome()), Some(node))
    }

    /// Runs the script in the transaction of its caller. `aborted`: whether only ROLLBACK is possible there.
    pub(crate) async fn run_in_transaction(mut self: Box<Self>, session: &Arc<Session>, aborted: &mut bool) {
        let node = session.conn.endpoint.index;
        self.call.attempts += 1;
        if let Some(given_up) = self.call.cancellation.reached_limit(Instant::now()) {
            return self.call.fail(&given_up.error(Outcome::NotApplied), None);
        }
        let context = self.call.context.clone();
        let work = run_script_in_transaction(&context, session, &self.sql, self.types.as_ref(), &mut self.call.promise);
        let ended = with_cancellation(&session.conn, &self.call.cancellation, Box::pin(work).as_mut()).await;
        match &ended {
            Ended::Itself(Ok((_, block))) | Ended::GivenUp(_, Some(Ok((_, block)))) => {
                *aborted = *block == TransactionStatus::Failed;
            }
            // The results could not be read, or nothing was sent: the transaction is not aborted.
            Ended::Itself(Err((Failure::Client(ClientError::TooLarge { outcome, .. }), _))) => {
                *aborted |= *outcome != Outcome::Applied;
            }
            Ended::Itself(Err((Failure::Client(_), _))) | Ended::GivenUp(_, Some(Err((Failure::Client(_), _)))) => {}
            Ended::Itself(Err(_)) | Ended::GivenUp(..) => *aborted = true,
        }
        let error = match ended {
            Ended::Itself(Ok((finished, _))) => return self.call.promise.resolve(finished, node),
            // Nothing in a transaction is applied before COMMIT.
            Ended::GivenUp(given_up, last_answer) => {
                let last_answer = last_answer.map(|answer| answer.map_err(|(failure, _)| failure));
                cancelled_error(given_up, last_answer, Work::InTransaction)
            }
            Ended::Itself(Err((Failure::Client(ClientError::TooLarge { limit, .. }), _))) => {
                ClientError::TooLarge { limit, outcome: Outcome::NotApplied }
            }
            Ended::Itself(Err((Failure::Client(error), _))) => error,
            Ended::Itself(Err((Failure::Run { cause, phase, .. }, progress))) => {
                // A script that has committed has ended its caller's transaction.
                let work =
                    if progress.committed { Work::Script { progress, reads: false } } else { Work::InTransaction };
                let outcome = verdict(&cause, phase, work).outcome();
                refused(cause, progress, session, outcome)
            }
        };
        self.call.fail(&error, Some(node));
    }
}

/// The error for a script that has failed on its connection; an error of the server says which statement it was.
fn refused(cause: Cause, progress: Progress, session: &Session, outcome: Outcome) -> ClientError {
    match cause {
        Cause::Server(mut error) if !error.ends_session => {
            // A script that cannot be parsed is refused as a whole.
            if progress.completed > 0 || error.code != "42601" {
                error.fields.push(("statementIndex", progress.completed.into()));
            }
            database_error(error, session, outcome)
        }
        other => run_error(other, session, outcome),
    }
}

async fn run_script_alone(
    context: &Context,
    session: &Session,
    sql: &str,
    types: Option<&Types>,
    promise: &mut Promise,
) -> Result<Finished, ScriptFailure> {
    // The answer to SHOW comes after all earlier answers, so the observer begins at the beginning of a message.
    let sequence = session.conn.sending();
    let shown = match session.conn.client.simple_query("SHOW transaction_read_only").await {
        Ok(shown) => shown,
        Err(error) => return Err(without_progress(failure(session, error, Phase::NotSent, sequence).await)),
    };
    session.conn.answered();
    if session.route.must_write() && fence::is_on(&shown) {
        let (cause, phase) = (Cause::ReadOnlyBefore, Phase::NotSent);
        return Err(without_progress(Failure::Run { cause, phase, sequence: Some(sequence) }));
    }
    let sent = send_script(context, session, sql).await;
    let (answers, rows) = sent.map_err(|failed| with_commits_of_its_own(failed, sql))?;
    if answers.summary.transaction_status != TransactionStatus::Idle {
        let progress = Progress::of(answers.summary);
        // The connection is not used again, so the transaction is undone even if this fails.
        if !roll_back(context, session).await {
            session.conn.cut();
        }
        let reason = "the script left a transaction open, which was rolled back".to_owned();
        let outcome = progress.outcome();
        return Err((ClientError::Script { code: "ERR_TRANSACTION_OPEN", reason, outcome }.into(), progress));
    }
    // The script has run, even if the types of its results cannot be looked up now.
    let known = known_types(session, &answers).await.unwrap_or_default();
    send_results(context, &answers, rows, types, &known, promise).await.map_err(|error| without_progress(error.into()))
}

/// The same failure, if the statement that failed may have committed a part of its work. Only a statement that is alone in
/// its script can: several are one transaction, in which a procedure cannot commit.
fn with_commits_of_its_own((failure, mut progress): ScriptFailure, sql: &str) -> ScriptFailure {
    if let Failure::Run { cause: Cause::Server(error), .. } = &failure {
        progress.committed |= progress.completed == 0 && !error.is_of_analysis() && SqlFacts::of(sql).may_commit;
    }
    (failure, progress)
}

async fn run_script_in_transaction(
    context: &Context,
    session: &Session,
    sql: &str,
    types: Option<&Types>,
    promise: &mut Promise,
) -> Result<(Finished, TransactionStatus), ScriptFailure> {
    let sequence = session.conn.sending();
    if let Err(error) = session.conn.client.batch_execute("").await {
        return Err(without_progress(failure(session, error, Phase::NotSent, sequence).await));
    }
    let (answers, rows) = send_script(context, session, sql).await?;
    if answers.summary.transaction_status == TransactionStatus::Idle {
        // The next command of the caller would run outside of any transaction.
        session.conn.cut();
        let progress = Progress::of(answers.summary);
        let reason = "the script ended the transaction that it was run in".to_owned();
        // The script may have committed or rolled back.
        let outcome = Outcome::Unknown;
        return Err((ClientError::Script { code: "ERR_TRANSACTION_ENDED", reason, outcome }.into(), progress));
    }
    // An aborted transaction cannot look types up, and has only empty results.
    let known = match answers.summary.transaction_status {
        TransactionStatus::InTransaction => {
            let sequence = session.conn.sending();
            match known_types(session, &answers).await {
                Ok(known) => known,
                Err(error) => return Err(without_progress(failure(session, error, Phase::Begun, sequence).await)),
            }
        }
        _ => KnownTypes::default(),
    };
    let finished = send_results(context, &answers, rows, types, &known, promise).await;
    finished
        .map(|finished| (finished, answers.summary.transaction_status))
        .map_err(|error| without_progress(error.into()))
}

/// Sends the script and keeps the rows of each of its results.
async fn send_script(
    context: &Context,
    session: &Session,
    sql: &str,
) -> Result<(Answers, Vec<Returned>), ScriptFailure> {
    let responses = session.conn.responses.listen_to_script();
    // Nothing else runs on the session: the script may change it.
    session.conn.retire();
    let alters_schema = may_alter_schema(sql);
    if alters_schema {
        schema_changes::note_own();
    }
    session.names.note_script(alters_schema);
    let sequence = session.conn.sending();
    let ended = tokio::select! {
        biased;
        ended = read_results(session, sql, context.cluster.policy.result_limit) => ended.map_err(Some),
        () = responses.signalled() => Err(None),
    };
    session.conn.answered_work(sequence);
    let answers = responses.answers();
    let progress = Progress::of(answers.summary);
    match ended {
        Ok(_) if session.conn.is_unreplicated(sequence) => {
            Err((ClientError::Unreplicated { node: session.conn.endpoint.label() }.into(), progress))
        }
        Ok(ScriptResults::All(results)) => Ok((answers, results)),
        Ok(ScriptResults::TooLarge { limit, last_answer }) => {
            let outcome = match outcome_of(last_answer) {
                Outcome::NotApplied => progress.outcome(),
                outcome => outcome,
            };
            Err((ClientError::TooLarge { limit, outcome }.into(), progress))
        }
        Err(Some(error)) if answers.copy_state == CopyState::None => {
            Err((failure(session, error, Phase::Begun, sequence).await, progress))
        }
        Err(_) => {
            // The server would wait for data for ever.
            session.conn.cut();
            let reason = "COPY FROM STDIN and COPY TO STDOUT are not possible in a script: use copyFrom() or copyTo()";
            // A server that sends data may reach the end of the script before it sees that the connection is closed; a
            // server that waits for data rolls back.
            let outcome = if answers.copy_state == CopyState::Out { Outcome::Unknown } else { progress.outcome() };
            let reason = reason.to_owned();
            Err((ClientError::Script { code: "ERR_COPY_IN_SCRIPT", reason, outcome }.into(), progress))
        }
    }
}

/// The results of a script.
enum ScriptResults {
    All(Vec<Returned>),
    /// More than maxResultBytes, with the last answer of the server; None: there was none, and the connection is cut.
    TooLarge {
        limit: usize,
        last_answer: Option<Result<(), tokio_postgres::Error>>,
    },
}

async fn read_results(
    session: &Session,
    sql: &str,
    limit: Option<usize>,
) -> Result<ScriptResults, tokio_postgres::Error> {
    let mut messages = pin!(session.conn.client.simple_query_raw(sql).await?);
    let (mut results, mut rows) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    while let Some(message) = messages.next().await {
        let too_large = match message {
            Ok(SimpleQueryMessage::Row(row)) => {
                bytes += limit.map_or(0, |_| size_of_row(&row));
                rows.push(row);
                limit.filter(|&limit| bytes > limit)
            }
            Ok(SimpleQueryMessage::CommandComplete(count)) => {
                results.push((std::mem::take(&mut rows), count));
                None
            }
            Err(error) if is_too_large(&error) => limit,
            message => message.map(|_| None)?,
        };
        if let Some(limit) = too_large {
            drop((results, rows));
            let rest = async {
                let mut last_answer = Ok(());
                while let Some(message) = messages.next().await {
                    match message {
                        Err(error) if error.as_db_error().is_none() => return Err(error),
                        Err(error) if !is_too_large(&error) => last_answer = Err(error),
                        _ => {}
                    }
                }
                last_answer
            };
            return Ok(ScriptResults::TooLarge {
                limit,
                last_answer: cancel_until_ended(&session.conn, pin!(rest)).await,
            });
        }
    }
    Ok(ScriptResults::All(results))
}

/// The size of a row as the server has sent it.
pub(super) fn size_of_row(row: &SimpleQueryRow) -> usize {
    (0..row.len()).map(|column| 4 + row.try_get(column).ok().flatten().map_or(0, str::len)).sum()
}
