//! Flights of statements on a pinned session, alone or several together, and what their failure means. The "node" of an
//! end or an error is the status of the session's transaction.

use std::pin::pin;
use std::sync::Arc;

use tokio_postgres::SimpleQueryStream;

use crate::connection::connection::Sequence;
use crate::error::{ClientError, Outcome};
use crate::pool::schema_changes;
use crate::pool::sql_facts::SqlFacts;
use crate::protocol::flight::MARKER;
use crate::protocol::response_observer::Summary;
use crate::protocol::response_observer::TransactionStatus::Idle;
use crate::query::cancellation::{Ended, with_cancellation};
use crate::query::failure::{Failure, cancelled_error, failure, may_run_again, run_error};
use crate::query::pinned::command::{FlightCall, FlightKind};
use crate::query::pinned::messages::ReadyFlight;
use crate::query::pinned::results::{FlightFailure, Place};
use crate::query::pinned::{Columns, Named, Pinned};
use crate::query::promise::Finished;
use crate::query::retry_policy::{Cause, Phase, Progress, Verdict, Work, verdict};

/// A flight that was sent, and what is to be done when its answer has come.
struct Sent {
    call: FlightCall,
    name: Option<String>,
    columns: Option<Arc<Columns>>,
    sequence: Sequence,
    messages: Result<SimpleQueryStream, tokio_postgres::Error>,
}

type FlightAnswer = Result<(Finished, Option<Arc<Columns>>), FlightFailure>;

impl Pinned {
    /// Runs a flight alone.
    pub(super) async fn run(&mut self, mut call: FlightCall) {
        let session = self.session.clone();
        call.promise.served_by = Some(session.conn.endpoint.index);
        if let Some(given_up) = call.cancellation.reached_limit(std::time::Instant::now()) {
            return call.promise.reject(&given_up.error(Outcome::NotApplied), 0, Some(self.status as usize));
        }
        let ReadyFlight { flight, name, columns } = match self.ready(&call) {
            Ok(ready) => ready,
            Err(error) => return call.promise.reject(&error, 0, Some(self.status as usize)),
        };
        self.has_portal = matches!(call.kind, FlightKind::Open(_) | FlightKind::Fetch(_));
        schema_changes::announce_statement(&call.text.facts);
        let responses = session.conn.responses.listen_to_script();
        let sequence = session.conn.sending();
        let cancellation = call.cancellation.clone();
        let work = async {
            let Some(flight) = flight else {
                return Box::pin(self.binary_results(&mut call, &responses)).await.map(|finished| (finished, None));
            };
            session.conn.session_state.add_flight(flight);
            let messages = session.conn.client.simple_query_raw(MARKER).await.map_err(FlightFailure::Postgres)?;
            self.results(&call.text, columns, &mut call.promise, (messages, &responses, Place::ALONE)).await
        };
        let ended = with_cancellation(&session.conn, &cancellation, pin!(work)).await;
        let summary = responses.summary(0);
        drop(responses);
        self.settle(call, name, ended, (sequence, summary, true)).await;
    }

    /// Whether a flight may be sent together with others: each is a transaction of its own, and parses no name.
    pub(super) fn may_run_together(&self, call: &FlightCall) -> bool {
        self.status == Idle
            && call.is_pipelined
            && !call.is_binary
            && match call.kind {
                FlightKind::Statement { named: false } => true,
                FlightKind::Statement { named: true } => self.knows_name(call),
                _ => false,
            }
    }

    /// Sends flights together; the server answers them one after another.
    pub(super) async fn run_together(&mut self, calls: Vec<FlightCall>) {
        let session = self.session.clone();
        self.has_portal = false;
        let responses = session.conn.responses.listen_to_flights(calls.len());
        let mut sent = Vec::with_capacity(calls.len());
        for mut call in calls {
            call.promise.served_by = Some(session.conn.endpoint.index);
            let ReadyFlight { flight, name, columns } = match self.ready(&call) {
                Ok(ready) => ready,
                Err(error) => {
                    call.promise.reject(&error, 0, Some(self.status as usize));
                    continue;
                }
            };
            schema_changes::announce_statement(&call.text.facts);
            if let Some(flight) = flight {
                session.conn.session_state.add_flight(flight);
            }
            let sequence = session.conn.sending();
            let messages = session.conn.client.simple_query_raw(MARKER).await;
            sent.push(Sent { call, name, columns, sequence, messages });
        }
        let last = sent.len().saturating_sub(1);
        for (index, Sent { mut call, name, columns, sequence, messages }) in sent.into_iter().enumerate() {
            let place = Place { index, is_alone: false };
            let answer = match messages {
                Ok(messages) => {
                    self.results(&call.text, columns, &mut call.promise, (messages, &responses, place)).await
                }
                Err(error) => Err(FlightFailure::Postgres(error)),
            };
            let about = (sequence, responses.summary(index), index == last);
            self.settle(call, name, Ended::Itself(answer), about).await;
        }
    }

    /// Tells the caller of a flight what has become of it. `is_last`: nothing that was sent behind it waits for an answer.
    async fn settle(
        &mut self,
        call: FlightCall,
        name: Option<String>,
        ended: Ended<FlightAnswer>,
        (sequence, summary, is_last): (Sequence, Summary, bool),
    ) {
        let session = self.session.clone();
        session.conn.answered_work(sequence);
        if call.begins {
            // The caller's BEGIN, which was answered before it was sent.
            self.cluster().statistics.queries.add(1);
        }
        if !matches!(call.kind, FlightKind::Open(_) | FlightKind::Fetch(_)) {
            self.status = summary.transaction_status;
        }
        if let Some(name) = name {
            let columns = match &ended {
                Ended::Itself(Ok((_, columns))) => columns.clone(),
                _ => None,
            };
            self.note_name(name, call.text.id, summary.has_parsed, columns);
        }
        if session.conn.session_state.take_deallocated() {
            self.names.clear();
        }
        // Simple queries have no BindComplete.
        let phase = if summary.has_begun || call.kind == FlightKind::Simple { Phase::Begun } else { Phase::Sent };
        let mut progress = Progress::of(summary);
        progress.committed |= progress.completed == 0 && call.text.facts.may_commit;
        let status = self.status as usize;
        let work = Work::Script { progress, reads: session.route.only_reads() };
        let error = match ended {
            Ended::Itself(Ok(_)) if session.conn.is_unreplicated(sequence) => {
                ClientError::Unreplicated { node: session.conn.endpoint.label() }
            }
            Ended::Itself(Ok((finished, _))) => {
                self.note_write(&call.text.facts);
                return call.promise.resolve(finished, status);
            }
            Ended::GivenUp(given_up, last_answer) => {
                let last_answer = match last_answer {
                    Some(Err(FlightFailure::Postgres(error))) => {
                        Some(Err(failure(&session, error, phase, sequence).await))
                    }
                    Some(Err(FlightFailure::Client(error))) => Some(Err(Failure::Client(error))),
                    Some(Ok(finished)) => Some(Ok(finished)),
                    None => None,
                };
                cancelled_error(given_up, last_answer, work)
            }
            Ended::Itself(Err(FlightFailure::Client(error))) => error,
            Ended::Itself(Err(FlightFailure::Postgres(error))) => {
                match failure(&session, error, phase, sequence).await {
                    Failure::Client(error) => error,
                    Failure::Run { cause, phase, sequence } => {
                        self.refused(cause, phase, sequence, (work, is_last)).await
                    }
                }
            }
        };
        call.promise.reject(&error, 1, Some(status));
    }

    /// A flight has succeeded. What it wrote lasts now, or with the end of its transaction.
    fn note_write(&mut self, facts: &SqlFacts) {
        self.has_written |= facts.writes;
        let has_ended = self.status == Idle && std::mem::take(&mut self.has_written);
        if has_ended && !self.session.conn.session_state.has_rolled_back() {
            self.cluster().failovers.note_write(self.session.conn.endpoint.index);
        }
    }

    /// Notes that a statement was parsed under a name, and its columns.
    fn note_name(&mut self, name: String, text: u32, parsed: bool, columns: Option<Arc<Columns>>) {
        if let Some(named) = self.names.get_mut(&name) {
            if named.columns.is_none() && columns.is_some() && named.text == text {
                named.columns = columns;
            }
        } else if parsed {
            self.names.insert(name, Named { text, columns });
        }
    }

    /// The error for a flight that the server has refused, or that the connection was lost under.
    async fn refused(
        &self,
        cause: Cause,
        phase: Phase,
        sequence: Option<Sequence>,
        (work, is_last): (Work, bool),
    ) -> ClientError {
        let verdict = verdict(&cause, phase, work);
        let may_ask = self.status == Idle && !self.has_portal && verdict == Verdict::AgainIfFenced;
        // A question would be answered behind the flights that wait.
        let is_of_fence = may_ask
            && if is_last {
                may_run_again(&self.context, &self.session, verdict, sequence).await
            } else {
                self.session.refuses_writes() && !self.is_read_only_by_itself
            };
        match cause {
            Cause::Server(mut error) => {
                error.is_of_fence = is_of_fence;
                ClientError::Database { error, outcome: verdict.outcome() }
            }
            cause => run_error(cause, &self.session, verdict.outcome()),
        }
    }
}
