//! What each message of the server means: whether it is due, what is done with it, and who learns of it.

use std::io;
use std::sync::atomic::Ordering;

use crate::protocol::backend::{Backend, COLUMNS_CHANGED, Disposition, TOO_LARGE, violation};
use crate::protocol::conversation::Conversation;
use crate::protocol::limits::{LOGIN, SIMPLE_ROWS, lengths};
use crate::protocol::message::{c_string, error_response};
use crate::protocol::pending_responses::{Due, Received};

/// A type byte, for a person.
fn display_type(kind: u8) -> String {
    if kind.is_ascii_graphic() { format!("'{}'", char::from(kind)) } else { format!("0x{kind:02x}") }
}

/// Whether a command with this tag may have changed the session.
fn changes_session(tag: &[u8]) -> bool {
    matches!(tag, b"SET\0" | b"RESET\0" | b"DISCARD ALL\0")
}

/// Whether a row of a direct statement is not larger than a row may be. If it is, the statement is told.
fn fits_row(length: usize, conversation: &mut Conversation) -> bool {
    let fits = conversation.row_limit.is_none_or(|limit| length - 4 <= limit);
    if !fits && let Some(answer) = conversation.answers.current() {
        answer.row_too_large();
    }
    fits
}

/// The tag of a CommandComplete. None: it is none.
fn tag_of(body: &[u8]) -> Option<&str> {
    let (tag, rest) = c_string(body)?;
    std::str::from_utf8(tag).ok().filter(|_| rest.is_empty())
}

/// Gives a message to the direct statement that it answers. It does not go on. `ahead`: bytes for tokio-postgres that came ahead of it.
fn end_direct(kind: u8, body: &[u8], ahead: u64, conversation: &mut Conversation) -> io::Result<bool> {
    let Some(answer) = conversation.answers.current() else { return Ok(false) };
    let is_readable = match kind {
        b'2' => {
            answer.begun();
            true
        }
        b'D' => answer.row(body).is_some(),
        b'C' => tag_of(body).map(|tag| answer.completed(tag)).is_some(),
        b'I' => true,
        b'E' => answer.failed(body).is_some(),
        _ => {
            conversation.answers.complete_current(ahead);
            true
        }
    };
    if is_readable {
        return Ok(false);
    }
    Err(violation(format!("the server sent a message of type {} that cannot be read", display_type(kind))))
}

impl Backend {
    /// Whether a message of this type may not go on before its length is known.
    pub(super) fn withholds(&self, kind: u8, conversation: &Conversation) -> bool {
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
    pub(super) fn begin_message(
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
                (b'D', Due::DirectResult) => return Ok((Disposition::Drop, fits_row(length, conversation))),
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
    pub(super) fn end_message(
        &mut self,
        kind: u8,
        body: &[u8],
        disposition: Disposition,
        conversation: &mut Conversation,
    ) -> io::Result<bool> {
        if self.is_direct && !matches!(kind, b'C' | b'Z') {
            return end_direct(kind, body, self.read + self.held.len() as u64, conversation);
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
            return end_direct(kind, body, self.read + self.held.len() as u64, conversation);
        }
        if conversation.responses.is_listening() {
            conversation.responses.message_received(kind, body);
        }
        Ok(true)
    }

    /// Puts an error in place of a row of this length.
    pub(super) fn replace(&mut self, length: usize) {
        if !std::mem::replace(&mut self.replaced, true) {
            let message = format!("a row of {} bytes", length - 4);
            self.held.extend_from_slice(&error_response(TOO_LARGE, &message));
        }
    }
}
