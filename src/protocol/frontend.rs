//! What the client sends: messages of tokio-postgres, noted for the responses that they ask for, and changed where
//! tokio-postgres cannot send what the client needs.
//!
//! - Some columns are asked for as text (`result_formats`): the formats in Bind are changed.
//! - The Sync of a load's first flight becomes a Flush. A server in copy mode ignores a Sync, a server that has refused
//!   to copy answers it: with the Sync that ends the load there would be one ReadyForQuery or two, and the client could
//!   not know which.
//! - A plan that may be out of date is bound behind a savepoint (`pool::plans` says why). The statement gets a portal of
//!   its own, because the RELEASE behind its Bind uses the unnamed one. If it is the last one of its transaction, COMMIT goes behind it.
//! - Behind a pooler (`prepare: false`) no statement has a name (`unnamed_statements`).
//! - A simple query that stands for a flight (`flight`) is replaced.
//! - Behind a pooler (`prepare: true`) other clients use the same names: each name gets a prefix of this process.

use std::io;
use std::sync::atomic::Ordering;

use bytes::{BufMut, BytesMut};

use crate::protocol::conversation::Conversation;
use crate::protocol::flight::is_marker;
use crate::protocol::message::{c_string, first_message, put};
use crate::protocol::pending_responses::{Due, PendingResponses};
use crate::protocol::session_state::{Naming, prefix};

/// Undoes all changes of settings. SET SESSION AUTHORIZATION DEFAULT also ends SET ROLE, which RESET ALL does not.
pub(crate) const RESET_SETTINGS: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL";

const FLUSH: [u8; 5] = [b'H', 0, 0, 0, 4];
/// The portal of a statement that is bound behind a savepoint.
const PORTAL: &[u8] = b"hyperiondb_plan\0";

/// The messages of the client: how far they are read, and what replaces them.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts of the flight that is being written")]
pub(super) struct Frontend {
    /// The first message (StartupMessage) has no type.
    started: bool,
    /// Bytes that were read here and are not written yet.
    noted: usize,
    /// The statement that this flight has parsed without a name.
    parsed: Option<String>,
    /// This flight begins a load.
    loads: bool,
    /// This flight looks up a type.
    looks_up: bool,
    /// This flight has bound a statement behind a savepoint.
    has_savepoint: bool,
    /// What is not written yet: short messages of tokio-postgres, what takes the place of others, and direct statements.
    pub(super) out: BytesMut,
    /// Bytes that `out` has held since it was empty.
    pub(super) out_held: usize,
}

/// The name of the statement that a message is about, the part of the body ahead of the name, and the part behind it.
fn statement_of(message: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let body = message.get(5..)?;
    let ahead = match message[0] {
        b'P' => 0,
        b'B' => c_string(body)?.0.len() + 1,
        // S: a statement, not a portal.
        b'D' | b'C' if body.first() == Some(&b'S') => 1,
        _ => return None,
    };
    let (name, behind) = c_string(&body[ahead..])?;
    Some((std::str::from_utf8(name).ok()?, &body[..ahead], behind))
}

/// The part of a Bind behind the statement's name, with these formats of the result's columns in place of the one that
/// tokio-postgres writes at the end: binary for all.
fn with_formats(behind: &[u8], text: &[bool]) -> Option<Vec<u8>> {
    let mut changed = behind.strip_suffix(&[0, 1, 0, 1])?.to_vec();
    changed.put_i16(i16::try_from(text.len()).ok()?);
    for &text in text {
        changed.put_i16(i16::from(!text));
    }
    Some(changed)
}

/// What is to be done with the bytes that tokio-postgres writes.
pub(super) enum Outgoing {
    /// So many bytes may be written unchanged.
    Unchanged(usize),
    /// So many bytes are replaced by those in `out`.
    Changed(usize),
}

impl Frontend {
    /// Reads what is to be written, and puts what replaces it into `out`, which goes first.
    pub(super) fn prepare(&mut self, bytes: &[u8], conversation: &mut Conversation) -> io::Result<Outgoing> {
        if !self.started {
            self.started = true;
            let length = bytes.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
            self.noted = length.min(bytes.len());
        }
        let naming = conversation.session_state.naming();
        while let Some(kind) = bytes.get(self.noted) {
            let rest = &bytes[self.noted..];
            // tokio-postgres writes whole messages. If it did not, an error would be better than a message that was not
            // checked.
            let message = first_message(rest).ok_or_else(|| io::Error::other("half a message to the server"))?;
            if self.needs_change(*kind, message, naming, conversation) {
                if self.noted > 0 {
                    break;
                }
                return Ok(Outgoing::Changed(self.change(bytes, naming, conversation)?));
            }
            self.note(message, conversation);
            self.noted += message.len();
        }
        Ok(Outgoing::Unchanged(self.noted))
    }

    /// Whether all that was noted is written, and ends with a whole request.
    pub(super) fn is_between_requests(&self, conversation: &Conversation) -> bool {
        self.noted == 0 && self.started && conversation.pending.is_between_requests()
    }

    /// So many of the unchanged bytes were written.
    pub(super) fn written(&mut self, written: usize) {
        self.noted -= written;
    }

    fn needs_change(&self, kind: u8, message: &[u8], naming: Naming, conversation: &Conversation) -> bool {
        match kind {
            b'P' | b'D' | b'C' => naming != Naming::AsTheyAre,
            b'B' => {
                naming != Naming::AsTheyAre
                    || conversation.session_state.has_savepoint()
                    || conversation.result_formats.is_asked()
                        && statement_of(message)
                            .is_some_and(|(name, ..)| conversation.result_formats.asked_for(name).is_some())
            }
            b'E' => self.has_savepoint,
            b'S' => self.loads,
            b'Q' => is_marker(message),
            _ => false,
        }
    }

    /// Notes the responses that an unchanged message asks for.
    fn note(&mut self, message: &[u8], conversation: &mut Conversation) {
        let Conversation { pending, type_depth, unnamed, .. } = conversation;
        match message[0] {
            b'P' => {
                if let Some((name, _, behind)) = statement_of(message) {
                    type_depth.parse_sent(name, behind);
                }
                pending.owe(Due::Parsed);
                unnamed.named_parse_sent();
            }
            b'B' => {
                // Neither the portal nor the statement has a name: it is not a user's.
                let is_ours = message.get(5..7) == Some(&[0, 0]);
                if (is_ours || type_depth.is_busy())
                    && let Some((name, ..)) = statement_of(message)
                {
                    self.looks_up = type_depth.bind_sent(name, message);
                }
                pending.owe(Due::Bound);
            }
            b'C' => {
                if let Some((name, ..)) = statement_of(message) {
                    type_depth.close_sent(name);
                }
                pending.owe(Due::Closed);
            }
            kind @ (b'S' | b'Q') => {
                conversation.session_state.flights.fetch_add(1, Ordering::Relaxed);
                let is_reset = message[5..].strip_suffix(b"\0") == Some(RESET_SETTINGS.as_bytes());
                if is_reset {
                    conversation.session_state.note_reset_sent();
                }
                pending.owe(match kind {
                    b'S' => Due::Ready,
                    _ if is_reset => Due::Reset,
                    _ => Due::Simple,
                });
                self.parsed = None;
                self.looks_up = false;
            }
            kind => self.note_plain(kind, pending),
        }
    }

    /// Changes the messages at the beginning of `bytes`, up to the first CopyData. Returns how many bytes they had.
    fn change(&mut self, bytes: &[u8], naming: Naming, conversation: &mut Conversation) -> io::Result<usize> {
        let mut taken = 0;
        while let Some(message) = first_message(&bytes[taken..]) {
            if message[0] == b'd' {
                break;
            }
            taken += message.len();
            self.change_one(message, naming, conversation)
                .ok_or_else(|| io::Error::other("an unknown message to the server"))?;
        }
        Ok(taken)
    }

    fn change_one(&mut self, message: &[u8], naming: Naming, conversation: &mut Conversation) -> Option<()> {
        if message[0] == b'S' && self.loads {
            self.loads = false;
            self.out.put_slice(&FLUSH);
            return Some(());
        }
        if message[0] == b'E' && std::mem::take(&mut self.has_savepoint) {
            let (_, limit) = c_string(message.get(5..)?)?;
            self.note(message, conversation);
            put(&mut self.out, b'E', &[PORTAL, limit]);
            conversation.pending.owe(Due::AddedClose);
            put(&mut self.out, b'C', &[b"P", PORTAL]);
            if conversation.session_state.take_commit() {
                self.add_command(b"COMMIT\0", &mut conversation.pending);
            }
            return Some(());
        }
        if is_marker(message) {
            return self.put_flight(conversation);
        }
        let Some((name, ahead, behind)) = statement_of(message) else {
            self.note(message, conversation);
            self.out.put_slice(message);
            return Some(());
        };
        if message[0] == b'B' && !name.is_empty() && conversation.session_state.has_savepoint() {
            conversation.session_state.use_savepoint();
            self.has_savepoint = true;
            self.add_command(b"SAVEPOINT hyperiondb_plan\0", &mut conversation.pending);
        }
        let ahead = if self.has_savepoint && message[0] == b'B' { PORTAL } else { ahead };
        let Conversation { pending, type_depth, unnamed, result_formats, .. } = conversation;
        let own_name = match naming {
            Naming::AsTheyAre => name.to_owned(),
            Naming::Prefixed if name.is_empty() => String::new(),
            Naming::Prefixed => format!("{}{name}", prefix()),
            Naming::None => String::new(),
        };
        let own = [own_name.as_bytes(), b"\0"].concat();
        let forgets = naming == Naming::None && !name.is_empty();
        match message[0] {
            b'P' => {
                type_depth.parse_sent(name, behind);
                pending.owe(Due::Parsed);
                self.parsed = None;
                if forgets {
                    let (sql, types) = c_string(behind)?;
                    unnamed.unnamed_parse_sent(name, sql, types);
                    self.parsed = Some(name.to_owned());
                } else {
                    unnamed.named_parse_sent();
                }
                put(&mut self.out, b'P', &[&own, behind]);
            }
            b'D' => {
                self.note_plain(b'D', pending);
                put(&mut self.out, b'D', &[ahead, &own]);
            }
            b'C' => {
                type_depth.close_sent(name);
                // tokio-postgres does not wait for the CloseComplete, only for the Sync behind it.
                if forgets {
                    unnamed.forget(name);
                } else {
                    pending.owe(Due::Closed);
                    put(&mut self.out, b'C', &[ahead, &own]);
                }
            }
            _ => {
                self.looks_up = type_depth.bind_sent(name, message);
                let again = unnamed.find(name).filter(|_| self.parsed.as_deref() != Some(name));
                if let Some(statement) = &again {
                    pending.owe(Due::ParsedAgain);
                    put(&mut self.out, b'P', &[b"\0", &statement.sql, statement.parameter_types()]);
                }
                pending.owe(Due::Bound);
                match result_formats.asked_for(name) {
                    Some(asked) => {
                        self.loads = asked.loads;
                        let behind =
                            if asked.text.is_empty() { behind.to_vec() } else { with_formats(behind, &asked.text)? };
                        put(&mut self.out, b'B', &[ahead, &own, &behind]);
                    }
                    None => put(&mut self.out, b'B', &[ahead, &own, behind]),
                }
                if let Some(statement) = again {
                    pending.owe(Due::ColumnsAgain);
                    put(&mut self.out, b'D', &[b"P", ahead]);
                    unnamed.parse_again_sent(statement);
                }
                if self.has_savepoint {
                    self.add_command(b"RELEASE hyperiondb_plan\0", pending);
                }
            }
        }
        Some(())
    }

    /// Puts the flight that is due in the place of a marker.
    fn put_flight(&mut self, conversation: &mut Conversation) -> Option<()> {
        let flight = conversation.session_state.take_flight()?;
        if flight.begins {
            self.add_command(b"BEGIN\0", &mut conversation.pending);
        }
        conversation.pending.owe(flight.due());
        if flight.ends_ready() {
            conversation.session_state.flights.fetch_add(1, Ordering::Relaxed);
        }
        (self.parsed, self.looks_up) = (None, false);
        self.out.put_slice(&flight.into_bytes());
        Some(())
    }

    /// Adds a command to the flight. Nobody but this layer sees the answer to it.
    fn add_command(&mut self, sql: &[u8], pending: &mut PendingResponses) {
        put(&mut self.out, b'P', &[b"\0", sql, &[0, 0]]);
        put(&mut self.out, b'B', &[&[0; 8]]);
        put(&mut self.out, b'E', &[&[0; 5]]);
        for due in [Due::AddedParse, Due::AddedBind, Due::AddedCommand] {
            pending.owe(due);
        }
    }

    /// Notes the responses to a message, whichever statement it is about.
    fn note_plain(&mut self, kind: u8, pending: &mut PendingResponses) {
        match kind {
            b'D' => {
                pending.owe(Due::Parameters);
                pending.owe(Due::Columns);
            }
            b'E' => pending.owe(if self.looks_up { Due::Lookup } else { Due::Result }),
            // CopyData, CopyDone, CopyFail, a password, Terminate.
            _ => {}
        }
    }
}
