//! What goes out: tokio-postgres's messages, noted for what they must be answered with, and changed where it cannot say
//! what we need.
//!
//! - Some columns are asked for as text (`formats`): the formats in Bind are changed.
//! - The Sync of a load's first flight becomes a Flush. A server that copies skips a Sync, one that has refused to copy
//!   answers it: with the Sync that ends the load there would be one ReadyForQuery or two, and nobody could tell.
//! - Behind a pooler (`prepare: false`) no statement has a name: a server is another one from one transaction to the next.
//!   The text of a Parse is kept, and goes ahead of each Bind. The types of its parameters go with it, as they were found
//!   when it was parsed first; its columns are described again and must be what they were, for the rows are read by them.
//! - With a name that others have, too, a statement would be theirs (`prepare: true` behind a pooler): names get a
//!   prefix of their own.
//!
//! The messages are told apart by their type and length (PostgreSQL docs, 54.7 "Message Formats").

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use bytes::{BufMut, BytesMut};

use crate::protocol::Core;
use crate::protocol::pending_responses::{Due, PendingResponses};
use crate::protocol::session_state::{Naming, prefix};

const FLUSH: [u8; 5] = [b'H', 0, 0, 0, 4];

/// A statement that the server may have forgotten.
#[derive(Debug)]
struct Remembered {
    /// With the NUL behind it.
    sql: Vec<u8>,
    /// The types of its parameters as its Parse had them.
    given: Vec<u8>,
    /// The same as the server found them.
    parameters: OnceLock<Vec<u8>>,
    /// The body of its RowDescription, or nothing.
    columns: OnceLock<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(crate) struct Frontend {
    /// The first message (StartupMessage) has no type.
    started: bool,
    /// Bytes that were looked at and are not written yet.
    noted: usize,
    /// What this flight has parsed without a name.
    parsed: Option<String>,
    /// This flight begins a load.
    loads: bool,
    /// It looks up a type.
    looks_up: bool,
    statements: HashMap<String, Arc<Remembered>>,
    /// Statements whose Parse is not answered.
    parsing: VecDeque<Option<String>>,
    /// The one whose description is coming.
    described: Option<Arc<Remembered>>,
    /// Those that run again by their text and whose columns are not described yet.
    again: VecDeque<Arc<Remembered>>,
}

/// The first message in `bytes`, its type included; None if it is not complete.
fn first_message(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.get(1..5)?.try_into().map(u32::from_be_bytes).ok()?;
    bytes.get(..1 + length as usize)
}

fn c_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The name of the statement that a message is about, what stands ahead of it in the body, and what behind its NUL.
fn statement_of(message: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let body = message.get(5..)?;
    let ahead = match message[0] {
        b'P' => 0,
        b'B' => c_string(body)?.0.len() + 1,
        // The statement's, not a portal's.
        b'D' | b'C' if body.first() == Some(&b'S') => 1,
        _ => return None,
    };
    let (name, behind) = c_string(&body[ahead..])?;
    Some((std::str::from_utf8(name).ok()?, &body[..ahead], behind))
}

fn put(out: &mut BytesMut, kind: u8, parts: &[&[u8]]) {
    out.put_u8(kind);
    out.put_u32(4 + parts.iter().map(|part| part.len() as u32).sum::<u32>());
    for part in parts {
        out.put_slice(part);
    }
}

/// The part of a Bind behind the statement's name with other formats of the result: it ends with those that
/// tokio-postgres writes, one for all columns, and that one binary.
fn with_formats(behind: &[u8], text: &[bool]) -> Option<Vec<u8>> {
    let mut changed = behind.strip_suffix(&[0, 1, 0, 1])?.to_vec();
    changed.put_i16(i16::try_from(text.len()).ok()?);
    for &text in text {
        changed.put_i16(i16::from(!text));
    }
    Some(changed)
}

/// The body of a RowDescription without what may change while the rows are read as before: where the columns come from,
/// and the formats.
fn essence(mut columns: &[u8]) -> Option<Vec<u8>> {
    let mut essence = columns.split_off(..2).unwrap_or_default().to_vec();
    while !columns.is_empty() {
        let (name, rest) = c_string(columns)?;
        let fixed = rest.get(..18)?;
        essence.extend_from_slice(name);
        essence.push(0);
        essence.extend_from_slice(&fixed[6..16]);
        columns = &rest[18..];
    }
    Some(essence)
}

impl Frontend {
    /// A Parse was answered.
    pub(crate) fn parsed(&mut self) {
        self.described = self.parsing.pop_front().flatten().and_then(|name| self.statements.get(&name).cloned());
    }

    /// An error came instead of so many answers to Parse, and to statements that ran by their text.
    pub(crate) fn refused(&mut self, parsed: usize, again: usize) {
        self.described = None;
        for name in self.parsing.drain(..parsed.min(self.parsing.len())).flatten() {
            self.statements.remove(&name);
        }
        self.again.drain(..again.min(self.again.len()));
    }

    pub(crate) fn wants_description(&self) -> bool {
        self.described.is_some()
    }

    pub(crate) fn parameters(&mut self, body: &[u8]) {
        if let Some(statement) = &self.described {
            let _ = statement.parameters.set(body.to_vec());
        }
    }

    pub(crate) fn columns(&mut self, body: &[u8]) {
        if let Some(statement) = self.described.take() {
            let _ = statement.columns.set(body.to_vec());
        }
    }

    /// Whether the statement that runs by its text has the columns that tokio-postgres takes it to have.
    pub(crate) fn has_same_columns(&mut self, body: &[u8]) -> bool {
        let statement = self.again.pop_front();
        statement.is_none_or(|known| known.columns.get().is_none_or(|before| essence(before) == essence(body)))
    }
}

/// What has been done with the bytes that were to be written.
pub(crate) enum Written {
    /// So many may be written as they are.
    AsTheyAre(usize),
    /// Others stand for so many.
    Changed(usize),
}

impl Core {
    /// Looks at what is to be written, and changes it where it must be: into `changed`, which goes first.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> io::Result<Written> {
        if !self.frontend.started {
            self.frontend.started = true;
            let length = bytes.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
            self.frontend.noted = length.min(bytes.len());
        }
        let naming = self.session_state.naming();
        while let Some(kind) = bytes.get(self.frontend.noted) {
            let rest = &bytes[self.frontend.noted..];
            // It hands over whole messages; it is better to fail than to send what nobody has looked at.
            let message = first_message(rest).ok_or_else(|| io::Error::other("half a message to the server"))?;
            if self.needs_change(*kind, message, naming) {
                if self.frontend.noted > 0 {
                    break;
                }
                return Ok(Written::Changed(self.change(bytes, naming)?));
            }
            self.note(message);
            self.frontend.noted += message.len();
        }
        Ok(Written::AsTheyAre(self.frontend.noted))
    }

    /// So many of those that may be written as they are have been.
    pub(crate) fn gave(&mut self, written: usize) {
        self.frontend.noted -= written;
    }

    fn needs_change(&self, kind: u8, message: &[u8], naming: Naming) -> bool {
        match kind {
            b'P' | b'D' | b'C' => naming != Naming::AsTheyAre,
            b'B' => {
                naming != Naming::AsTheyAre
                    || self.result_formats.is_asked()
                        && statement_of(message).is_some_and(|(name, ..)| self.result_formats.asked_for(name).is_some())
            }
            b'S' => self.frontend.loads,
            _ => false,
        }
    }

    /// What a message that goes as it is must be answered with.
    fn note(&mut self, message: &[u8]) {
        let Self { frontend, pending, type_depth, .. } = self;
        match message[0] {
            b'P' => {
                if let Some((name, _, behind)) = statement_of(message) {
                    type_depth.parse(name, behind);
                }
                pending.owe(Due::Parsed);
                frontend.parsing.push_back(None);
            }
            b'B' => {
                // Neither a portal's name nor a statement's: it is not a user's.
                let is_ours = message.get(5..7) == Some(&[0, 0]);
                if (is_ours || type_depth.is_busy())
                    && let Some((name, ..)) = statement_of(message)
                {
                    frontend.looks_up = type_depth.bind(name, message);
                }
                pending.owe(Due::Bound);
            }
            b'C' => {
                if let Some((name, ..)) = statement_of(message) {
                    type_depth.close(name);
                }
                pending.owe(Due::Closed);
            }
            kind => {
                if matches!(kind, b'S' | b'Q') {
                    self.session_state.flights.fetch_add(1, Ordering::Relaxed);
                }
                note_plain(kind, frontend, pending);
            }
        }
    }

    /// Changes the messages at the beginning of `bytes`, up to data. Returns how many bytes they had.
    fn change(&mut self, bytes: &[u8], naming: Naming) -> io::Result<usize> {
        let mut taken = 0;
        while let Some(message) = first_message(&bytes[taken..]) {
            if message[0] == b'd' {
                break;
            }
            taken += message.len();
            self.change_one(message, naming).ok_or_else(|| io::Error::other("an unknown message to the server"))?;
        }
        Ok(taken)
    }

    fn change_one(&mut self, message: &[u8], naming: Naming) -> Option<()> {
        if message[0] == b'S' && self.frontend.loads {
            self.frontend.loads = false;
            self.changed.put_slice(&FLUSH);
            return Some(());
        }
        let Some((name, ahead, behind)) = statement_of(message) else {
            self.note(message);
            self.changed.put_slice(message);
            return Some(());
        };
        let Self { frontend, pending, type_depth, changed, result_formats, .. } = self;
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
                type_depth.parse(name, behind);
                pending.owe(Due::Parsed);
                frontend.parsing.push_back(forgets.then(|| name.to_owned()));
                frontend.parsed = None;
                if forgets {
                    let (sql, types) = c_string(behind)?;
                    let statement = Remembered {
                        sql: [sql, b"\0"].concat(),
                        given: types.to_vec(),
                        parameters: OnceLock::new(),
                        columns: OnceLock::new(),
                    };
                    frontend.statements.insert(name.to_owned(), Arc::new(statement));
                    frontend.parsed = Some(name.to_owned());
                }
                put(changed, b'P', &[&own, behind]);
            }
            b'D' => {
                note_plain(b'D', frontend, pending);
                put(changed, b'D', &[ahead, &own]);
            }
            b'C' => {
                type_depth.close(name);
                // The Sync behind it is answered, and nobody waits for more.
                if forgets {
                    frontend.statements.remove(name);
                } else {
                    pending.owe(Due::Closed);
                    put(changed, b'C', &[ahead, &own]);
                }
            }
            _ => {
                frontend.looks_up = type_depth.bind(name, message);
                let again = frontend.statements.get(name).filter(|_| frontend.parsed.as_deref() != Some(name)).cloned();
                if let Some(statement) = &again {
                    let types = statement.parameters.get().unwrap_or(&statement.given);
                    pending.owe(Due::OwnParsed);
                    put(changed, b'P', &[b"\0", &statement.sql, types]);
                }
                pending.owe(Due::Bound);
                match result_formats.asked_for(name) {
                    Some(asked) => {
                        frontend.loads = asked.loads;
                        let behind =
                            if asked.text.is_empty() { behind.to_vec() } else { with_formats(behind, &asked.text)? };
                        put(changed, b'B', &[ahead, &own, &behind]);
                    }
                    None => put(changed, b'B', &[ahead, &own, behind]),
                }
                if let Some(statement) = again {
                    pending.owe(Due::OwnColumns);
                    put(changed, b'D', &[b"P", ahead]);
                    frontend.again.push_back(statement);
                }
            }
        }
        Some(())
    }
}

fn note_plain(kind: u8, frontend: &mut Frontend, pending: &mut PendingResponses) {
    match kind {
        b'D' => {
            pending.owe(Due::Parameters);
            pending.owe(Due::Columns);
        }
        b'E' => pending.owe(if frontend.looks_up { Due::Lookup } else { Due::Result }),
        b'S' | b'Q' => {
            pending.owe(if kind == b'S' { Due::Ready } else { Due::Simple });
            frontend.parsed = None;
            frontend.looks_up = false;
        }
        // Data, its end, a password, the end of it all.
        _ => {}
    }
}
