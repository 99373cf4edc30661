//! BEGIN, sent by itself or in one flight with the statement behind it.

use crate::cluster::fence;
use crate::connection::connection::Connection;
use crate::error::ServerError;
use crate::pool::session::Session;
use crate::query::Context;
use crate::query::commit::roll_back;
use crate::query::failure::{Failure, failure};
use crate::query::retry_policy::{Cause, Phase};

/// A BEGIN, and how far it has come.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    sql: &'a str,
    pub(super) state: BeginState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BeginState {
    Unsent,
    /// Sent by itself, and not yet answered with success.
    Sent,
    /// Sent together with the statement, and not yet answered with success.
    SentTogether,
    /// Refused, while the statement behind it was not.
    Bypassed,
    Open,
}

impl<'a> Opening<'a> {
    pub(super) fn new(sql: &'a str) -> Self {
        Self { sql, state: BeginState::Unsent }
    }

    /// Whether BEGIN may be sent together with a statement on this connection.
    pub(super) fn may_go_together(&self, conn: &Connection) -> bool {
        // A standby refuses some of BEGIN's options.
        let is_plain = !conn.role().in_recovery || self.sql == "BEGIN";
        is_plain && conn.reports_role() && !conn.limits_statements()
    }

    pub(super) fn is_unsent(&self) -> bool {
        self.state == BeginState::Unsent
    }

    /// Sends BEGIN, unless it was sent, and waits for the answer. A server that does not report its role (before 14) is
    /// asked in the same flight whether it is read-only.
    pub(super) async fn send_alone(&mut self, context: &Context, session: &Session) -> Result<(), Failure> {
        if !self.is_unsent() {
            return Ok(());
        }
        self.state = BeginState::Sent;
        session.names.transaction_begins();
        let conn = &session.conn;
        let sequence = conn.sending();
        let blocks = conn.session_state.blocks();
        let begin = conn.client.batch_execute(self.sql);
        let (begun, read_only) = if session.route.must_write() && !conn.reports_role() {
            let show = conn.client.simple_query("SHOW transaction_read_only");
            let (shown, begun) = futures_util::future::join(show, begin).await;
            (begun, shown.is_ok_and(|messages| fence::is_on(&messages)))
        } else {
            (begin.await, false)
        };
        conn.answered();
        if let Err(error) = begun {
            return Err(failure(session, error, Phase::Sent, sequence).await);
        }
        if conn.session_state.blocks() == blocks {
            // The server has answered with success, and no transaction is open.
            conn.cut();
            return Err(Failure::Run { cause: Cause::Lost, phase: Phase::Sent, sequence: Some(sequence) });
        }
        if session.refuses_writes() || (session.route.must_write() && read_only) {
            fence::why_read_only(&context.cluster, conn, sequence).await;
            return Err(Failure::Run { cause: Cause::ReadOnlyBefore, phase: Phase::Sent, sequence: Some(sequence) });
        }
        self.state = BeginState::Open;
        Ok(())
    }

    /// Sends BEGIN ahead of a statement that is sent at once. BEGIN has the sequence number before that of the
    /// statement.
    pub(super) fn send_with_statement(&mut self, session: &Session) -> impl Future<Output = Result<(), Failure>> {
        self.state = BeginState::SentTogether;
        session.names.transaction_begins();
        let sequence = session.conn.sending();
        let blocks = session.conn.session_state.blocks();
        let begin = session.conn.client.batch_execute(self.sql);
        async move {
            if let Err(error) = begin.await {
                return Err(failure(session, error, Phase::Sent, sequence).await);
            }
            if session.conn.session_state.blocks() == blocks {
                session.conn.cut();
                let message = "the server said that it had begun a transaction, and had not".to_owned();
                let error = Box::new(ServerError { code: "08P01".into(), message, ..ServerError::default() });
                return Err(Failure::Run { cause: Cause::Server(error), phase: Phase::Sent, sequence: Some(sequence) });
            }
            self.state = BeginState::Open;
            Ok(())
        }
    }

    /// Rolls back, so that the transaction can begin again with its first statement. False: it cannot.
    pub(super) async fn begin_again(&mut self, context: &Context, session: &Session) -> bool {
        if self.state != BeginState::Open || !roll_back(context, session).await {
            return false;
        }
        self.state = BeginState::Unsent;
        true
    }

    /// Notes that BEGIN was refused, and the statement behind it was not.
    pub(super) fn was_bypassed(&mut self) {
        self.state = BeginState::Bypassed;
    }
}

/// Runs BEGIN by itself.
pub(super) async fn send_begin(context: &Context, session: &Session, sql: &str) -> Result<(), Failure> {
    Opening::new(sql).send_alone(context, session).await
}
