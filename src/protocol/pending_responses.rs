//! What the server still owes: which answers belong to what was sent.
//!
//! tokio-postgres gives each answer, up to its ReadyForQuery, to whoever asked next. A server that sends one ReadyForQuery
//! or one CommandComplete too many would move all later answers by one place: somebody's COMMIT would have succeeded
//! because of another's. So each message that goes out leaves here what must come for it, in order, and each that comes
//! in must be the next of these (PostgreSQL docs, 54.2 "Message Flow").

use std::collections::VecDeque;

/// An answer that is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// ParseComplete.
    Parsed,
    /// The same for a Parse that tokio-postgres knows nothing of.
    ParsedAgain,
    /// BindComplete.
    Bound,
    /// CloseComplete.
    Closed,
    /// ParameterDescription.
    Parameters,
    /// RowDescription or NoData.
    Columns,
    /// The same for a Describe that tokio-postgres knows nothing of.
    ColumnsAgain,
    /// Rows and a CommandComplete, or a COPY.
    Result,
    /// The same for a look-up of a type.
    Lookup,
    /// The answers to a simple query; none has come.
    Simple,
    /// At least one has.
    SimpleBegun,
    /// Columns have been named, and their rows are to come.
    SimpleRows,
    /// ReadyForQuery.
    Ready,
}

/// What is to be done with a message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// It answers this.
    Response(Due),
    /// An error: so many statements were not parsed, were not run again by their text, and so many look-ups failed.
    Error { parses: usize, again: usize, lookups: usize },
    /// It comes when it likes.
    Asynchronous,
    /// Nothing had asked for it.
    Unexpected,
}

#[derive(Debug, Default)]
pub(crate) struct PendingResponses {
    due: VecDeque<Due>,
    /// What has been sent does not end with Sync or a simple query.
    open: bool,
    /// The server skips what is sent until the next Sync.
    skipping: bool,
}

impl PendingResponses {
    /// Something was sent for which this is owed.
    pub(crate) fn owe(&mut self, due: Due) {
        let ends = matches!(due, Due::Ready | Due::Simple);
        self.open = !ends;
        if self.skipping && !ends {
            return;
        }
        self.skipping = false;
        self.due.push_back(due);
    }

    pub(crate) fn next(&self) -> Option<Due> {
        self.due.front().copied()
    }

    /// A message of this type has come.
    pub(crate) fn accept(&mut self, kind: u8) -> Received {
        use Due::{
            Bound, Closed, Columns, ColumnsAgain, Lookup, Parameters, Parsed, ParsedAgain, Ready, Result, Simple,
            SimpleBegun, SimpleRows,
        };
        let Some(next) = self.next() else {
            return match kind {
                b'E' => self.skip_to_sync(),
                b'N' | b'S' | b'A' => Received::Asynchronous,
                _ => Received::Unexpected,
            };
        };
        let pops = match (kind, next) {
            (b'D', Result | Lookup | SimpleRows)
            | (b'd' | b'c' | b'G' | b'H', Result | Lookup | Simple | SimpleBegun)
            | (b'C' | b'I', SimpleBegun) => false,
            (b'T', Simple | SimpleBegun) => {
                self.due[0] = SimpleRows;
                false
            }
            (b'1', Parsed | ParsedAgain)
            | (b'2', Bound)
            | (b'3', Closed)
            | (b't', Parameters)
            | (b'T' | b'n', Columns | ColumnsAgain)
            | (b'C' | b'I', Result | Lookup)
            | (b'Z', Ready | SimpleBegun) => true,
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

    /// After an error the server answers nothing more until the Sync behind it.
    fn skip_to_sync(&mut self) -> Received {
        let (mut parses, mut again, mut lookups) = (0, 0, 0);
        loop {
            match self.due.front_mut() {
                Some(Due::Ready | Due::SimpleBegun) => break,
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

    /// What one letter of a client's message leaves to be answered.
    fn send(expected: &mut PendingResponses, letters: &str) {
        for letter in letters.chars() {
            let owed: &[Due] = match letter {
                'P' => &[Due::Parsed],
                'B' => &[Due::Bound],
                'D' => &[Due::Parameters, Due::Columns],
                'E' => &[Due::Result],
                'C' => &[Due::Closed],
                'S' => &[Due::Ready],
                _ => &[Due::Simple],
            };
            for &due in owed {
                expected.owe(due);
            }
        }
    }

    #[test]
    fn conversations() {
        // Sent, come, and how many of these were due.
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
    fn an_error_before_all_has_been_sent() {
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
