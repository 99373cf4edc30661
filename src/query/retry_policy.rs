//! What a failure means: the table of the design (section 6) as a pure function.

use crate::error::{Outcome, ServerError};

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
    /// The server said no.
    Server(Box<ServerError>),
    /// The connection broke.
    Lost,
    /// It stood in the pipe behind a statement at which the server ended the session: nobody looked at it.
    NeverLookedAt,
    /// The node was read-only when it began.
    ReadOnlyBefore,
}

/// What a statement outside a transaction does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Run again: it was not applied, or it is a read.
    Again,
    /// Refused as read-only: ask whether the node is fenced, and run again if so.
    AskFence,
    /// Tell the caller.
    Fail(Outcome),
}

/// Connecting again may help: 53300 too many connections, 57P03 cannot connect now.
fn is_passing(code: &str) -> bool {
    matches!(code, "53300" | "57P03")
}

/// The node is going down or the session was ended by an administrator.
fn ends_session(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P05")
}

/// Outside a transaction.
pub(crate) fn next(cause: &Cause, phase: Phase, declared_read: bool) -> Next {
    match cause {
        Cause::NeverLookedAt | Cause::ReadOnlyBefore => Next::Again,
        Cause::Lost if declared_read || phase == Phase::NotSent => Next::Again,
        Cause::Lost => Next::Fail(Outcome::Unknown),
        // Certainly not applied, whatever phase: the server undid it.
        Cause::Server(error) if error.code == "25006" => Next::AskFence,
        Cause::Server(error) if error.ends_session || ends_session(&error.code) => match phase {
            _ if declared_read => Next::Again,
            Phase::NotSent | Phase::Sent if ends_session(&error.code) || is_passing(&error.code) => Next::Again,
            Phase::NotSent => Next::Fail(Outcome::NotApplied),
            // A backend that is told to die while it waits for a standby has already committed.
            Phase::Sent | Phase::Begun => Next::Fail(Outcome::Unknown),
        },
        // On a standby: the statement conflicted with recovery; another node can answer it.
        Cause::Server(error) if declared_read && error.code == "40001" && is_recovery_conflict(error) => Next::Again,
        Cause::Server(_) => Next::Fail(Outcome::NotApplied),
    }
}

fn is_recovery_conflict(error: &ServerError) -> bool {
    let routine = error.fields.iter().find(|(key, _)| *key == "routine").and_then(|(_, value)| value.as_str());
    routine == Some("ProcessInterrupts") || routine == Some("ProcessRecoveryConflictInterrupt")
}

/// Whether the server's plan for an already prepared statement no longer fits the tables (0A000 "cached plan must not
/// change result type", errors of analysis, XX000 "cache lookup failed for type") or is gone (26000). All these come
/// before the statement begins.
pub(crate) fn plan_is_outdated(cause: &Cause, phase: Phase) -> bool {
    match cause {
        Cause::Server(error) if phase == Phase::Sent => {
            error.code.starts_with("42") || matches!(error.code.as_str(), "0A000" | "26000" | "XX000")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(code: &str) -> Cause {
        let ends_session = code.starts_with("57P");
        Cause::Server(Box::new(ServerError { code: code.into(), ends_session, ..ServerError::default() }))
    }

    #[test]
    fn the_table_of_section_6() {
        use Next::{Again, AskFence, Fail};
        use Outcome::{NotApplied, Unknown};
        use Phase::{Begun, NotSent, Sent};
        // cause, phase, what a declared read does, what another statement does
        let table = [
            (Cause::Lost, NotSent, Again, Again),
            (Cause::Lost, Sent, Again, Fail(Unknown)),
            (Cause::Lost, Begun, Again, Fail(Unknown)),
            (Cause::NeverLookedAt, Sent, Again, Again),
            (Cause::ReadOnlyBefore, Begun, Again, Again),
            (server("25006"), Sent, AskFence, AskFence),
            (server("25006"), Begun, AskFence, AskFence),
            (server("57P01"), NotSent, Again, Again),
            (server("57P01"), Sent, Again, Again),
            (server("57P02"), Sent, Again, Again),
            (server("57P05"), Sent, Again, Again),
            (server("57P01"), Begun, Again, Fail(Unknown)),
            (server("57P02"), Begun, Again, Fail(Unknown)),
            (server("57P03"), NotSent, Again, Again),
            (server("23505"), Begun, Fail(NotApplied), Fail(NotApplied)),
            (server("42601"), NotSent, Fail(NotApplied), Fail(NotApplied)),
            (server("40001"), Begun, Fail(NotApplied), Fail(NotApplied)),
            (server("40P01"), Begun, Fail(NotApplied), Fail(NotApplied)),
            (server("57014"), Begun, Fail(NotApplied), Fail(NotApplied)),
        ];
        for (cause, phase, read, other) in table {
            assert_eq!(next(&cause, phase, true), read, "declared read: {cause:?} {phase:?}");
            assert_eq!(next(&cause, phase, false), other, "other: {cause:?} {phase:?}");
        }
    }

    #[test]
    fn outdated_plans_are_noticed_only_before_the_statement_begins() {
        for code in ["0A000", "26000", "XX000", "42804", "42703", "42P01"] {
            assert!(plan_is_outdated(&server(code), Phase::Sent), "{code}");
            assert!(!plan_is_outdated(&server(code), Phase::Begun), "{code}");
        }
        assert!(!plan_is_outdated(&server("22P02"), Phase::Sent), "a bad value is not a bad plan");
        assert!(!plan_is_outdated(&Cause::Lost, Phase::Sent));
    }
}
