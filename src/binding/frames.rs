//! The frames JavaScript writes (lib/channel.js): a head of ten little-endian i32 words, then a payload, padded to 8 bytes.

/// Words of a frame's head, in their order: operation, id, pool, statement, transaction, flags, number of parameters,
/// timeoutMs, payload bytes, rows in a piece of a stream (or how many more pieces its reader takes).
const HEAD: usize = 10;

/// What a frame asks for; the numbers are a contract with lib/channel.js.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// The payload is the text of statement number `statement`.
    Define,
    /// Statement number `statement` is not used any more.
    Forget,
    /// Run a statement; the payload is its parameters.
    Query,
    /// Begin transaction number `transaction`; the payload is the SQL.
    Begin,
    Commit,
    Rollback,
    /// Nobody uses the transaction any more.
    Abandon,
    /// The signal of work number `id` fired.
    Cancel,
    /// The answer to password request number `id`.
    Password,
    /// End the pool.
    End,
    /// Panic, for a test.
    Panic,
    /// The reader of stream number `id` takes `extra` more pieces.
    Credit,
    /// Run several statements in one flight; see [`Frame::items`]. `extra` is the length of the BEGIN ahead of them.
    Batch,
    /// Load a table; the payload says, as JSON, which.
    Load,
    /// Data of load number `id`: the values of `count` rows, or the bytes as they are.
    Data,
    /// The data of load number `id` is complete, or (with [`FAILED`]) must not stay.
    EndData,
    /// Unload; the payload is the SQL.
    Unload,
    /// Listen to the channel that is the payload, or no more.
    Listen,
    Unlisten,
    /// Run a script by the simple protocol; the payload is its text, with how its values are wanted ahead of it.
    Script,
    /// Whether somebody listens to notices: `count` is 1, or 0.
    Notices,
}

/// The statement is a declared read.
pub(super) const READ_ONLY: i32 = 1;
/// The work has a signal.
pub(super) const HAS_SIGNAL: i32 = 2;
/// The transaction belongs to a callback, which ends it.
pub(super) const MANAGED: i32 = 4;
/// The rows are read as they come; `extra` says how many make a piece at most.
pub(super) const STREAM: i32 = 16;
/// The password function failed, and the payload says why; or a load's source did.
pub(super) const FAILED: i32 = 8;

/// The statement is not to be run: the types of its parameters are wanted.
pub(super) const DESCRIBE: i32 = 32;

/// One frame.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) operation: Operation,
    pub(super) id: u32,
    pub(super) pool: u32,
    pub(super) statement: u32,
    pub(super) transaction: u32,
    pub(super) flags: i32,
    pub(super) count: usize,
    pub(super) timeout_ms: u64,
    pub(super) payload: &'a [u8],
    pub(super) extra: u32,
}

impl Frame<'_> {
    pub(super) fn has(&self, flag: i32) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.payload).into_owned()
    }

    /// A batch: the SQL of its BEGIN, if it has one, and its statements, each with a head of four words (id, statement,
    /// number of parameters, bytes of the parameters).
    pub(super) fn items(&self) -> Option<(String, Vec<Item<'_>>)> {
        let length = self.extra as usize;
        let begin = String::from_utf8_lossy(self.payload.get(..length)?).into_owned();
        let mut rest = self.payload.get(length.next_multiple_of(8)..)?;
        let mut items = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            let (head, after) = rest.split_at_checked(ITEM_HEAD * 4)?;
            let bytes = usize::try_from(word(head, 3)).ok()?;
            let params = after.get(..bytes)?;
            let count = usize::try_from(word(head, 2)).ok()?;
            items.push(Item { id: word(head, 0) as u32, statement: word(head, 1) as u32, count, params });
            rest = &after[bytes..];
        }
        Some((begin, items))
    }
}

const ITEM_HEAD: usize = 4;

/// A statement of a batch.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) id: u32,
    pub(super) statement: u32,
    pub(super) count: usize,
    pub(super) params: &'a [u8],
}

fn word(head: &[u8], index: usize) -> i32 {
    let at = index * 4;
    i32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

/// Reads frames off a buffer, until its end or the first one that makes no sense.
pub(super) fn read(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (frame, after) = read_one(rest)?;
        rest = after;
        Some(frame)
    })
}

fn read_one(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD * 4)?;
    let word = |index: usize| word(head, index);
    let length = usize::try_from(word(8)).ok()?;
    let payload = rest.get(..length)?;
    let after = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    let frame = Frame {
        operation: operation(word(0))?,
        id: word(1) as u32,
        pool: word(2) as u32,
        statement: word(3) as u32,
        transaction: word(4) as u32,
        flags: word(5),
        count: usize::try_from(word(6)).ok()?,
        timeout_ms: u64::try_from(word(7)).ok()?,
        payload,
        extra: word(9) as u32,
    };
    Some((frame, after))
}

fn operation(number: i32) -> Option<Operation> {
    Some(match number {
        1 => Operation::Define,
        2 => Operation::Forget,
        3 => Operation::Query,
        4 => Operation::Begin,
        5 => Operation::Commit,
        6 => Operation::Rollback,
        7 => Operation::Abandon,
        8 => Operation::Cancel,
        9 => Operation::Password,
        10 => Operation::End,
        11 => Operation::Panic,
        12 => Operation::Credit,
        13 => Operation::Batch,
        14 => Operation::Load,
        15 => Operation::Data,
        16 => Operation::EndData,
        17 => Operation::Unload,
        18 => Operation::Listen,
        19 => Operation::Unlisten,
        20 => Operation::Script,
        21 => Operation::Notices,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(words: [i32; HEAD], payload: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn frames_follow_each_other() {
        let mut bytes = frame([1, 0, 7, 3, 0, 0, 0, 0, 5, 0], b"hello");
        bytes.extend(frame([3, 42, 7, 3, 9, READ_ONLY, 2, 100, 0, 0], b""));
        let frames: Vec<_> = read(&bytes).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].operation, frames[0].text().as_str()), (Operation::Define, "hello"));
        let query = &frames[1];
        assert_eq!((query.id, query.pool, query.transaction, query.count, query.timeout_ms), (42, 7, 9, 2, 100));
        assert!(query.has(READ_ONLY) && !query.has(HAS_SIGNAL));
    }

    #[test]
    fn rubbish_ends_the_reading() {
        let truncated = &frame([3, 0, 0, 0, 0, 0, 0, 0, 100, 0], b"short")[..];
        for bytes in [&b""[..], &[1, 2, 3], &[0xFF; 80], truncated] {
            assert_eq!(read(bytes).count(), 0);
        }
    }
}
