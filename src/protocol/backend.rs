//! What the server sends: split into messages, checked, and shown to the observers before tokio-postgres reads it.

use std::io;
use std::sync::atomic::Ordering;

use bytes::BytesMut;

use crate::protocol::conversation::Conversation;
use crate::protocol::flight::{end_of_portal, put_columns};
use crate::protocol::limits::{LOGIN, SHORT, SIMPLE_ROWS, lengths};
use crate::protocol::message::error_response;
use crate::protocol::pending_responses::{Due, Received};
use crate::protocol::violation::Violation;

/// The SQLSTATE of an error that stands in place of a row that was too large.
pub(crate) const TOO_LARGE: &str = "HY001";
/// The SQLSTATE of an error that stands in place of rows whose columns are not those of the prepared statement.
pub(crate) const COLUMNS_CHANGED: &str = "HY002";

/// Bytes of a message's type and length.
const HEAD: usize = 5;

/// Judges the body of each authentication request before tokio-postgres reads it. An error ends the login.
pub(crate) type Gate = Box<dyn FnMut(&[u8]) -> Result<(), io::Error> + Send>;

/// What is done with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Disposition {
    #[default]
    Pass,
    Drop,
    /// Its body decides.
    Hold,
    /// It is too large: an error takes its place.
    Replace,
}

/// The messages of the server: how far they are read, and what of them goes on.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts of the message and of the result")]
pub(super) struct Backend {
    /// The server has said that it is ready.
    ready: bool,
    /// Bytes of the login so far.
    login: usize,
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    have: usize,
    /// Bytes of the body that are still to come.
    left: usize,
    disposition: Disposition,
    /// The body is collected in `kept`.
    keeps: bool,
    kept: Vec<u8>,
    /// A row of this result was replaced.
    replaced: bool,
    /// The rows of this result cannot be read: its columns have changed.
    skips_rows: bool,
    /// Bytes of rows that answered a simple query of this client.
    simple_rows: usize,
    /// The answer to a portal's flight ends with this message; whether the portal was suspended.
    ends_portal: Option<bool>,
    /// The message answers a direct statement.
    is_direct: bool,
    /// The columns that follow the BindComplete of a flight.
    columns_due: Option<u16>,
    /// The server waits for the data of a COPY FROM STDIN that a flight has begun; whether a Sync must follow.
    pub(super) copy_to_refuse: Option<bool>,
    pub(super) gate: Option<Gate>,
    /// Bytes that tokio-postgres has not read yet, because a message ahead of them was changed or held.
    pub(super) held: BytesMut,
    /// Ends the connection once `held` has been read.
    pub(super) fault: Option<io::Error>,
}

/// Gives a message to the direct statement that it answers. It does not go on.
fn end_direct(kind: u8, body: &[u8], conversation: &mut Conversation) -> io::Result<bool> {
    let Some(answer) = conversation.answers.current() else { return Ok(false) };
    let is_readable = match kind {
        b'2' => {
            answer.begun();
            true
        }
        b'D' => answer.row(body).is_some(),
        b'C' | b'I' => {
            answer.completed(body);
            true
        }
        b'E' => answer.failed(body).is_some(),
        _ => {
            conversation.answers.complete_current();
            true
        }
    };
    if is_readable {
        return Ok(false);
    }
    Err(violation(format!("the server sent a message of type {} that cannot be read", display_type(kind))))
}

fn violation(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Violation(reason))
}

/// A type byte, for a person.
fn display_type(kind: u8) -> String {
    if kind.is_ascii_graphic() { format!("'{}'", char::from(kind)) } else { format!("0x{kind:02x}") }
}

/// Whether a command with this tag may have changed the session.
fn changes_session(tag: &[u8]) -> bool {
    matches!(tag, b"SET\0" | b"RESET\0" | b"DISCARD ALL\0")
}

/// The bytes that go on to tokio-postgres. They stay in the buffer where they are until the first byte is left out or
/// replaced; what follows is copied to `held`.
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

impl Backend {
    /// Reads the bytes that came. Returns how many of them go on unchanged; what follows them is in `held`.
    pub(super) fn receive(&mut self, chunk: &[u8], conversation: &mut Conversation) -> usize {
        let mut passed = Passed { chunk, in_place: 0, edited: false };
        if let Err(fault) = self.read_messages(&mut passed, conversation) {
            self.fault = Some(fault);
        }
        passed.in_place
    }

    /// The same, where nothing can go on in place: it all goes to `held`.
    pub(super) fn receive_apart(&mut self, chunk: &[u8], conversation: &mut Conversation) {
        let mut passed = Passed { chunk, in_place: 0, edited: true };
        if let Err(fault) = self.read_messages(&mut passed, conversation) {
            self.fault = Some(fault);
        }
    }

    fn read_messages(&mut self, passed: &mut Passed<'_>, conversation: &mut Conversation) -> io::Result<()> {
        let chunk = passed.chunk;
        let mut at = 0;
        while at < chunk.len() {
            if self.left > 0 {
                at = self.continue_body(at, passed, conversation)?;
                continue;
            }
            let begin = at;
            let mut head_passed = false;
            let head = match chunk[at..].first_chunk::<HEAD>() {
                Some(head) if self.have == 0 => {
                    at += HEAD;
                    *head
                }
                _ => {
                    at += self.fill_head(&chunk[at..]);
                    if self.withholds(self.head[0], conversation) {
                        passed.edited = true;
                    } else {
                        passed.add(begin, at, &mut self.held);
                        head_passed = true;
                    }
                    if self.have < HEAD {
                        continue;
                    }
                    self.have = 0;
                    self.head
                }
            };
            let [kind, a, b, c, d] = head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let (mut disposition, keeps) = self.begin_message(kind, length, conversation).map_err(violation)?;
            let end = at + length - 4;
            if end > chunk.len() {
                // The rest comes later.
                (self.head, self.left, self.disposition, self.keeps) = (head, length - 4, disposition, keeps);
                self.kept.clear();
                match disposition {
                    Disposition::Pass if head_passed => {}
                    Disposition::Pass if at - begin == HEAD => passed.add(begin, at, &mut self.held),
                    Disposition::Pass => self.held.extend_from_slice(&head),
                    Disposition::Replace => {
                        passed.edited = true;
                        self.replace(length);
                    }
                    Disposition::Drop | Disposition::Hold => passed.edited = true,
                }
                continue;
            }
            if keeps && !self.end_message(kind, &chunk[at..end], disposition, conversation)? {
                disposition = Disposition::Drop;
            }
            match disposition {
                Disposition::Pass | Disposition::Hold if head_passed => passed.add(at, end, &mut self.held),
                Disposition::Pass | Disposition::Hold if at - begin == HEAD => passed.add(begin, end, &mut self.held),
                Disposition::Pass | Disposition::Hold => {
                    self.held.extend_from_slice(&head);
                    passed.add(at, end, &mut self.held);
                }
                Disposition::Replace => {
                    passed.edited = true;
                    self.replace(length);
                }
                Disposition::Drop => passed.edited = true,
            }
            passed.edited |= self.add_to_flight();
            at = end;
        }
        Ok(())
    }

    fn fill_head(&mut self, bytes: &[u8]) -> usize {
        let taken = (HEAD - self.have).min(bytes.len());
        self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
        self.have += taken;
        taken
    }

    /// Reads more of a body.
    fn continue_body(
        &mut self,
        at: usize,
        passed: &mut Passed<'_>,
        conversation: &mut Conversation,
    ) -> io::Result<usize> {
        let end = at + self.left.min(passed.chunk.len() - at);
        if self.keeps {
            self.kept.extend_from_slice(&passed.chunk[at..end]);
        }
        if self.disposition == Disposition::Pass {
            passed.add(at, end, &mut self.held);
        } else {
            passed.edited = true;
        }
        self.left -= end - at;
        if self.left == 0 && self.keeps {
            let (disposition, head, kept) = (self.disposition, self.head, std::mem::take(&mut self.kept));
            if self.end_message(head[0], &kept, disposition, conversation)? && disposition == Disposition::Hold {
                self.held.extend_from_slice(&head);
                self.held.extend_from_slice(&kept);
            }
            if kept.capacity() <= SHORT {
                self.kept = kept;
            }
        }
        if self.left == 0 {
            passed.edited |= self.add_to_flight();
        }
        Ok(end)
    }

    /// Adds what tokio-postgres waits for behind a message of a flight: known columns, or the end of a portal's answer.
    /// Returns whether it has.
    fn add_to_flight(&mut self) -> bool {
        if let Some(columns) = self.columns_due.take() {
            put_columns(columns, &mut self.held);
            return true;
        }
        let ended = self.ends_portal.take();
        if let Some(suspended) = ended {
            end_of_portal(suspended, &mut self.held);
        }
        ended.is_some()
    }

    /// Whether a message of this type may not go on before its length is known.
    fn withholds(&self, kind: u8, conversation: &Conversation) -> bool {
        match kind {
            b'1'..=b'3' | b'C'..=b'E' | b'I' | b'Z' if conversation.pending.next().is_some_and(Due::is_direct) => true,
            b'D' => conversation.row_limit.is_some() || self.skips_rows,
            b'R' => !self.ready,
            b'1' | b'2' | b'3' | b'n' | b's' | b'G' | b'H' | b'd' | b'c'
                if conversation.pending.next().is_some_and(Due::is_of_flight) =>
            {
                true
            }
            b'1' | b'2' | b'3' | b'C' => conversation.pending.next().is_some_and(Due::is_added),
            b'T' | b'n' => conversation.pending.next() == Some(Due::ColumnsAgain),
            _ => false,
        }
    }

    /// A message begins. Returns what is done with it, and whether its body is needed here.
    fn begin_message(
        &mut self,
        kind: u8,
        length: usize,
        conversation: &mut Conversation,
    ) -> Result<(Disposition, bool), String> {
        let login = !self.ready;
        let Some((shortest, longest)) = lengths(kind, login) else {
            let when = if login { " during the login" } else { "" };
            return Err(format!("the server sent a message of an unknown type ({}){when}", display_type(kind)));
        };
        if !(shortest..=longest).contains(&length) {
            return Err(format!("the server sent a message of type {} of {length} bytes", display_type(kind)));
        }
        if login {
            self.login += length + 1;
            if self.login > LOGIN {
                return Err(format!("the server sent more than {LOGIN} bytes before it was ready"));
            }
            let disposition = if kind == b'R' && self.gate.is_some() { Disposition::Hold } else { Disposition::Pass };
            return Ok((disposition, matches!(kind, b'R' | b'K' | b'S' | b'Z')));
        }
        let listens = conversation.responses.is_listening();
        self.is_direct = conversation.pending.next().is_some_and(Due::is_direct);
        if conversation.pending.next() == Some(Due::Portal) && matches!(kind, b's' | b'C' | b'I' | b'E') {
            self.ends_portal = Some(kind == b's');
        }
        let disposition = match conversation.pending.accept(kind) {
            Received::Unexpected => {
                return Err(format!(
                    "the server sent a message of type {} that nothing had asked for",
                    display_type(kind)
                ));
            }
            Received::Asynchronous => {
                self.is_direct = false;
                return Ok((Disposition::Pass, kind == b'S'));
            }
            Received::Error { .. } if self.is_direct => return Ok((Disposition::Drop, true)),
            Received::Error { parses, again, lookups } => {
                conversation.unnamed.parses_failed(parses, again);
                conversation.type_depth.lookups_failed(lookups);
                if listens {
                    conversation.responses.error_received();
                }
                return Ok((Disposition::Pass, false));
            }
            Received::Response(due) => match (kind, due) {
                (b'D', Due::DirectResult) => {
                    let fits = conversation.row_limit.is_none_or(|limit| length - 4 <= limit);
                    if !fits && let Some(answer) = conversation.answers.current() {
                        answer.row_too_large();
                    }
                    return Ok((Disposition::Drop, fits));
                }
                (_, due) if due.is_direct() => return Ok((Disposition::Drop, true)),
                (b'D', _) if self.skips_rows => return Ok((Disposition::Drop, false)),
                (b'D', Due::Lookup) => return Ok((Disposition::Pass, true)),
                (b'D', Due::SimpleRows) if !listens => {
                    self.simple_rows += length;
                    return if self.simple_rows > SIMPLE_ROWS {
                        Err("the server does not come to an end with a short answer".to_owned())
                    } else {
                        Ok((Disposition::Pass, false))
                    };
                }
                (b'D', _) if conversation.row_limit.is_some_and(|limit| length - 4 > limit) => {
                    return Ok((Disposition::Replace, false));
                }
                (b'D', _) => return Ok((Disposition::Pass, false)),
                (b'G', Due::Flight { extended, .. }) => {
                    self.copy_to_refuse = Some(extended);
                    Disposition::Drop
                }
                (b'2', Due::Flight { columns, .. }) => {
                    self.columns_due = columns;
                    Disposition::Drop
                }
                (b'1' | b'2' | b'3' | b'n' | b's' | b'H' | b'd' | b'c', due) if due.is_of_flight() => Disposition::Drop,
                (_, due) if due.is_added() => return Ok((Disposition::Drop, false)),
                (b'C', Due::Reset) => return Ok((Disposition::Pass, false)),
                (b'Z', Due::Reset) => {
                    conversation.session_state.note_reset_answered();
                    Disposition::Pass
                }
                (_, Due::Parsed) => {
                    conversation.unnamed.parse_answered();
                    Disposition::Pass
                }
                (_, Due::ColumnsAgain) => Disposition::Hold,
                (b'C' | b'I', Due::Lookup) => {
                    conversation.type_depth.lookup_answered();
                    Disposition::Pass
                }
                _ => Disposition::Pass,
            },
        };
        let keeps = match kind {
            b'C' | b'Z' => true,
            b'T' | b'n' | b't' => {
                listens || disposition == Disposition::Hold || conversation.unnamed.wants_description()
            }
            b'I' | b'G' | b'H' | b's' => listens,
            b'1' | b'2' => listens && disposition == Disposition::Drop,
            _ => false,
        };
        Ok((disposition, keeps))
    }

    /// A message whose body was needed is complete. Returns whether it goes on, if its body decides.
    fn end_message(
        &mut self,
        kind: u8,
        body: &[u8],
        disposition: Disposition,
        conversation: &mut Conversation,
    ) -> io::Result<bool> {
        if self.is_direct && !matches!(kind, b'C' | b'Z') {
            return end_direct(kind, body, conversation);
        }
        match kind {
            b'S' => conversation.session_state.note_parameter(body, !self.ready).map_err(violation)?,
            b'K' => {
                if let Some([p0, p1, p2, p3, s0, s1, s2, s3]) = body.first_chunk() {
                    let state = &conversation.session_state;
                    state.pid.store(u32::from_be_bytes([*p0, *p1, *p2, *p3]), Ordering::Relaxed);
                    state.secret.store(u32::from_be_bytes([*s0, *s1, *s2, *s3]), Ordering::Relaxed);
                }
            }
            b'R' => {
                if let Some(gate) = &mut self.gate {
                    gate(body)?;
                }
            }
            b'D' => conversation.type_depth.row_received(body).map_err(violation)?,
            b'C' => {
                (self.replaced, self.skips_rows) = (false, false);
                conversation.session_state.note_completed();
                conversation.session_state.rolled_back.store(body == b"ROLLBACK\0", Ordering::Relaxed);
                if matches!(body, b"DEALLOCATE ALL\0" | b"DISCARD ALL\0") {
                    conversation.session_state.note_deallocated();
                }
                if changes_session(body) {
                    conversation.session_state.note_change();
                }
            }
            b'Z' => {
                let is_status = if self.ready { matches!(body, b"I" | b"T" | b"E") } else { body == b"I" };
                if !is_status {
                    return Err(violation("the server is ready in a state that cannot be".into()));
                }
                self.ready = true;
                (self.replaced, self.skips_rows) = (false, false);
                self.simple_rows = 0;
                conversation.session_state.set_in_block(body != b"I");
                let flights = conversation.session_state.flights.load(Ordering::Relaxed);
                conversation.session_state.flights.store(flights.saturating_sub(1), Ordering::Relaxed);
            }
            b't' => conversation.unnamed.set_parameters(body),
            b'T' | b'n' if disposition == Disposition::Hold => {
                if !conversation.unnamed.has_same_columns(body) {
                    self.skips_rows = true;
                    self.held.extend_from_slice(&error_response(COLUMNS_CHANGED, "the columns have changed"));
                }
                return Ok(false);
            }
            b'T' | b'n' if disposition != Disposition::Drop => conversation.unnamed.set_columns(body),
            _ => {}
        }
        if self.is_direct {
            return end_direct(kind, body, conversation);
        }
        if conversation.responses.is_listening() {
            conversation.responses.message_received(kind, body);
        }
        Ok(true)
    }

    /// Puts an error in place of a row of this length.
    fn replace(&mut self, length: usize) {
        if !std::mem::replace(&mut self.replaced, true) {
            let message = format!("a row of {} bytes", length - 4);
            self.held.extend_from_slice(&error_response(TOO_LARGE, &message));
        }
    }
}
