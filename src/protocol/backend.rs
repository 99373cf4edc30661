//! What comes in: cut into messages, checked, and seen before tokio-postgres sees it.
//!
//! The limits are libpq's (fe-protocol3.c, `VALID_LONG_MESSAGE_TYPE`; auth.c and fe-connect.c for the login), tighter where
//! the protocol gives an exact length. They matter because tokio-postgres collects a message before it looks at it.

use std::io;
use std::sync::atomic::Ordering;

use bytes::{BufMut, BytesMut};

use crate::protocol::pending_responses::{Due, Fit};
use crate::protocol::{COLUMNS_CHANGED, Core, TOO_LARGE, Violation};

const HEAD: usize = 5;
/// All that a server may send before it is ready: it could go on for ever otherwise.
const LOGIN: usize = 1 << 20;
/// What PostgreSQL itself can make.
const HUGE: usize = 1 << 30;
/// What nobody has a reason to make larger, but that may be long.
pub(crate) const LONG: usize = 16 << 20;
const SHORT: usize = 30_000;
/// What a simple query of ours may be answered with: what we ask takes a line.
const TOLD: usize = 1 << 20;
/// 1,664 columns, the most there are, with names of 500 bytes.
const COLUMNS: usize = 1 << 20;
/// 65,535 parameters.
const PARAMETERS: usize = 4 + 2 + 4 * 65_535;

/// The shortest and the longest message of a type, as its length is written; None: there is no such type.
fn lengths(kind: u8, login: bool) -> Option<(usize, usize)> {
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

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Route {
    #[default]
    Pass,
    Drop,
    /// It depends on its body.
    Hold,
    /// It is too large: an error takes its place.
    Replace,
}

/// Where in the stream of messages it is.
#[derive(Debug, Default)]
pub(crate) struct Backend {
    /// The server has said that it is ready.
    ready: bool,
    /// Bytes of the login so far.
    login: usize,
    head: [u8; HEAD],
    /// Bytes of a head that are there.
    have: usize,
    /// Bytes of a body that are still to come.
    left: usize,
    route: Route,
    keeps: bool,
    kept: Vec<u8>,
    /// A row of this result was replaced.
    replaced: bool,
    /// Bytes of rows that a simple query of ours was answered with.
    told: usize,
}

/// The ErrorResponse that takes the place of something.
fn error_response(code: &str, message: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{code}\0M{message}\0\0");
    let mut bytes = vec![b'E'];
    bytes.put_u32(fields.len() as u32 + 4);
    bytes.extend_from_slice(fields.as_bytes());
    bytes
}

fn violation(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Violation(reason))
}

/// A type byte, for a person.
fn shown(kind: u8) -> String {
    if kind.is_ascii_graphic() { format!("'{}'", char::from(kind)) } else { format!("0x{kind:02x}") }
}

/// A command tag after which the session may not be what it was.
fn changes_session(tag: &[u8]) -> bool {
    matches!(tag, b"SET\0" | b"RESET\0" | b"DISCARD ALL\0")
}

/// Where what passes goes: it stays where it is, until something was taken out.
struct Passed<'a> {
    chunk: &'a [u8],
    in_place: usize,
    edited: bool,
}

impl Passed<'_> {
    fn add(&mut self, from: usize, to: usize, held: &mut BytesMut) {
        if self.edited {
            held.extend_from_slice(&self.chunk[from..to]);
        } else {
            self.in_place = to;
        }
    }
}

impl Core {
    /// Takes what has come. Returns how much of it goes on as it is; what follows that is in `held`.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> usize {
        let mut passed = Passed { chunk, in_place: 0, edited: false };
        if let Err(fault) = self.walk(&mut passed) {
            self.fault = Some(fault);
        }
        passed.in_place
    }

    fn walk(&mut self, passed: &mut Passed<'_>) -> io::Result<()> {
        let chunk = passed.chunk;
        let mut at = 0;
        while at < chunk.len() {
            if self.backend.left > 0 {
                at = self.go_on(at, passed)?;
                continue;
            }
            let begin = at;
            let mut head_passed = false;
            let head = match chunk[at..].first_chunk::<HEAD>() {
                Some(head) if self.backend.have == 0 => {
                    at += HEAD;
                    *head
                }
                _ => {
                    at += self.fill_head(&chunk[at..]);
                    if self.withholds(self.backend.head[0]) {
                        passed.edited = true;
                    } else {
                        passed.add(begin, at, &mut self.held);
                        head_passed = true;
                    }
                    if self.backend.have < HEAD {
                        continue;
                    }
                    self.backend.have = 0;
                    self.backend.head
                }
            };
            let [kind, a, b, c, d] = head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let (mut route, keeps) = self.begin(kind, length).map_err(violation)?;
            let end = at + length - 4;
            if end > chunk.len() {
                // The rest comes later.
                let backend = &mut self.backend;
                (backend.head, backend.left, backend.route, backend.keeps) = (head, length - 4, route, keeps);
                backend.kept.clear();
                match route {
                    Route::Pass if head_passed => {}
                    Route::Pass if at - begin == HEAD => passed.add(begin, at, &mut self.held),
                    Route::Pass => self.held.extend_from_slice(&head),
                    Route::Replace => {
                        passed.edited = true;
                        self.replace(length);
                    }
                    Route::Drop | Route::Hold => passed.edited = true,
                }
                continue;
            }
            if keeps && !self.end(kind, &chunk[at..end], route)? {
                route = Route::Drop;
            }
            match route {
                Route::Pass | Route::Hold if head_passed => passed.add(at, end, &mut self.held),
                Route::Pass | Route::Hold if at - begin == HEAD => passed.add(begin, end, &mut self.held),
                Route::Pass | Route::Hold => {
                    self.held.extend_from_slice(&head);
                    passed.add(at, end, &mut self.held);
                }
                Route::Replace => {
                    passed.edited = true;
                    self.replace(length);
                }
                Route::Drop => passed.edited = true,
            }
            at = end;
        }
        Ok(())
    }

    fn fill_head(&mut self, bytes: &[u8]) -> usize {
        let backend = &mut self.backend;
        let taken = (HEAD - backend.have).min(bytes.len());
        backend.head[backend.have..backend.have + taken].copy_from_slice(&bytes[..taken]);
        backend.have += taken;
        taken
    }

    /// More of a body.
    fn go_on(&mut self, at: usize, passed: &mut Passed<'_>) -> io::Result<usize> {
        let backend = &mut self.backend;
        let end = at + backend.left.min(passed.chunk.len() - at);
        if backend.keeps {
            backend.kept.extend_from_slice(&passed.chunk[at..end]);
        }
        if backend.route == Route::Pass {
            passed.add(at, end, &mut self.held);
        } else {
            passed.edited = true;
        }
        backend.left -= end - at;
        if backend.left == 0 && backend.keeps {
            let (route, head, kept) = (backend.route, backend.head, std::mem::take(&mut backend.kept));
            if self.end(head[0], &kept, route)? && route == Route::Hold {
                self.held.extend_from_slice(&head);
                self.held.extend_from_slice(&kept);
            }
            if kept.capacity() <= SHORT {
                self.backend.kept = kept;
            }
        }
        Ok(end)
    }

    /// Whether a message of this type may not go on before it is known how long it is.
    fn withholds(&self, kind: u8) -> bool {
        match kind {
            b'D' => self.row_limit.is_some(),
            b'R' => !self.backend.ready,
            b'1' => self.pending.next() == Some(Due::OwnParsed),
            b'T' | b'n' => self.pending.next() == Some(Due::OwnColumns),
            _ => false,
        }
    }

    /// A message begins. Returns what becomes of it, and whether its body is needed.
    fn begin(&mut self, kind: u8, length: usize) -> Result<(Route, bool), String> {
        let login = !self.backend.ready;
        let Some((shortest, longest)) = lengths(kind, login) else {
            let when = if login { " during the login" } else { "" };
            return Err(format!("the server sent a message of an unknown type ({}){when}", shown(kind)));
        };
        if !(shortest..=longest).contains(&length) {
            return Err(format!("the server sent a message of type {} of {length} bytes", shown(kind)));
        }
        if login {
            self.backend.login += length + 1;
            if self.backend.login > LOGIN {
                return Err(format!("the server sent more than {LOGIN} bytes before it was ready"));
            }
            let route = if kind == b'R' && self.gate.is_some() { Route::Hold } else { Route::Pass };
            return Ok((route, matches!(kind, b'R' | b'K' | b'S' | b'Z')));
        }
        let listens = self.responses.is_listening();
        let route = match self.pending.take(kind) {
            Fit::Surplus => {
                return Err(format!("the server sent a message of type {} that nothing had asked for", shown(kind)));
            }
            Fit::Free => return Ok((Route::Pass, kind == b'S')),
            Fit::Refuses { parsed, own, lookups } => {
                self.frontend.refused(parsed, own);
                self.type_depth.refused(lookups);
                if listens {
                    self.responses.error();
                }
                return Ok((Route::Pass, false));
            }
            Fit::Answers(due) => match (kind, due) {
                (b'D', Due::Lookup) => return Ok((Route::Pass, true)),
                (b'D', Due::SimpleRows) if !listens => {
                    self.backend.told += length;
                    return if self.backend.told > TOLD {
                        Err("the server does not come to an end with a short answer".to_owned())
                    } else {
                        Ok((Route::Pass, false))
                    };
                }
                (b'D', _) if self.row_limit.is_some_and(|limit| length - 4 > limit) => {
                    return Ok((Route::Replace, false));
                }
                (b'D', _) => return Ok((Route::Pass, false)),
                (_, Due::OwnParsed) => Route::Drop,
                (_, Due::Parsed) => {
                    self.frontend.parsed();
                    Route::Pass
                }
                (_, Due::OwnColumns) => Route::Hold,
                (b'C' | b'I', Due::Lookup) => {
                    self.type_depth.answered();
                    Route::Pass
                }
                _ => Route::Pass,
            },
        };
        let keeps = match kind {
            b'C' | b'Z' => true,
            b'T' | b'n' | b't' => listens || route == Route::Hold || self.frontend.wants_description(),
            b'I' | b'G' | b'H' => listens,
            _ => false,
        };
        Ok((route, keeps))
    }

    /// A message is complete whose body was needed. Returns whether it goes on, if that depends on it.
    fn end(&mut self, kind: u8, body: &[u8], route: Route) -> io::Result<bool> {
        match kind {
            b'S' => self.session_state.report(body, !self.backend.ready).map_err(violation)?,
            b'K' => {
                if let Some(pid) = body.first_chunk() {
                    self.session_state.pid.store(u32::from_be_bytes(*pid), Ordering::Relaxed);
                }
            }
            b'R' => {
                if let Some(gate) = &mut self.gate {
                    gate(body)?;
                }
            }
            b'D' => self.type_depth.row(body).map_err(violation)?,
            b'C' => {
                self.backend.replaced = false;
                self.session_state.rolled_back.store(body == b"ROLLBACK\0", Ordering::Relaxed);
                if changes_session(body) {
                    self.session_state.change();
                }
            }
            b'Z' => {
                let is_status = if self.backend.ready { matches!(body, b"I" | b"T" | b"E") } else { body == b"I" };
                if !is_status {
                    return Err(violation("the server is ready in a state that cannot be".into()));
                }
                self.backend.ready = true;
                self.backend.replaced = false;
                self.backend.told = 0;
                self.session_state.ready(body != b"I");
                let flights = self.session_state.flights.load(Ordering::Relaxed);
                self.session_state.flights.store(flights.saturating_sub(1), Ordering::Relaxed);
            }
            b't' => self.frontend.parameters(body),
            b'T' | b'n' if route == Route::Hold => {
                if !self.frontend.has_same_columns(body) {
                    self.held.extend_from_slice(&error_response(COLUMNS_CHANGED, "the columns have changed"));
                }
                return Ok(false);
            }
            b'T' | b'n' => self.frontend.columns(body),
            _ => {}
        }
        if self.responses.is_listening() {
            self.responses.message(kind, body);
        }
        Ok(true)
    }

    /// Puts an error where a row of this length was.
    fn replace(&mut self, length: usize) {
        if !std::mem::replace(&mut self.backend.replaced, true) {
            let message = format!("a row of {} bytes", length - 4);
            self.held.extend_from_slice(&error_response(TOO_LARGE, &message));
        }
    }
}
