//! How long a message of the server may be.
//!
//! The limits are libpq's (fe-protocol3.c, `VALID_LONG_MESSAGE_TYPE`; auth.c and fe-connect.c for the login), tighter
//! where the protocol gives an exact length. They matter because tokio-postgres collects a whole message before it
//! reads it.

/// Bytes of all messages before the server is ready: otherwise a login could go on for ever.
pub(super) const LOGIN: usize = 1 << 20;
/// The largest row that PostgreSQL can make.
const HUGE: usize = 1 << 30;
/// For texts that may be long, such as errors.
pub(super) const LONG: usize = 16 << 20;
pub(super) const SHORT: usize = 30_000;
/// Bytes of rows that answer a simple query of this client: it only asks for a line or two.
pub(super) const SIMPLE_ROWS: usize = 1 << 20;
/// 1,664 columns, the most there are, with names of 500 bytes.
const COLUMNS: usize = 1 << 20;
/// 65,535 parameters.
const PARAMETERS: usize = 4 + 2 + 4 * 65_535;

/// The shortest and the longest message of a type, as its length is written; None: there is no such type.
pub(super) fn lengths(kind: u8, login: bool) -> Option<(usize, usize)> {
    Some(match kind {
        b'R' if login => (8, 2000),
        b'K' if login => (12, 264),
        b'E' | b'N' | b'S' if login => (5, SHORT),
        b'Z' => (5, 5),
        _ if login => return None,
        b'D' | b'd' => (4, HUGE),
        b'E' | b'N' | b'A' => (4, LONG),
        b'T' => (6, COLUMNS),
        b't' => (6, PARAMETERS),
        b'C' | b'S' | b'G' | b'H' => (5, SHORT),
        b'1' | b'2' | b'3' | b'I' | b'n' | b's' | b'c' => (4, 4),
        _ => return None,
    })
}
