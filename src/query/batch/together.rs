//! A batch as one transaction.
//!
//! BEGIN, the statements and COMMIT travel together, if all statements are prepared: a statement that fails on the server
//! aborts the transaction, and the COMMIT behind it rolls back. Parameters can be refused before they are sent, so those
//! of a flight are encoded once before it is sent.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::{OptionFuture, join_all};

use crate::error::{ClientError, Outcome};
use crate::pool::prepared::Prepared;
use crate::pool::session::Session;
use crate::query::Context;
use crate::query::batch::flights::{Cut, next_flight, plans_of};
use crate::query::commit::{end_transaction, roll_back};
use crate::query::execute::{Ahead, run};
use crate::query::failure::{Failure, may_run_again, run_error};
use crate::query::opening::Opening;
use crate::query::promise::{Company, Finished, Promise};
use crate::query::retry_policy::{Cause, Phase, Verdict, Work, needs_new_plan, verdict};
use crate::query::statement::{Statement, check_params};

/// Why a transaction in one flight failed.
pub(super) enum BatchFailure {
    /// It was not applied, and may run again on another connection.
    Again,
    /// It was not applied, and may run again when its statements are prepared anew.
    Outdated,
    /// With the index of the statement that has failed, if one has.
    Failed(Option<usize>, ClientError),
}

/// Runs a batch as one transaction. `limited`: it may be cancelled.
pub(super) async fn run_as_transaction(
    context: &Context,
    session: &Arc<Session>,
    sql: &str,
    items: &mut [(Promise, Statement)],
    limited: bool,
) -> Result<Vec<Finished>, BatchFailure> {
    let mut attempt = 1;
    loop {
        let batch = Together { context, session, sql, limited, attempt };
        match batch.run(items).await {
            Err(BatchFailure::Outdated) => {}
            result => return result,
        }
        attempt += 1;
        session.forget_types();
        for (promise, statement) in &mut *items {
            session.forget_plan(&statement.text);
            promise.start_again();
        }
    }
}

/// One attempt at a batch.
#[derive(Clone, Copy)]
struct Together<'a> {
    context: &'a Context,
    session: &'a Arc<Session>,
    sql: &'a str,
    limited: bool,
    /// From 1 on. At the first one the plans may be out of date.
    attempt: usize,
}

/// How a flight ended: the answers to BEGIN (if it was in the flight), to the statements and to COMMIT (if it was).
struct Landed {
    begun: Result<(), Failure>,
    results: Vec<Result<Finished, Failure>>,
    committed: Option<Result<(), Failure>>,
}

impl Together<'_> {
    async fn run(self, items: &mut [(Promise, Statement)]) -> Result<Vec<Finished>, BatchFailure> {
        let mut opening = Opening::new(self.sql);
        let finished = self.run_flights(items, &mut opening).await;
        if finished.is_err() && self.session.conn.session_state.is_in_block() && !self.session.conn.is_closed() {
            // The batch failed between two flights.
            if !roll_back(self.context, self.session).await {
                self.session.conn.cut();
            }
        }
        finished
    }

    async fn run_flights(
        self,
        items: &mut [(Promise, Statement)],
        opening: &mut Opening<'_>,
    ) -> Result<Vec<Finished>, BatchFailure> {
        let cut = if self.attempt > 1 { Cut::AfterEachChange } else { Cut::WhereNeeded };
        let mut finished = Vec::with_capacity(items.len());
        loop {
            let from = finished.len();
            let rest = items[from..].iter().map(|(_, statement)| statement);
            let flight = next_flight(self.session, rest.clone(), cut);
            let plans = plans_of(self.context, self.session, rest.take(flight), cut).await;
            let plans = plans.map_err(|(index, failure)| self.failure_between(from + index, failure, opening))?;
            let ends = from + flight == items.len();
            let flight = &mut items[from..from + flight];
            self.check_all_params(from, flight, &plans)?;
            let landed = self.send(flight, &plans, opening, ends).await?;
            finished.extend(self.results_of(from, landed).await?);
            if ends {
                return Ok(finished);
            }
        }
    }

    /// A statement could not be prepared.
    fn failure_between(self, index: usize, failure: Failure, opening: &Opening<'_>) -> BatchFailure {
        if opening.is_unsent() {
            return unsent_failure(self.session, Some(index), failure);
        }
        match failure {
            Failure::Client(error) => BatchFailure::Failed(Some(index), error),
            Failure::Run { cause, phase, .. } => {
                let outcome = verdict(&cause, phase, Work::InTransaction).outcome();
                let culprit = (!matches!(cause, Cause::Lost)).then_some(index);
                BatchFailure::Failed(culprit, run_error(cause, self.session, outcome))
            }
        }
    }

    fn check_all_params(
        self,
        from: usize,
        items: &[(Promise, Statement)],
        plans: &[Arc<Prepared>],
    ) -> Result<(), BatchFailure> {
        for (index, ((_, statement), plan)) in items.iter().zip(plans).enumerate() {
            if let Err(error) = check_params(statement, plan) {
                // The types of the parameters may have changed since the statement was prepared.
                return Err(if self.attempt == 1 {
                    BatchFailure::Outdated
                } else {
                    BatchFailure::Failed(Some(from + index), error)
                });
            }
        }
        Ok(())
    }

    /// Sends BEGIN, if it was not sent, the statements, and COMMIT, if the batch ends with them.
    async fn send(
        self,
        items: &mut [(Promise, Statement)],
        plans: &[Arc<Prepared>],
        opening: &mut Opening<'_>,
        ends: bool,
    ) -> Result<Landed, BatchFailure> {
        let Self { context, session, .. } = self;
        // A transaction that only reads would succeed on a fenced node. So BEGIN goes alone: its answer says whether the
        // node is fenced.
        let may_be_fenced = session.route.must_write() && session.conn.is_stale();
        if self.limited || may_be_fenced || !opening.may_go_together(&session.conn) {
            opening.send_alone(context, session).await.map_err(|failure| unsent_failure(session, None, failure))?;
        }
        let begin = opening.is_unsent().then(|| opening.send_with_statement(session));
        let mut begin = OptionFuture::from(begin.map(Box::pin));
        let mut running: Vec<_> = items
            .iter_mut()
            .zip(plans)
            .map(|((promise, statement), plan)| {
                promise.company = Company::OfItsBatch;
                Box::pin(
                    async move { run(context, session, plan, statement, promise, &mut Ahead::Nothing, false).await },
                )
            })
            .collect();
        // A statement is sent when its future is first polled. COMMIT must be sent after all of them, and not at all if
        // one of them was not sent.
        let mut results: Vec<Option<Result<Finished, Failure>>> = Vec::new();
        let mut begun = None;
        poll_fn(|cx| {
            if let Poll::Ready(early) = std::pin::Pin::new(&mut begin).poll(cx) {
                begun = Some(early);
            }
            results = running.iter_mut().map(|one| ready(one.as_mut().poll(cx))).collect();
            Poll::Ready(())
        })
        .await;
        let all_sent = results.iter().all(Option::is_none);
        let end = ends.then(|| Box::pin(end_transaction(session, if all_sent { "COMMIT" } else { "ROLLBACK" })));
        let rest = running.iter_mut().zip(&mut results).filter(|(_, result)| result.is_none());
        let rest = join_all(rest.map(|(one, result)| async move { *result = Some(one.await) }));
        let begun_later = async {
            match begun {
                Some(begun) => begun,
                None => begin.await,
            }
        };
        let (begun, _, committed) = futures_util::future::join3(begun_later, rest, OptionFuture::from(end)).await;
        let results = results.into_iter().flatten().collect();
        Ok(Landed { begun: begun.unwrap_or(Ok(())), results, committed })
    }

    /// The results of a flight.
    async fn results_of(self, from: usize, landed: Landed) -> Result<Vec<Finished>, BatchFailure> {
        let Self { context, session, .. } = self;
        let Landed { begun, results, committed } = landed;
        if let Err(failure) = begun {
            let was_bypassed = results.iter().any(Result::is_ok);
            return Err(failure_of_begin(session, failure, was_bypassed));
        }
        let mut finished = Vec::with_capacity(results.len());
        for (index, result) in results.into_iter().enumerate() {
            let failure = match result {
                Ok(one) => {
                    finished.push(one);
                    continue;
                }
                Err(failure) => failure,
            };
            let index = from + index;
            let (cause, phase, sequence) = match failure {
                // All statements have run; the answer to COMMIT says whether their effect lasts.
                Failure::Client(ClientError::TooLarge { limit, outcome }) => {
                    let outcome = match &committed {
                        Some(Ok(())) => outcome,
                        Some(Err(Failure::Run { cause, phase, .. })) => verdict(cause, *phase, Work::Commit).outcome(),
                        Some(Err(Failure::Client(_))) => Outcome::Unknown,
                        None => Outcome::NotApplied,
                    };
                    return Err(BatchFailure::Failed(Some(index), ClientError::TooLarge { limit, outcome }));
                }
                Failure::Client(error) => return Err(BatchFailure::Failed(Some(index), error)),
                Failure::Run { cause, phase, sequence } => (cause, phase, sequence),
            };
            if needs_new_plan(&cause, phase, self.attempt > 1, self.attempt) {
                return Err(BatchFailure::Outdated);
            }
            let verdict = match verdict(&cause, phase, Work::BeforeCommit) {
                // COMMIT was not sent.
                Verdict::Fail(Outcome::Unknown) if committed.is_none() => Verdict::Fail(Outcome::NotApplied),
                verdict => verdict,
            };
            if may_run_again(context, session, verdict, sequence).await {
                return Err(BatchFailure::Again);
            }
            // No statement is to blame for a lost connection.
            let culprit = (!matches!(cause, Cause::Lost)).then_some(index);
            return Err(BatchFailure::Failed(culprit, run_error(cause, session, verdict.outcome())));
        }
        match committed {
            None | Some(Ok(())) => Ok(finished),
            Some(Err(Failure::Client(error))) => Err(BatchFailure::Failed(None, error)),
            Some(Err(Failure::Run { cause, phase, .. })) => {
                let outcome = verdict(&cause, phase, Work::Commit).outcome();
                Err(BatchFailure::Failed(None, run_error(cause, session, outcome)))
            }
        }
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A failure before any statement was sent.
fn unsent_failure(session: &Session, culprit: Option<usize>, failure: Failure) -> BatchFailure {
    match failure {
        Failure::Client(error) => BatchFailure::Failed(culprit, error),
        Failure::Run { cause, .. } => match verdict(&cause, Phase::NotSent, Work::Opening) {
            Verdict::Again | Verdict::AgainIfFenced => BatchFailure::Again,
            Verdict::Fail(outcome) => BatchFailure::Failed(culprit, run_error(cause, session, outcome)),
        },
    }
}

/// What a failure of BEGIN means after all statements were sent. `was_bypassed`: a statement has run all the same.
fn failure_of_begin(session: &Session, failure: Failure, was_bypassed: bool) -> BatchFailure {
    match failure {
        Failure::Client(error) => BatchFailure::Failed(None, error),
        Failure::Run { cause: Cause::Lost, phase, .. } => {
            let outcome = verdict(&Cause::Lost, phase, Work::BeforeCommit).outcome();
            BatchFailure::Failed(None, run_error(Cause::Lost, session, outcome))
        }
        Failure::Run { cause: Cause::Server(mut error), .. } if !error.ends_session && was_bypassed => {
            error.message = format!("{}: BEGIN failed, and statements sent with it took effect", error.message);
            BatchFailure::Failed(None, ClientError::Database { error, outcome: Outcome::Unknown })
        }
        failure @ Failure::Run { .. } => unsent_failure(session, None, failure),
    }
}
