//! Messages that tokio-postgres cannot send: those of a pinned session (`query::pinned`).
//!
//! tokio-postgres prepares each statement, asks for binary results, and reads a portal to its end. A program that was
//! written for another client (`pg`) expects the messages of that client: the simple protocol, or Parse, Bind, Describe,
//! Execute and Sync in one flight with texts for parameters and results, and portals that are read in parts. So a pinned
//! session has tokio-postgres send a simple query with the text [`MARKER`]; `frontend` sends a flight in its place, and
//! `backend` hands on of the answer what can answer a simple query.

use bytes::{BufMut, Bytes, BytesMut};

use crate::protocol::message::put;
use crate::protocol::pending_responses::Due;

/// The text of a simple query in whose place a flight is sent.
pub(crate) const MARKER: &str = "hyperiondb flight";

/// How the server ends its answer to a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlightEnd {
    /// With ReadyForQuery, after a simple query.
    Simple,
    /// With ReadyForQuery, after a Sync.
    Sync,
    /// With CommandComplete or PortalSuspended: the portal stays open, and there is no ReadyForQuery.
    Portal,
}

/// What is sent in place of a simple query.
#[derive(Debug)]
pub(crate) struct Flight {
    messages: BytesMut,
    /// A BEGIN goes ahead of the messages. Nobody but `frontend` and `backend` sees the answer to it.
    pub(super) begins: bool,
    end: FlightEnd,
    /// How many columns the result has, if the server is not asked.
    columns: Option<u16>,
}

/// A parameter: None is NULL; the flag says that the bytes are the binary form, not text.
pub(crate) type FlightParam<'a> = Option<(bool, &'a [u8])>;

impl Flight {
    fn new(end: FlightEnd) -> Self {
        Self { messages: BytesMut::new(), begins: false, end, columns: None }
    }

    /// A simple query.
    pub(crate) fn simple(sql: &str) -> Self {
        let mut flight = Self::new(FlightEnd::Simple);
        put(&mut flight.messages, b'Q', &[sql.as_bytes(), b"\0"]);
        flight
    }

    /// Runs a statement to its end.
    pub(crate) fn run() -> Self {
        Self::new(FlightEnd::Sync)
    }

    /// Begins a transaction, and runs a statement to its end. The Sync is behind both: of a BEGIN that is refused the
    /// server does not go on to the statement.
    pub(crate) fn begin_and_run() -> Self {
        Self { begins: true, ..Self::run() }
    }

    /// Opens or reads a portal, which stays open.
    pub(crate) fn portal() -> Self {
        Self::new(FlightEnd::Portal)
    }

    pub(crate) fn parse(&mut self, name: &str, sql: &str) {
        put(&mut self.messages, b'P', &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0", &[0, 0]]);
    }

    /// Binds the unnamed portal. All columns of the result are asked for as text. Returns false, and adds nothing, for
    /// more parameters than the protocol can count.
    pub(crate) fn bind(&mut self, name: &str, params: &[FlightParam<'_>]) -> bool {
        let Ok(count) = u16::try_from(params.len()) else { return false };
        let mut body = Vec::with_capacity(
            16 + params.iter().map(|param| 4 + param.map_or(0, |(_, raw)| raw.len())).sum::<usize>(),
        );
        body.put_u8(0);
        body.put_slice(name.as_bytes());
        body.put_u8(0);
        if params.iter().flatten().any(|(binary, _)| *binary) {
            body.put_u16(count);
            for param in params {
                body.put_u16(u16::from(param.is_some_and(|(binary, _)| binary)));
            }
        } else {
            body.put_u16(0);
        }
        body.put_u16(count);
        for param in params {
            match param {
                None => body.put_i32(-1),
                Some((_, raw)) => {
                    body.put_i32(raw.len() as i32);
                    body.put_slice(raw);
                }
            }
        }
        body.put_u16(0);
        put(&mut self.messages, b'B', &[&body]);
        true
    }

    /// Asks for the columns of the portal. tokio-postgres must know them to read rows.
    pub(crate) fn describe(&mut self) {
        put(&mut self.messages, b'D', &[b"P\0"]);
    }

    /// Does without [`Self::describe`]: the columns are known. tokio-postgres learns their number from this client.
    pub(crate) fn answer_with_columns(&mut self, columns: usize) {
        self.columns = u16::try_from(columns).ok();
    }

    /// Runs the portal, or reads `rows` more rows of it; 0: all.
    pub(crate) fn execute(&mut self, rows: u32) {
        put(&mut self.messages, b'E', &[b"\0", &rows.to_be_bytes()]);
    }

    pub(crate) fn close_portal(&mut self) {
        put(&mut self.messages, b'C', &[b"P\0"]);
    }

    /// What the server owes for it.
    pub(super) fn due(&self) -> Due {
        match self.end {
            FlightEnd::Simple => Due::Flight { extended: false, columns: None },
            FlightEnd::Sync => Due::Flight { extended: true, columns: self.columns },
            FlightEnd::Portal => Due::Portal,
        }
    }

    /// Whether a ReadyForQuery ends the answer.
    pub(super) fn ends_ready(&self) -> bool {
        self.end != FlightEnd::Portal
    }

    /// The messages, complete.
    pub(super) fn into_bytes(mut self) -> Bytes {
        match self.end {
            FlightEnd::Simple => {}
            FlightEnd::Sync => put(&mut self.messages, b'S', &[]),
            FlightEnd::Portal => put(&mut self.messages, b'H', &[]),
        }
        self.messages.freeze()
    }
}

/// The answer to a COPY FROM STDIN without data. pg gives the same reason (pg/lib/query.js, handleCopyInResponse).
/// `extended`: the server has ignored the Sync of the flight, because it came in copy mode.
pub(super) fn refuse_copy(extended: bool, out: &mut BytesMut) {
    put(out, b'f', &[b"No source stream defined\0"]);
    if extended {
        put(out, b'S', &[]);
    }
}

/// Whether `frontend` sends a flight in place of this message.
pub(super) fn is_marker(message: &[u8]) -> bool {
    message[0] == b'Q' && message[5..].strip_suffix(b"\0") == Some(MARKER.as_bytes())
}

/// A RowDescription of columns without names and types: tokio-postgres needs their number to read rows.
pub(super) fn put_columns(columns: u16, out: &mut BytesMut) {
    let mut body = vec![0; 2 + 19 * usize::from(columns)];
    body[..2].copy_from_slice(&columns.to_be_bytes());
    put(out, b'T', &[&body]);
}

/// What `backend` hands on at the end of the answer to a portal's flight: CommandComplete where the portal was
/// suspended, and ReadyForQuery, for which tokio-postgres waits.
pub(super) fn end_of_portal(suspended: bool, out: &mut BytesMut) {
    if suspended {
        put(out, b'C', &[b"SUSPENDED\0"]);
    }
    put(out, b'Z', &[b"T"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_parsed_bound_described_and_run_in_one_flight() {
        let mut flight = Flight::run();
        flight.parse("", "SELECT $1");
        assert!(flight.bind("", &[None, Some((false, b"a")), Some((true, b"\x01"))]));
        flight.describe();
        flight.execute(0);
        let expected = [
            &b"P\0\0\0\x11\0SELECT $1\0\0\0"[..],
            b"B\0\0\0\x20\0\0\0\x03\0\0\0\0\0\x01\0\x03\xff\xff\xff\xff\0\0\0\x01a\0\0\0\x01\x01\0\0",
            b"D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04",
        ]
        .concat();
        assert_eq!(flight.into_bytes(), expected);
    }

    #[test]
    fn more_parameters_than_the_protocol_can_count_are_refused() {
        assert!(!Flight::run().bind("", &vec![None; 65_536]));
    }
}
