//! Decides for all of src/query what a failure means: whether the work runs again, and if not, which outcome its caller
//! gets. That depends on the cause, on how far the work had come and on the kind of work. Pure functions, tested by
//! tables; docs/failover.md has the same table for users.

use crate::error::{ClientError, Outcome, ServerError};

/// How far a statement had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It was not sent; at most it was being prepared.
    NotSent,
    /// It was sent; the server has not said that it begins.
    Sent,
    /// The server said that it begins (BindComplete).
    Begun,
}

/// What went wrong.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// The server refused the work with an error.
    Server(Box<ServerError>),
    /// The connection broke.
    Lost,
    /// The work was pipelined behind a statement at which the server ended the session, so the server ignored the work.
    Ignored,
    /// The node was read-only when the work began.
    ReadOnlyBefore,
    /// The node did not have the position that the read must see.
    NotReplayed,
}

/// What kind of work failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A statement outside of any transaction, which is committed as soon as it has run.
    Statement,
    /// A statement outside of any transaction that may commit a part of its work before it ends: CALL of a procedure that
    /// commits, CREATE INDEX CONCURRENTLY.
    SelfCommitting,
    /// A statement that changes nothing: its caller has promised so, or its route allows reads only.
    Read,
    /// BEGIN, or the beginning of a transaction that can begin again, because its caller has seen nothing of it.
    Opening,
    /// BEGIN with the first statement behind it in the same flight.
    OpeningWithStatement,
    /// A part of a transaction that is undone with the transaction. Only the caller can repeat the transaction.
    InTransaction,
    /// A statement of a batch, with COMMIT behind it in the same flight.
    BeforeCommit,
    /// COMMIT.
    Commit,
    /// A script outside of any transaction, with its progress.
    Script { progress: Progress, reads: bool },
}

/// How much of a script had run when it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Statements that were completed.
    pub(crate) completed: usize,
    /// One of them has committed what was done before it, or the statement that failed may have committed a part of its
    /// work.
    pub(crate) committed: bool,
}

impl Progress {
    /// The outcome of a script that the server has ended: the open transaction is undone, but not what the script itself
    /// has committed.
    pub(crate) fn outcome(self) -> Outcome {
        if self.committed { Outcome::Unknown } else { Outcome::NotApplied }
    }
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Run the work again on another connection: it was not applied, or it changes nothing.
    Again,
    /// The work was refused as read-only (25006) and not applied. If the node turns out to be fenced, run it again.
    AgainIfFenced,
    /// Reject, with this outcome.
    Fail(Outcome),
}

impl Verdict {
    /// The outcome that the caller gets if the work does not run again.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Again | Self::AgainIfFenced => Outcome::NotApplied,
            Self::Fail(outcome) => outcome,
        }
    }
}

impl Work {
    /// The outcome of work that the server has finished.
    pub(crate) fn outcome_of_success(self) -> Outcome {
        if self.is_undone_by_itself() { Outcome::NotApplied } else { Outcome::Applied }
    }

    /// The outcome of work about which the server says nothing more.
    pub(crate) fn outcome_of_silence(self) -> Outcome {
        if self.is_undone_by_itself() { Outcome::NotApplied } else { Outcome::Unknown }
    }

    /// Whether the work lasts only with a COMMIT that has not been sent.
    fn is_undone_by_itself(self) -> bool {
        matches!(self, Self::Opening | Self::OpeningWithStatement | Self::InTransaction)
    }
}

/// What a failure means.
pub(crate) fn verdict(cause: &Cause, phase: Phase, work: Work) -> Verdict {
    use Outcome::{NotApplied, Unknown};
    use Verdict::{Again, AgainIfFenced, Fail};
    match work {
        Work::InTransaction => Fail(NotApplied),
        Work::Statement => verdict_alone(cause, phase, false),
        Work::SelfCommitting => match cause {
            // What it has committed before the error stays.
            Cause::Server(_) if phase == Phase::Begun => Fail(Unknown),
            _ => verdict_alone(cause, phase, false),
        },
        // The statement may have run. It was rolled back, but only its author knows whether it may run twice.
        Work::OpeningWithStatement if matches!(cause, Cause::Lost) => Fail(NotApplied),
        // A BEGIN, or a transaction that was not committed, has changed no more than a read.
        Work::Read | Work::Opening | Work::OpeningWithStatement => verdict_alone(cause, phase, true),
        // A COMMIT that was refused (a deferred constraint, a serialization failure) has rolled back.
        Work::Commit => Fail(verdict_alone(cause, phase, false).outcome()),
        Work::BeforeCommit => match cause {
            Cause::Ignored | Cause::ReadOnlyBefore | Cause::NotReplayed => Again,
            Cause::Server(error) if error.code == READ_ONLY => AgainIfFenced,
            // The COMMIT behind the statement has rolled back, or the session ended before the COMMIT.
            Cause::Server(_) => Fail(NotApplied),
            // The COMMIT may have been carried out.
            Cause::Lost => Fail(Unknown),
        },
        Work::Script { progress, reads } => match verdict_alone(cause, phase, reads) {
            again @ Again if reads || progress.completed == 0 => again,
            again @ AgainIfFenced if progress.completed == 0 && !progress.committed => again,
            Again | AgainIfFenced | Fail(NotApplied) => Fail(progress.outcome()),
            Fail(_) => Fail(Unknown),
        },
    }
}

/// What a failure means for a statement that is its own transaction.
fn verdict_alone(cause: &Cause, phase: Phase, reads: bool) -> Verdict {
    use Outcome::{NotApplied, Unknown};
    use Verdict::{Again, AgainIfFenced, Fail};
    match cause {
        Cause::Ignored | Cause::ReadOnlyBefore | Cause::NotReplayed => Again,
        Cause::Lost if reads || phase == Phase::NotSent => Again,
        Cause::Lost => Fail(Unknown),
        // Certainly not applied, in any phase: the server has undone the work.
        Cause::Server(error) if error.code == READ_ONLY => AgainIfFenced,
        Cause::Server(error) if is_end_of_session(error) => match phase {
            _ if reads => Again,
            Phase::NotSent | Phase::Sent if ends_session(&error.code) || is_passing(&error.code) => Again,
            Phase::NotSent => Fail(NotApplied),
            // A backend that is told to die while it waits for a standby has already committed.
            Phase::Sent | Phase::Begun => Fail(Unknown),
        },
        // On a standby: the statement conflicted with recovery; another node can answer it.
        Cause::Server(error) if reads && is_recovery_conflict(error) => Again,
        Cause::Server(_) => Fail(NotApplied),
    }
}

/// Whether the same statement, or the same transaction from its begin on, may run again without being applied twice,
/// and may succeed then: it was not applied, and the cause passes by itself. Callers see the answer as `retryable`.
pub(crate) fn is_retryable(error: &ClientError) -> bool {
    match error {
        ClientError::NoPrimary { .. }
        | ClientError::NoStandby { .. }
        | ClientError::AcquireTimeout { .. }
        | ClientError::Heartbeat { .. } => true,
        ClientError::ConnectionLost { outcome, .. } => *outcome == Outcome::NotApplied,
        ClientError::Database { error, outcome: Outcome::NotApplied } => match error.code.as_str() {
            READ_ONLY => error.is_of_fence,
            "40001" | "40P01" => true,
            code => ends_session(code) || is_passing(code),
        },
        _ => false,
    }
}

/// read_only_sql_transaction.
pub(crate) const READ_ONLY: &str = "25006";

/// Whether the server's error is the end of the session, so that it says nothing about the statement.
pub(crate) fn is_end_of_session(error: &ServerError) -> bool {
    error.ends_session || ends_session(&error.code)
}

/// Another connection may help: 53300 too many connections, 57P03 cannot connect now.
fn is_passing(code: &str) -> bool {
    matches!(code, "53300" | "57P03")
}

/// The node is going down or the session was ended by an administrator.
fn ends_session(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P05")
}

/// Whether a standby has cancelled the statement because the replay of the log needed its snapshot, lock or buffer.
/// (postgres.c, ProcessInterrupts.) That is 40001, or 57014 with a detail that names the conflict: who cancels a
/// statement otherwise gives no detail.
fn is_recovery_conflict(error: &ServerError) -> bool {
    let is_interrupt =
        matches!(field_of(error, "routine"), Some("ProcessInterrupts" | "ProcessRecoveryConflictInterrupt"));
    is_interrupt && (error.code == "40001" || error.code == "57014" && field_of(error, "detail").is_some())
}

fn field_of<'a>(error: &'a ServerError, name: &str) -> Option<&'a str> {
    error.fields.iter().find(|(key, _)| *key == name).and_then(|(_, value)| value.as_str())
}

/// How often a statement is prepared at most while DDL makes its plans useless.
pub(crate) const PLANS: usize = 5;

/// Whether work that has failed runs again with new plans. `attempt`: how often it has run, from 1 on. `fresh`: its plan
/// was made for this attempt. A parameter that is refused may have had another type when the statement was prepared.
pub(crate) fn needs_new_plan(cause: &Cause, phase: Phase, fresh: bool, attempt: usize) -> bool {
    let refuses_parameter =
        matches!(cause, Cause::Server(error) if phase == Phase::Sent && error.code.starts_with("22"));
    attempt < PLANS && (plan_is_outdated(cause, phase) || !fresh && refuses_parameter)
}

/// Whether the server's plan for an already prepared statement no longer fits the tables (0A000 "cached plan must not
/// change result type" of plancache.c, errors of analysis, XX000 "cache lookup failed for type") or is gone (26000). All these come
/// before the statement begins.
fn plan_is_outdated(cause: &Cause, phase: Phase) -> bool {
    match cause {
        Cause::Server(error) if phase == Phase::Sent => {
            match error.code.as_str() {
                "26000" | "XX000" => true,
                // A standby refuses to read an unlogged table with this code, however often it is asked.
                "0A000" => field_of(error, "routine") == Some("RevalidateCachedQuery"),
                code => code.starts_with("42"),
            }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Applied, NotApplied, Unknown};
    use Phase::{Begun, NotSent, Sent};
    use Verdict::{Again, AgainIfFenced, Fail};

    fn server_error(code: &str) -> ServerError {
        ServerError { code: code.into(), ends_session: code.starts_with("57P"), ..ServerError::default() }
    }

    fn server(code: &str) -> Cause {
        Cause::Server(Box::new(server_error(code)))
    }

    fn recovery_conflict() -> Cause {
        let mut error = server_error("40001");
        error.fields.push(("routine", "ProcessInterrupts".into()));
        Cause::Server(Box::new(error))
    }

    const NO: Verdict = Fail(NotApplied);
    const UNKNOWN: Verdict = Fail(Unknown);

    #[test]
    fn a_statement_that_commits_by_itself_is_in_doubt_once_it_has_begun() {
        #[rustfmt::skip]
        let table = [
            // cause                 not sent        sent            begun
            (Cause::Lost,            [Again,         UNKNOWN,        UNKNOWN]),
            (Cause::Ignored,         [Again,         Again,          Again]),
            (Cause::ReadOnlyBefore,  [Again,         Again,          Again]),
            (server("42883"),        [NO,            NO,             UNKNOWN]),
            (server("P0001"),        [NO,            NO,             UNKNOWN]),
            (server("40001"),        [NO,            NO,             UNKNOWN]),
            (server("57014"),        [NO,            NO,             UNKNOWN]),
            (server("25006"),        [AgainIfFenced, AgainIfFenced,  UNKNOWN]),
            (server("57P01"),        [Again,         Again,          UNKNOWN]),
        ];
        for (cause, expected) in table {
            let got = [NotSent, Sent, Begun].map(|phase| verdict(&cause, phase, Work::SelfCommitting));
            assert_eq!(got, expected, "{cause:?}");
        }
    }

    const ROWS: [Work; 6] =
        [Work::Statement, Work::Read, Work::Opening, Work::InTransaction, Work::BeforeCommit, Work::Commit];

    /// Each row: what went wrong and when, and what follows for the six kinds of work in `ROWS`.
    #[test]
    fn the_table_of_failures() {
        #[rustfmt::skip]
        let table = [
            // cause, phase                   statement      read           opening        in tx  before COMMIT  COMMIT
            (Cause::Lost, NotSent,           [Again,         Again,         Again,         NO,    UNKNOWN,       NO]),
            (Cause::Lost, Sent,              [UNKNOWN,       Again,         Again,         NO,    UNKNOWN,       UNKNOWN]),
            (Cause::Lost, Begun,             [UNKNOWN,       Again,         Again,         NO,    UNKNOWN,       UNKNOWN]),
            (Cause::Ignored, Sent,           [Again,         Again,         Again,         NO,    Again,         NO]),
            (Cause::Ignored, Begun,          [Again,         Again,         Again,         NO,    Again,         NO]),
            (Cause::ReadOnlyBefore, NotSent, [Again,         Again,         Again,         NO,    Again,         NO]),
            (Cause::ReadOnlyBefore, Begun,   [Again,         Again,         Again,         NO,    Again,         NO]),
            (server("25006"), Sent,          [AgainIfFenced, AgainIfFenced, AgainIfFenced, NO,    AgainIfFenced, NO]),
            (server("25006"), Begun,         [AgainIfFenced, AgainIfFenced, AgainIfFenced, NO,    AgainIfFenced, NO]),
            (server("57P01"), NotSent,       [Again,         Again,         Again,         NO,    NO,            NO]),
            (server("57P01"), Sent,          [Again,         Again,         Again,         NO,    NO,            NO]),
            (server("57P02"), Sent,          [Again,         Again,         Again,         NO,    NO,            NO]),
            (server("57P05"), Sent,          [Again,         Again,         Again,         NO,    NO,            NO]),
            (server("57P01"), Begun,         [UNKNOWN,       Again,         Again,         NO,    NO,            UNKNOWN]),
            (server("57P02"), Begun,         [UNKNOWN,       Again,         Again,         NO,    NO,            UNKNOWN]),
            (server("57P03"), NotSent,       [Again,         Again,         Again,         NO,    NO,            NO]),
            (server("23505"), Begun,         [NO,            NO,            NO,            NO,    NO,            NO]),
            (server("42601"), NotSent,       [NO,            NO,            NO,            NO,    NO,            NO]),
            (server("40001"), Begun,         [NO,            NO,            NO,            NO,    NO,            NO]),
            (server("40P01"), Begun,         [NO,            NO,            NO,            NO,    NO,            NO]),
            (server("57014"), Begun,         [NO,            NO,            NO,            NO,    NO,            NO]),
            (recovery_conflict(), Begun,     [NO,            Again,         Again,         NO,    NO,            NO]),
        ];
        for (cause, phase, expected) in table {
            let got = ROWS.map(|work| verdict(&cause, phase, work));
            assert_eq!(got, expected, "{cause:?} {phase:?}");
        }
    }

    #[test]
    fn a_statement_that_travelled_with_its_begin_runs_again_only_if_the_server_has_not_seen_it() {
        let table = [
            (Cause::Lost, NO),
            (Cause::Ignored, Again),
            (Cause::ReadOnlyBefore, Again),
            (server("57P01"), Again),
            (server("25006"), AgainIfFenced),
            (server("42601"), NO),
        ];
        for (cause, expected) in table {
            assert_eq!(verdict(&cause, Sent, Work::OpeningWithStatement), expected, "{cause:?}");
        }
    }

    #[test]
    fn a_script_runs_again_only_if_nothing_of_it_has_run_and_is_in_doubt_once_it_has_committed() {
        let [nothing, some, committed, call] = [(0, false), (2, false), (2, true), (0, true)]
            .map(|(completed, committed)| Progress { completed, committed });
        #[rustfmt::skip]
        let table = [
            // cause                 reads    nothing ran    some ran    some committed  a CALL alone
            (Cause::Lost,            false,  [UNKNOWN,       UNKNOWN,    UNKNOWN,        UNKNOWN]),
            (Cause::Lost,            true,   [Again,         Again,      Again,          Again]),
            (Cause::ReadOnlyBefore,  false,  [Again,         NO,         UNKNOWN,        Again]),
            (Cause::Ignored,         false,  [Again,         NO,         UNKNOWN,        Again]),
            (server("25006"),        false,  [AgainIfFenced, NO,         UNKNOWN,        UNKNOWN]),
            (server("23505"),        false,  [NO,            NO,         UNKNOWN,        UNKNOWN]),
            (server("23505"),        true,   [NO,            NO,         UNKNOWN,        UNKNOWN]),
            (server("57P01"),        false,  [UNKNOWN,       UNKNOWN,    UNKNOWN,        UNKNOWN]),
            (server("57P01"),        true,   [Again,         Again,      Again,          Again]),
        ];
        for (cause, reads, expected) in table {
            let got = [nothing, some, committed, call]
                .map(|progress| verdict(&cause, Begun, Work::Script { progress, reads }));
            assert_eq!(got, expected, "{cause:?} reads: {reads}");
        }
    }

    #[test]
    fn success_and_silence_mean_nothing_before_a_commit() {
        let of = |work: Work| (work.outcome_of_success(), work.outcome_of_silence());
        for work in [Work::Statement, Work::SelfCommitting, Work::Read, Work::BeforeCommit, Work::Commit] {
            assert_eq!(of(work), (Applied, Unknown), "{work:?}");
        }
        for work in [Work::Opening, Work::OpeningWithStatement, Work::InTransaction] {
            assert_eq!(of(work), (NotApplied, NotApplied), "{work:?}");
        }
    }

    #[test]
    fn what_is_retryable() {
        let database = |code: &str, outcome| ClientError::Database { error: Box::new(server_error(code)), outcome };
        let lost = |outcome| ClientError::ConnectionLost { node: String::new(), reason: String::new(), outcome };
        let mut fenced = server_error("25006");
        fenced.is_of_fence = true;
        let yes = [
            ClientError::NoPrimary { wanted: "primary", waited_ms: 1, nodes: Vec::new() },
            ClientError::AcquireTimeout { size: 1, waited_ms: 1, nodes: Vec::new() },
            ClientError::Heartbeat { node: String::new(), reason: String::new() },
            ClientError::Database { error: Box::new(fenced), outcome: NotApplied },
            lost(NotApplied),
            database("40001", NotApplied),
            database("40P01", NotApplied),
            database("53300", NotApplied),
            database("57P01", NotApplied),
            database("57P02", NotApplied),
            database("57P03", NotApplied),
            database("57P05", NotApplied),
        ];
        let no = [
            lost(Unknown),
            lost(Applied),
            database("40001", Applied),
            database("57P01", Unknown),
            database("25006", NotApplied),
            database("23505", NotApplied),
            database("42601", NotApplied),
            database("57014", NotApplied),
            ClientError::Unreplicated { node: String::new() },
            ClientError::Timeout { timeout_ms: 1, outcome: NotApplied },
            ClientError::Aborted { outcome: NotApplied },
            ClientError::PoolClosed,
            ClientError::LeasePooler,
            ClientError::InvalidParam(String::new()),
            ClientError::Transaction(String::new()),
            ClientError::Internal(String::new()),
        ];
        for error in yes {
            assert!(is_retryable(&error), "{error:?}");
        }
        for error in no {
            assert!(!is_retryable(&error), "{error:?}");
        }
    }

    #[test]
    fn outdated_plans_are_noticed_only_before_the_statement_begins() {
        for code in ["26000", "XX000", "42804", "42703", "42P01"] {
            assert!(plan_is_outdated(&server(code), Sent), "{code}");
            assert!(!plan_is_outdated(&server(code), Begun), "{code}");
        }
        let mut error = server_error("0A000");
        error.fields.push(("routine", "RevalidateCachedQuery".into()));
        assert!(plan_is_outdated(&Cause::Server(Box::new(error)), Sent), "cached plan must not change result type");
        assert!(!plan_is_outdated(&server("0A000"), Sent), "an unlogged table on a standby");
        assert!(!plan_is_outdated(&server("22P02"), Sent), "a bad value is not a bad plan");
        assert!(!plan_is_outdated(&Cause::Lost, Sent));
    }
}
