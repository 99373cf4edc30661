//! One flight of statements on a pinned session, and what its failure means. The "node" of an end or an error is the status
//! of the session's transaction.

use std::pin::pin;
use std::sync::Arc;

use crate::connection::connection::Sequence;
use crate::error::{ClientError, Outcome};
use crate::pool::schema_changes;
use crate::protocol::response_observer::TransactionStatus::Idle;
use crate::query::cancellation::{Ended, with_cancellation};
use crate::query::failure::{Failure, cancelled_error, failure, may_run_again, run_error};
use crate::query::pinned::command::{FlightCall, FlightKind};
use crate::query::pinned::messages::ReadyFlight;
use crate::query::pinned::results::FlightFailure;
use crate::query::pinned::{Columns, Named, Pinned};
use crate::query::retry_policy::{Cause, Phase, Progress, Verdict, Work, verdict};

impl Pinned {
    pub(super) async fn run(&mut self, mut call: FlightCall) {
        let session = self.session.clone();
        if let Some(given_up) = call.cancellation.reached_limit(std::time::Instant::now()) {
            return call.promise.reject(&given_up.error(Outcome::NotApplied), 0, Some(self.status as usize));
        }
        let ReadyFlight { flight, name, columns } = match self.ready(&call) {
            Ok(ready) => ready,
            Err(error) => return call.promise.reject(&error, 0, Some(self.status as usize)),
        };
        let is_portal = matches!(call.kind, FlightKind::Open(_) | FlightKind::Fetch(_));
        self.has_portal = is_portal;
        schema_changes::announce_statement(&call.text.facts);
        let responses = session.conn.responses.listen_to_script();
        if let Some(flight) = flight {
            session.conn.session_state.set_flight(flight);
        }
        let sequence = session.conn.sending();
        let cancellation = call.cancellation.clone();
        let work = async {
            if call.is_binary {
                Box::pin(self.binary_results(&mut call, &responses)).await.map(|finished| (finished, None))
            } else {
                self.results(&call.text, columns, &mut call.promise, &responses).await
            }
        };
        let ended = with_cancellation(&session.conn, &cancellation, pin!(work)).await;
        session.conn.answered();
        let answers = responses.summary();
        drop(responses);
        if !is_portal {
            self.status = answers.transaction_status;
        }
        if let Some(name) = name {
            let columns = match &ended {
                Ended::Itself(Ok((_, columns))) => columns.clone(),
                _ => None,
            };
            self.note_name(name, call.text.id, answers.has_parsed, columns);
        }
        if session.conn.session_state.take_deallocated() {
            self.names.clear();
        }
        // Simple queries have no BindComplete.
        let phase = if answers.has_begun || call.kind == FlightKind::Simple { Phase::Begun } else { Phase::Sent };
        let mut progress = Progress { completed: answers.completed, committed: answers.committed };
        progress.committed |= progress.completed == 0 && call.text.facts.may_commit;
        let status = self.status as usize;
        let work = Work::Script { progress, reads: session.route.only_reads() };
        let error = match ended {
            Ended::Itself(Ok(_)) if session.conn.is_unreplicated(sequence) => {
                ClientError::Unreplicated { node: session.conn.endpoint.label() }
            }
            Ended::Itself(Ok((finished, _))) => return call.promise.resolve(finished, status),
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
                    Failure::Run { cause, phase, sequence } => self.refused(cause, phase, sequence, work).await,
                }
            }
        };
        call.promise.reject(&error, 1, Some(status));
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
    async fn refused(&self, cause: Cause, phase: Phase, sequence: Option<Sequence>, work: Work) -> ClientError {
        let verdict = verdict(&cause, phase, work);
        let may_ask = self.status == Idle && !self.has_portal && verdict == Verdict::AgainIfFenced;
        let is_of_fence = may_ask && may_run_again(&self.context, &self.session, verdict, sequence).await;
        match cause {
            Cause::Server(mut error) => {
                error.is_of_fence = is_of_fence;
                ClientError::Database { error, outcome: verdict.outcome() }
            }
            cause => run_error(cause, &self.session, verdict.outcome()),
        }
    }
}
