//! Which responses the server owes, and for which message each of them is.
//!
//! tokio-postgres hands all responses up to a ReadyForQuery to the request that is next in its queue. One ReadyForQuery
//! or CommandComplete too many would move all later responses by one place: a COMMIT would seem to succeed because
//! another one did. So each message that is sent adds the responses it asks for to this queue, and each message that
//! comes must be the next of them (PostgreSQL docs, 54.2 "Message Flow").

use std::collections::VecDeque;

/// A response that is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// ParseComplete.
    Parsed,
    /// ParseComplete for a Parse that tokio-postgres has not sent.
    ParsedAgain,
    /// BindComplete.
    Bound,
    /// CloseComplete.
    Closed,
    /// ParameterDescription.
    Parameters,
    /// RowDescription or NoData.
    Columns,
    /// RowDescription or NoData for a Describe that tokio-postgres has not sent.
    ColumnsAgain,
    /// Rows and a CommandComplete, or a COPY.
    Result,
    /// Rows and a CommandComplete for the look-up of a type.
    Lookup,
    /// The responses to a simple query; none has come.
    Simple,
    /// The responses to a simple query; at least one has come.
    SimpleBegun,
    /// The responses to a simple query; a RowDescription has come, and its rows are to come.
    SimpleRows,
    /// The responses to `RESET_SETTINGS`.
    Reset,
    /// The responses to a flight that ends with ReadyForQuery. `extended`: a Sync ends it; `columns`: how many the result
    /// has, if the server is not asked.
    Flight {
        extended: bool,
        columns: Option<u16>,
    },
    /// The responses to a flight that leaves its portal open: there is no ReadyForQuery.
    Portal,
    /// The responses to a direct statement (`direct`): BindComplete.
    DirectBound,
    /// Rows and a CommandComplete; or the CommandComplete of a command, which is not bound.
    DirectResult,
    /// Then ReadyForQuery.
    DirectReady,
    /// ParseComplete, BindComplete, CommandComplete and CloseComplete for messages that `frontend` has added.
    AddedParse,
    AddedBind,
    AddedCommand,
    AddedClose,
    /// ReadyForQuery.
    Ready,
}

impl Due {
    /// Whether tokio-postgres has not asked for the response, and does not get it.
    pub(crate) fn is_added(self) -> bool {
        matches!(self, Self::ParsedAgain | Self::AddedParse | Self::AddedBind | Self::AddedCommand | Self::AddedClose)
    }

    /// Whether it answers a flight.
    pub(crate) fn is_of_flight(self) -> bool {
        matches!(self, Self::Flight { .. } | Self::Portal)
    }

    /// Whether it answers a direct statement.
    pub(crate) fn is_direct(self) -> bool {
        matches!(self, Self::DirectBound | Self::DirectResult | Self::DirectReady)
    }
}

/// What a message that came is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The response that was due.
    Response(Due),
    /// An ErrorResponse. The numbers say how many of the responses that it replaces were those to a Parse of
    /// tokio-postgres, to a repeated Parse and to a look-up.
    Error { parses: usize, again: usize, lookups: usize },
    /// A message that may come at any time: NoticeResponse, ParameterStatus, NotificationResponse.
    Asynchronous,
    /// Nothing asked for it.
    Unexpected,
}

#[derive(Debug, Default)]
pub(crate) struct PendingResponses {
    due: VecDeque<Due>,
    /// The last message that was sent was neither a Sync nor a simple query.
    open: bool,
    /// The server ignores messages until the next Sync.
    skipping: bool,
}

impl PendingResponses {
    /// A message was sent that asks for this response.
    pub(crate) fn owe(&mut self, due: Due) {
        let ends = matches!(
            due,
            Due::Ready | Due::Simple | Due::Reset | Due::Flight { .. } | Due::DirectBound | Due::DirectResult
        );
        self.open = !ends;
        if self.skipping && !ends {
            return;
        }
        self.skipping = false;
        self.due.push_back(due);
    }

    /// Whether only whole requests were sent: the last message was a Sync or a simple query.
    pub(super) fn is_between_requests(&self) -> bool {
        !self.open
    }

    pub(crate) fn next(&self) -> Option<Due> {
        self.due.front().copied()
    }

    /// A message of this type came.
    pub(crate) fn accept(&mut self, kind: u8) -> Received {
        use Due::{
            AddedBind, AddedClose, AddedCommand, AddedParse, Bound, Closed, Columns, ColumnsAgain, DirectBound,
            DirectReady, DirectResult, Flight, Lookup, Parameters, Parsed, ParsedAgain, Portal, Ready, Reset, Result,
            Simple, SimpleBegun, SimpleRows,
        };
        let Some(next) = self.next() else {
            return match kind {
                b'E' => self.skip_to_sync(),
                b'N' | b'S' | b'A' => Received::Asynchronous,
                _ => Received::Unexpected,
            };
        };
        let pops = match (kind, next) {
            (b'D', Result | Lookup | SimpleRows | DirectResult)
            | (b'd' | b'c' | b'G' | b'H', Result | Lookup | Simple | SimpleBegun)
            | (b'C' | b'I', SimpleBegun | Reset)
            | (b'1' | b'2' | b'3' | b'n' | b'T' | b'D' | b'C' | b'I' | b'G' | b'H' | b'd' | b'c', Flight { .. })
            | (b'1' | b'2' | b'n' | b'T' | b'D' | b'H' | b'd' | b'c', Portal) => false,
            (b'2', DirectBound) => {
                self.due[0] = DirectResult;
                false
            }
            (b'C' | b'I', DirectResult) => {
                self.due[0] = DirectReady;
                false
            }
            (b'T', Simple | SimpleBegun) => {
                self.due[0] = SimpleRows;
                false
            }
            (b'1', Parsed | ParsedAgain | AddedParse)
            | (b'2', Bound | AddedBind)
            | (b'3', Closed | AddedClose)
            | (b't', Parameters)
            | (b'T' | b'n', Columns | ColumnsAgain)
            | (b'C' | b'I', Result | Lookup)
            | (b'C', AddedCommand)
            | (b'Z', Ready | SimpleBegun | Reset | Flight { .. } | DirectReady)
            | (b's' | b'C' | b'I', Portal) => true,
            (b'C' | b'I', Simple | SimpleRows) => {
                self.due[0] = SimpleBegun;
                false
            }
            (b'E', _) => return self.skip_to_sync(),
            (b'N' | b'S' | b'A', _) => return Received::Asynchronous,
            _ => return Received::Unexpected,
        };
        if pops {
            self.due.pop_front();
        }
        Received::Response(next)
    }

    /// An error came: the server answers nothing more up to the next Sync.
    fn skip_to_sync(&mut self) -> Received {
        let (mut parses, mut again, mut lookups) = (0, 0, 0);
        loop {
            match self.due.front_mut() {
                Some(Due::Ready | Due::SimpleBegun | Due::Reset | Due::Flight { .. } | Due::DirectReady) => break,
                Some(direct @ (Due::DirectBound | Due::DirectResult)) => {
                    *direct = Due::DirectReady;
                    break;
                }
                Some(simple @ (Due::Simple | Due::SimpleRows)) => {
                    *simple = Due::SimpleBegun;
                    break;
                }
                Some(Due::Parsed) => parses += 1,
                Some(Due::ColumnsAgain) => again += 1,
                Some(Due::Lookup) => lookups += 1,
                Some(_) => {}
                None => {
                    self.skipping = self.open;
                    break;
                }
            }
            self.due.pop_front();
        }
        Received::Error { parses, again, lookups }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends messages of the client, one letter each.
    fn send(expected: &mut PendingResponses, letters: &str) {
        for letter in letters.chars() {
            let owed: &[Due] = match letter {
                'P' => &[Due::Parsed],
                'B' => &[Due::Bound],
                'D' => &[Due::Parameters, Due::Columns],
                'E' => &[Due::Result],
                'C' => &[Due::Closed],
                'S' => &[Due::Ready],
                'd' => &[Due::DirectBound],
                'F' => &[Due::Flight { extended: true, columns: None }],
                'p' => &[Due::Portal],
                _ => &[Due::Simple],
            };
            for &due in owed {
                expected.owe(due);
            }
        }
    }

    #[test]
    fn each_message_must_be_the_next_that_is_owed() {
        // What is sent, what comes, and the place of the first message that nothing asked for.
        let table = [
            ("prepare and run", "PDSBES", "1tTZ2DDCZ", None),
            ("a command without rows", "PDSBES", "1tnZ2CZ", None),
            ("an empty statement", "BES", "2IZ", None),
            ("a script", "Q", "CTDDCNSTCIZ", None),
            ("a pipeline", "BESBESQ", "2DCZ2DCZTDCZ", None),
            ("an error skips to its Sync", "BESBES", "EZ2CZ", None),
            ("an error of the Parse", "PDSBES", "EZ2CZ", None),
            ("an error after rows", "BESQ", "2DDEZCZ", None),
            ("an error at the Sync", "BES", "2CEZ", None),
            ("a script that fails", "Q", "CEZ", None),
            ("one that is refused", "QQ", "EZCZ", None),
            ("a load", "BESQ", "2GCZCZ", None),
            ("an unload", "BES", "2HdddcCZ", None),
            ("news at any time", "BES", "N2SDACZA", None),
            ("the session is ended", "", "E", None),
            ("a surplus ReadyForQuery", "BESQ", "2CZZ", Some(3)),
            ("a surplus ReadyForQuery ahead of a COMMIT", "QQ", "CZZ", Some(2)),
            ("a surplus CommandComplete", "BESBES", "2CCZ", Some(2)),
            ("a surplus BindComplete", "BES", "22", Some(1)),
            ("rows that nobody wants", "BES", "D", Some(0)),
            ("rows behind the end", "BES", "2CD", Some(2)),
            ("no CommandComplete", "BES", "2Z", Some(1)),
            ("nothing but ReadyForQuery", "Q", "Z", Some(0)),
            ("an answer to nothing", "", "Z", Some(0)),
            ("a ParseComplete in a script", "Q", "1", Some(0)),
            ("rows after an error", "BES", "2ED", Some(2)),
            ("a portal that is suspended", "BES", "2Ds", Some(2)),
            ("a flight", "F", "12TDDCZ", None),
            ("a flight that is refused", "FQ", "1EZCZ", None),
            ("a script as a flight", "F", "CTDDCNSTCIZ", None),
            ("a portal, read in two parts and closed", "ppF", "12TDsTDC3Z", None),
            ("a portal that fails", "pF", "12TDE3Z", None),
            ("rows behind the end of a portal", "p", "12TDsD", Some(5)),
            ("a ReadyForQuery for a portal", "p", "12TZ", Some(3)),
            ("a surplus ReadyForQuery behind a flight", "F", "12CZZ", Some(4)),
            ("direct statements between others", "QddQ", "CZ2DDCZ2IZCZ", None),
            ("a direct statement that fails", "dd", "2DEZEZ", None),
            ("a direct statement that is not bound", "d", "C", Some(0)),
        ];
        for (name, sent, come, surplus_at) in table {
            let mut expected = PendingResponses::default();
            send(&mut expected, sent);
            let at = come.bytes().position(|kind| expected.accept(kind) == Received::Unexpected);
            assert_eq!(at, surplus_at, "{name}");
            if surplus_at.is_none() {
                assert_eq!(expected.next(), None, "{name}: all was answered");
            }
        }
    }

    #[test]
    fn after_an_error_messages_up_to_the_sync_ask_for_nothing() {
        let mut expected = PendingResponses::default();
        send(&mut expected, "B");
        assert_eq!(expected.accept(b'E'), Received::Error { parses: 0, again: 0, lookups: 0 });
        send(&mut expected, "ESBES");
        for kind in *b"Z2CZ" {
            assert_ne!(expected.accept(kind), Received::Unexpected, "{}", char::from(kind));
        }
        assert_eq!(expected.next(), None);
    }
}
