//! What the server sends: split into messages, checked, and shown to the observers before tokio-postgres reads it.

mod messages;

use std::io;

use bytes::BytesMut;

use crate::protocol::conversation::Conversation;
use crate::protocol::flight::{end_of_portal, put_columns};
use crate::protocol::limits::SHORT;
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
    /// How many bytes of `held` it has read so far.
    pub(super) read: u64,
    /// Ends the connection once `held` has been read.
    pub(super) fault: Option<io::Error>,
}

fn violation(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Violation(reason))
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
    /// Reads the bytes that came. Returns how many of them go on unchanged; what follows them is in `held`. `apart`: they came
    /// into a buffer of this client, so nothing can go on in place.
    pub(super) fn receive(&mut self, chunk: &[u8], apart: bool, conversation: &mut Conversation) -> usize {
        let mut passed = Passed { chunk, in_place: 0, edited: apart };
        if let Err(fault) = self.read_messages(&mut passed, conversation) {
            self.fault = Some(fault);
        }
        passed.in_place
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
}
