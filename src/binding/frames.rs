//! The frames that JavaScript writes (lib/core/frame-writer.js): a head of ten little-endian i32 words, then a payload, padded to 8
//! bytes. The words of the head, in their order: operation, id, pool, statement, transaction, flags, number of parameters,
//! timeoutMs, payload bytes, rows in a piece of a stream (or how many more pieces its reader takes).

use crate::binding::numbers::{FRAME_WORDS, ITEM_WORDS, Operation, unknown_flags};

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

impl<'a> Frame<'a> {
    pub(super) fn has(&self, flag: i32) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.payload).into_owned()
    }

    /// The options of a read as JSON, and its parameters: a head of two words (bytes of the JSON, 0), then the JSON,
    /// padded to 8 bytes, then the parameters.
    pub(super) fn read_options(&self) -> Option<(&'a [u8], &'a [u8])> {
        let (head, rest) = self.payload.split_at_checked(8)?;
        let length = usize::try_from(word(head, 0)).ok()?;
        Some((rest.get(..length)?, rest.get(length.next_multiple_of(8)..).unwrap_or_default()))
    }

    /// A batch: the SQL of its BEGIN (empty if it has none) and its statements, each with a head of four words (id,
    /// statement, number of parameters, bytes of the parameters).
    pub(super) fn items(&self) -> Option<(String, Vec<Item<'a>>)> {
        let length = self.extra as usize;
        let begin = String::from_utf8_lossy(self.payload.get(..length)?).into_owned();
        let mut rest = self.payload.get(length.next_multiple_of(8)..)?;
        let mut items = Vec::with_capacity(self.count);
        for _ in 0..self.count {
            let (head, after) = rest.split_at_checked(ITEM_WORDS * 4)?;
            let bytes = usize::try_from(word(head, 3)).ok()?;
            let params = after.get(..bytes)?;
            let count = usize::try_from(word(head, 2)).ok()?;
            items.push(Item { id: word(head, 0) as u32, statement: word(head, 1) as u32, count, params });
            rest = &after[bytes..];
        }
        Some((begin, items))
    }
}

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

/// A frame that cannot be carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// The number of the call. None when the frame has no end: then nothing in it can be trusted.
    pub(super) id: Option<u32>,
    pub(super) reason: String,
}

/// Reads the frames of a buffer, until its end or the first frame that has no end.
pub(super) fn read(bytes: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, Unreadable>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((head, payload, after)) = split(rest) else {
            let reason = format!("the last {} bytes of a submission cannot be read as frames", rest.len());
            rest = &[];
            return Some(Err(Unreadable { id: None, reason }));
        };
        rest = after;
        Some(frame_of(head, payload))
    })
}

/// The first frame's head and payload, and what comes behind it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(FRAME_WORDS * 4)?;
    let length = usize::try_from(word(head, 8)).ok()?;
    let payload = rest.get(..length)?;
    Some((head, payload, rest.get(length.next_multiple_of(8)..).unwrap_or_default()))
}

fn frame_of<'a>(head: &[u8], payload: &'a [u8]) -> Result<Frame<'a>, Unreadable> {
    let word = |index: usize| word(head, index);
    let id = word(1) as u32;
    let unreadable = |reason| Unreadable { id: Some(id), reason };
    let operation =
        Operation::of(word(0)).ok_or_else(|| unreadable(format!("the operation {} is unknown", word(0))))?;
    let unknown = unknown_flags(word(5));
    if unknown != 0 {
        return Err(unreadable(format!("the flags {unknown:#x} are unknown")));
    }
    let negative = |index| unreadable(format!("word {index} of a frame is negative: {}", word(index)));
    Ok(Frame {
        operation,
        id,
        pool: word(2) as u32,
        statement: word(3) as u32,
        transaction: word(4) as u32,
        flags: word(5),
        count: usize::try_from(word(6)).map_err(|_| negative(6))?,
        timeout_ms: u64::try_from(word(7)).map_err(|_| negative(7))?,
        payload,
        extra: word(9) as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::numbers::{HAS_SIGNAL, READ_ONLY};

    fn frame(words: [i32; FRAME_WORDS], payload: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn frames_follow_each_other() {
        let mut bytes = frame([1, 0, 7, 3, 0, 0, 0, 0, 5, 0], b"hello");
        bytes.extend(frame([3, 42, 7, 3, 9, READ_ONLY, 2, 100, 0, 0], b""));
        let frames: Vec<_> = read(&bytes).map(|frame| frame.expect("a frame")).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].operation, frames[0].text().as_str()), (Operation::Define, "hello"));
        let query = &frames[1];
        assert_eq!((query.id, query.pool, query.transaction, query.count, query.timeout_ms), (42, 7, 9, 2, 100));
        assert!(query.has(READ_ONLY) && !query.has(HAS_SIGNAL));
    }

    #[test]
    fn an_unreadable_frame_is_reported_and_the_next_one_is_read() {
        let mut bytes = frame([77, 42, 0, 0, 0, 0, 0, 0, 3, 0], b"abc");
        bytes.extend(frame([3, 43, 0, 0, 0, 1 << 20, 0, 0, 0, 0], b""));
        bytes.extend(frame([3, 44, 0, 0, 0, 0, -1, 0, 0, 0], b""));
        bytes.extend(frame([3, 45, 0, 0, 0, 0, 0, 0, 0, 0], b""));
        let read: Vec<_> = read(&bytes).map(|frame| frame.map_err(|unreadable| unreadable.id)).collect();
        let ids: Vec<_> = read.iter().map(|frame| frame.as_ref().map(|frame| frame.id).map_err(|id| *id)).collect();
        assert_eq!(ids, [Err(Some(42)), Err(Some(43)), Err(Some(44)), Ok(45)]);
    }

    #[test]
    fn a_frame_without_an_end_ends_the_reading() {
        let truncated = &frame([3, 0, 0, 0, 0, 0, 0, 0, 100, 0], b"short")[..];
        for bytes in [&[1, 2, 3][..], &[0xFF; 80], truncated] {
            let read: Vec<_> = read(bytes).map(|frame| frame.map_err(|unreadable| unreadable.id).is_err()).collect();
            assert_eq!(read, [true]);
        }
        assert_eq!(read(b"").count(), 0);
    }
}
