//! What comes in: cut into messages, checked, and seen before tokio-postgres sees it.
//!
//! The limits are libpq's (fe-protocol3.c, `VALID_LONG_MESSAGE_TYPE`; auth.c and fe-connect.c for the login), tighter where
//! the protocol gives an exact length. They matter because tokio-postgres collects a message before it looks at it.

use std::io;
use std::sync::atomic::Ordering;

use bytes::{BufMut, BytesMut};

use super::expected::{Due, Fit};
use super::{COLUMNS_CHANGED, Core, TOO_LARGE, Violation};

const HEAD: usize = 5;
/// All that a server may send before it is ready: it could go on for ever otherwise.
const LOGIN: usize = 1 << 20;
/// What PostgreSQL itself can make.
const HUGE: usize = 1 << 30;
/// What nobody has a reason to make larger, but that may be long.
pub(super) const LONG: usize = 16 << 20;
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
pub(super) struct Inbound {
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
    pub(super) fn take(&mut self, chunk: &[u8]) -> usize {
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
            if self.inbound.left > 0 {
                at = self.go_on(at, passed)?;
                continue;
            }
            let begin = at;
            let mut head_passed = false;
            let head = match chunk[at..].first_chunk::<HEAD>() {
                Some(head) if self.inbound.have == 0 => {
                    at += HEAD;
                    *head
                }
                _ => {
                    at += self.fill_head(&chunk[at..]);
                    if self.withholds(self.inbound.head[0]) {
                        passed.edited = true;
                    } else {
                        passed.add(begin, at, &mut self.held);
                        head_passed = true;
                    }
                    if self.inbound.have < HEAD {
                        continue;
                    }
                    self.inbound.have = 0;
                    self.inbound.head
                }
            };
            let [kind, a, b, c, d] = head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let (mut route, keeps) = self.begin(kind, length).map_err(violation)?;
            let end = at + length - 4;
            if end > chunk.len() {
                // The rest comes later.
                let inbound = &mut self.inbound;
                (inbound.head, inbound.left, inbound.route, inbound.keeps) = (head, length - 4, route, keeps);
                inbound.kept.clear();
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
        let inbound = &mut self.inbound;
        let taken = (HEAD - inbound.have).min(bytes.len());
        inbound.head[inbound.have..inbound.have + taken].copy_from_slice(&bytes[..taken]);
        inbound.have += taken;
        taken
    }

    /// More of a body.
    fn go_on(&mut self, at: usize, passed: &mut Passed<'_>) -> io::Result<usize> {
        let inbound = &mut self.inbound;
        let end = at + inbound.left.min(passed.chunk.len() - at);
        if inbound.keeps {
            inbound.kept.extend_from_slice(&passed.chunk[at..end]);
        }
        if inbound.route == Route::Pass {
            passed.add(at, end, &mut self.held);
        } else {
            passed.edited = true;
        }
        inbound.left -= end - at;
        if inbound.left == 0 && inbound.keeps {
            let (route, head, kept) = (inbound.route, inbound.head, std::mem::take(&mut inbound.kept));
            if self.end(head[0], &kept, route)? && route == Route::Hold {
                self.held.extend_from_slice(&head);
                self.held.extend_from_slice(&kept);
            }
            if kept.capacity() <= SHORT {
                self.inbound.kept = kept;
            }
        }
        Ok(end)
    }

    /// Whether a message of this type may not go on before it is known how long it is.
    fn withholds(&self, kind: u8) -> bool {
        match kind {
            b'D' => self.row_limit.is_some(),
            b'R' => !self.inbound.ready,
            b'1' => self.expected.next() == Some(Due::OwnParsed),
            b'T' | b'n' => self.expected.next() == Some(Due::OwnColumns),
            _ => false,
        }
    }

    /// A message begins. Returns what becomes of it, and whether its body is needed.
    fn begin(&mut self, kind: u8, length: usize) -> Result<(Route, bool), String> {
        let login = !self.inbound.ready;
        let Some((shortest, longest)) = lengths(kind, login) else {
            let when = if login { " during the login" } else { "" };
            return Err(format!("the server sent a message of an unknown type ({}){when}", shown(kind)));
        };
        if !(shortest..=longest).contains(&length) {
            return Err(format!("the server sent a message of type {} of {length} bytes", shown(kind)));
        }
        if login {
            self.inbound.login += length + 1;
            if self.inbound.login > LOGIN {
                return Err(format!("the server sent more than {LOGIN} bytes before it was ready"));
            }
            let route = if kind == b'R' && self.gate.is_some() { Route::Hold } else { Route::Pass };
            return Ok((route, matches!(kind, b'R' | b'K' | b'S' | b'Z')));
        }
        let listens = self.ear.is_listening();
        let route = match self.expected.take(kind) {
            Fit::Surplus => {
                return Err(format!("the server sent a message of type {} that nothing had asked for", shown(kind)));
            }
            Fit::Free => return Ok((Route::Pass, kind == b'S')),
            Fit::Refuses { parsed, own, lookups } => {
                self.outbound.refused(parsed, own);
                self.lineage.refused(lookups);
                if listens {
                    self.ear.error();
                }
                return Ok((Route::Pass, false));
            }
            Fit::Answers(due) => match (kind, due) {
                (b'D', Due::Lookup) => return Ok((Route::Pass, true)),
                (b'D', Due::SimpleRows) if !listens => {
                    self.inbound.told += length;
                    return if self.inbound.told > TOLD {
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
                    self.outbound.parsed();
                    Route::Pass
                }
                (_, Due::OwnColumns) => Route::Hold,
                (b'C' | b'I', Due::Lookup) => {
                    self.lineage.answered();
                    Route::Pass
                }
                _ => Route::Pass,
            },
        };
        let keeps = match kind {
            b'C' | b'Z' => true,
            b'T' | b'n' | b't' => listens || route == Route::Hold || self.outbound.wants_description(),
            b'I' | b'G' | b'H' => listens,
            _ => false,
        };
        Ok((route, keeps))
    }

    /// A message is complete whose body was needed. Returns whether it goes on, if that depends on it.
    fn end(&mut self, kind: u8, body: &[u8], route: Route) -> io::Result<bool> {
        match kind {
            b'S' => self.facts.report(body, !self.inbound.ready).map_err(violation)?,
            b'K' => {
                if let Some(pid) = body.first_chunk() {
                    self.facts.pid.store(u32::from_be_bytes(*pid), Ordering::Relaxed);
                }
            }
            b'R' => {
                if let Some(gate) = &mut self.gate {
                    gate(body)?;
                }
            }
            b'D' => self.lineage.row(body).map_err(violation)?,
            b'C' => {
                self.inbound.replaced = false;
                self.facts.rolled_back.store(body == b"ROLLBACK\0", Ordering::Relaxed);
                if changes_session(body) {
                    self.facts.change();
                }
            }
            b'Z' => {
                let is_status = if self.inbound.ready { matches!(body, b"I" | b"T" | b"E") } else { body == b"I" };
                if !is_status {
                    return Err(violation("the server is ready in a state that cannot be".into()));
                }
                self.inbound.ready = true;
                self.inbound.replaced = false;
                self.inbound.told = 0;
                self.facts.ready(body != b"I");
                let flights = self.facts.flights.load(Ordering::Relaxed);
                self.facts.flights.store(flights.saturating_sub(1), Ordering::Relaxed);
            }
            b't' => self.outbound.parameters(body),
            b'T' | b'n' if route == Route::Hold => {
                if !self.outbound.has_same_columns(body) {
                    self.held.extend_from_slice(&error_response(COLUMNS_CHANGED, "the columns have changed"));
                }
                return Ok(false);
            }
            b'T' | b'n' => self.outbound.columns(body),
            _ => {}
        }
        if self.ear.is_listening() {
            self.ear.message(kind, body);
        }
        Ok(true)
    }

    /// Puts an error where a row of this length was.
    fn replace(&mut self, length: usize) {
        if !std::mem::replace(&mut self.inbound.replaced, true) {
            let message = format!("a row of {} bytes", length - 4);
            self.held.extend_from_slice(&error_response(TOO_LARGE, &message));
        }
    }
}
