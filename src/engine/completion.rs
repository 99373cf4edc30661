//! The queue of finished work, from the I/O thread to one JavaScript environment.
//!
//! Results are appended to packed [`CompletionBatch`]es; the first one after a drain wakes JavaScript once, and one
//! drain settles everything that is ready.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::engine::{ADAPTIVE_SPIN, Packed, lock};

/// The kind of a message in the completion queue; lib/core/numbers.js has the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Kind {
    /// The statement is finished: its last rows, and the number of its rows in all.
    Done = 0,
    /// Some rows; more follow.
    Rows = 1,
    /// The statement failed; the text is the error as JSON.
    Error = 2,
    /// A new row shape; the text describes its columns as JSON. Always comes before its first use.
    Shape = 3,
    /// No statement uses this shape any more.
    ForgetShape = 4,
    /// An event of a pool (`id` is the pool), as JSON.
    Event = 5,
    /// A new connection needs a password (`id` is the pool, `n` the number of the request).
    Password = 6,
    /// A new shape of JSON objects, number `shape`; the text describes it as JSON. Always comes before its first use.
    JsonShape = 7,
    /// A load may send `rows` pieces more; `row_count` bytes have gone to the server. The text of a load's first grant
    /// names the columns.
    Grant = 8,
    /// `rows` bytes of an unload.
    Bytes = 9,
}

impl Kind {
    /// All of them, by their names.
    pub(crate) const ALL: &[(&str, Self)] = &[
        ("Done", Self::Done),
        ("Rows", Self::Rows),
        ("Error", Self::Error),
        ("Shape", Self::Shape),
        ("ForgetShape", Self::ForgetShape),
        ("Event", Self::Event),
        ("Password", Self::Password),
        ("JsonShape", Self::JsonShape),
        ("Grant", Self::Grant),
        ("Bytes", Self::Bytes),
    ];
}

/// One message; the queue adds its place in the batch's buffers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) id: u32,
    /// The rows of the statement's earlier messages do not count: it runs again.
    pub(crate) anew: bool,
    /// The statement takes objects by their members, not as JSON.
    pub(crate) structure: bool,
    /// Rows in this message.
    pub(crate) rows: u32,
    pub(crate) shape: u32,
    /// Rows the statement returned or changed in all; with [`Kind::Done`].
    pub(crate) row_count: u64,
    /// Index of the node that served the statement; -1: none did.
    pub(crate) node: i32,
    /// How long the work waited for a connection, in microseconds; with [`Kind::Done`] and [`Kind::Error`].
    pub(crate) waited_us: u32,
}

impl Message {
    pub(crate) fn new(kind: Kind, id: u32) -> Self {
        Self { kind, id, anew: false, structure: false, rows: 0, shape: 0, row_count: 0, node: -1, waited_us: 0 }
    }
}

/// The bit for [`Message::anew`] in a head's first word.
pub(crate) const MESSAGE_ANEW: i32 = 256;
/// The bit for [`Message::structure`] in a head's first word.
pub(crate) const MESSAGE_STRUCTURE: i32 = 512;
/// Words (i32) of a message's head in the batch; see `write_to`.
pub(crate) const HEAD_WORDS: usize = 13;
/// Words of a batch's own head.
pub(crate) const BATCH_WORDS: usize = 8;
/// Small results are merged up to this size. A JavaScript string that is cut out of a batch's text keeps that whole
/// text alive, so this is also how much memory one kept value can pin.
const MERGE_BYTES: usize = 8 << 10;
/// So many buffers are kept for the next contents, of at most so many bytes each: a buffer that grows from nothing is copied
/// several times.
const SPARES: usize = 8;
const SPARE_BYTES: usize = 128 << 10;
/// Producers wait while more bytes than this are undelivered: it bounds the memory that a slow JavaScript thread costs.
const HIGH_WATER: usize = 4 << 20;

#[derive(Debug, Default)]
struct CompletionBatch {
    heads: Vec<i32>,
    contents: Packed,
}

impl CompletionBatch {
    fn push(&mut self, message: &Message, contents: &Packed) {
        self.head(message, contents.utf16);
        self.contents.append(contents);
    }

    fn head(&mut self, message: &Message, text: u32) {
        let at = &self.contents;
        self.heads.extend_from_slice(&[
            message.kind as i32
                | if message.anew { MESSAGE_ANEW } else { 0 }
                | if message.structure { MESSAGE_STRUCTURE } else { 0 },
            message.id as i32,
            message.rows as i32,
            message.shape as i32,
            at.slots.len() as i32,
            at.aux.len() as i32,
            at.utf16 as i32,
            at.bin.len() as i32,
            message.row_count as i32,
            (message.row_count >> 32) as i32,
            text as i32,
            message.node,
            message.waited_us as i32,
        ]);
    }

    fn byte_len(&self) -> usize {
        self.heads.len() * 4 + self.contents.byte_len()
    }

    fn encoded_len(&self) -> usize {
        let heads = (BATCH_WORDS + self.heads.len()).next_multiple_of(2) * 4;
        heads + self.contents.byte_len()
    }

    /// Layout: batch head, message heads, slots, aux, bin, text. The batch head says where each begins.
    fn write_to(&self, target: &mut [u8]) {
        let Packed { slots, aux, bin, text, utf16 } = &self.contents;
        let slots_at = (BATCH_WORDS + self.heads.len()).next_multiple_of(2) * 4;
        let aux_at = slots_at + slots.len() * 8;
        let bin_at = aux_at + aux.len() * 8;
        let text_at = bin_at + bin.len();
        let ascii = *utf16 as usize == text.len();
        let head = [
            (self.heads.len() / HEAD_WORDS) as i32,
            (slots_at / 8) as i32,
            (aux_at / 8) as i32,
            bin_at as i32,
            text_at as i32,
            text.len() as i32,
            i32::from(ascii),
            0,
        ];
        for (place, word) in target.chunks_exact_mut(4).zip(head.iter().chain(&self.heads)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        for (place, word) in target[slots_at..bin_at].chunks_exact_mut(8).zip(slots.iter().chain(aux)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        target[bin_at..text_at].copy_from_slice(bin);
        target[text_at..text_at + text.len()].copy_from_slice(text);
    }
}

#[derive(Debug, Default)]
struct Queue {
    current: CompletionBatch,
    full: VecDeque<CompletionBatch>,
    spare: Option<CompletionBatch>,
    spares: Vec<Packed>,
    bytes: usize,
    signalled: bool,
    closed: bool,
}

/// Finished work on its way to one JavaScript environment.
pub(crate) struct CompletionQueue {
    queue: Mutex<Queue>,
    /// Tells [`CompletionQueue::announce`] to wake JavaScript.
    ready: Notify,
    /// JavaScript has caught up.
    room: Notify,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for CompletionQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompletionQueue").finish_non_exhaustive()
    }
}

/// What [`CompletionQueue::take_into`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The queue is empty; the next push wakes JavaScript again.
    Nothing,
    /// A batch was written.
    Batch,
    /// The next batch needs a buffer of this many bytes; nothing was taken.
    NeedsBytes(usize),
}

impl CompletionQueue {
    /// `wake` must make the environment call [`Self::take_into`] soon, on its own thread.
    pub(crate) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { queue: Mutex::default(), ready: Notify::new(), room: Notify::new(), wake }
    }

    /// Appends a message and leaves `contents` empty. Large contents become a batch of their own without being copied.
    pub(crate) fn push(&self, message: &Message, contents: &mut Packed) {
        let mut queue = lock(&self.queue);
        queue.append(message, contents);
        self.note_ready(&mut queue);
    }

    /// Like [`Self::push`], for the last contents of their owner.
    pub(crate) fn push_last(&self, message: &Message, mut contents: Packed) {
        let mut queue = lock(&self.queue);
        queue.append(message, &mut contents);
        queue.keep(contents);
        self.note_ready(&mut queue);
    }

    /// An empty buffer, which may have room already.
    pub(crate) fn spare(&self) -> Packed {
        lock(&self.queue).spares.pop().unwrap_or_default()
    }

    fn note_ready(&self, queue: &mut Queue) {
        if !queue.closed && !std::mem::replace(&mut queue.signalled, true) {
            self.ready.notify_one();
        }
    }

    /// Wakes JavaScript when there is something to take, until the environment is gone. What becomes ready together
    /// wakes JavaScript once: this task runs after the tasks that were ready before it.
    pub(crate) async fn announce(&self) {
        loop {
            self.ready.notified().await;
            if lock(&self.queue).closed {
                return;
            }
            ADAPTIVE_SPIN.note_activity();
            (self.wake)();
        }
    }

    /// Appends a message whose contents are a text, usually JSON.
    pub(crate) fn push_text(&self, message: &Message, text: String) {
        let utf16 = text.encode_utf16().count() as u32;
        self.push(message, &mut Packed { text: text.into_bytes(), utf16, ..Packed::default() });
    }

    /// Resolves when the queue may take more rows.
    pub(crate) async fn has_room(&self) {
        loop {
            let notified = self.room.notified();
            if !self.is_full() {
                return;
            }
            notified.await;
        }
    }

    /// Whether producers should wait: JavaScript is behind.
    pub(crate) fn is_full(&self) -> bool {
        let queue = lock(&self.queue);
        queue.bytes >= HIGH_WATER && !queue.closed
    }

    /// Writes the oldest batch into `target`, on the JavaScript thread.
    pub(crate) fn take_into(&self, target: &mut [u8]) -> Taken {
        let mut queue = lock(&self.queue);
        if queue.full.is_empty() {
            if queue.current.heads.is_empty() {
                queue.signalled = false;
                return Taken::Nothing;
            }
            queue.rotate();
        }
        let Some(batch) = queue.full.front() else { return Taken::Nothing };
        let needed = batch.encoded_len();
        if needed > target.len() {
            return Taken::NeedsBytes(needed);
        }
        let Some(mut batch) = queue.full.pop_front() else { return Taken::Nothing };
        queue.bytes = queue.bytes.saturating_sub(batch.contents.byte_len());
        let room = queue.bytes < HIGH_WATER;
        drop(queue);
        batch.write_to(target);
        batch.heads.clear();
        batch.contents.clear();
        let mut queue = lock(&self.queue);
        if queue.spare.is_none() && batch.contents.capacity() <= SPARE_BYTES {
            queue.spare = Some(batch);
        } else {
            queue.keep(batch.contents);
        }
        drop(queue);
        if room {
            self.room.notify_waiters();
        }
        Taken::Batch
    }

    /// Drops what is queued and ignores later messages: the environment is gone.
    pub(crate) fn close(&self) {
        let mut queue = lock(&self.queue);
        *queue = Queue { closed: true, ..Queue::default() };
        drop(queue);
        self.ready.notify_one();
        self.room.notify_waiters();
    }
}

impl Queue {
    /// Appends a message and leaves `contents` empty.
    fn append(&mut self, message: &Message, contents: &mut Packed) {
        if self.closed {
            return contents.clear();
        }
        let size = contents.byte_len();
        let large = size > MERGE_BYTES / 2;
        let over = self.current.byte_len() + size > MERGE_BYTES;
        if (large || over) && !self.current.heads.is_empty() {
            self.rotate();
        }
        self.bytes += size;
        if large {
            let mut batch = CompletionBatch::default();
            batch.head(message, contents.utf16);
            batch.contents = std::mem::replace(contents, self.spares.pop().unwrap_or_default());
            self.full.push_back(batch);
        } else {
            self.current.push(message, contents);
            contents.clear();
        }
    }

    /// Keeps an empty buffer.
    fn keep(&mut self, contents: Packed) {
        if self.spares.len() < SPARES && (1..=SPARE_BYTES).contains(&contents.capacity()) {
            self.spares.push(contents);
        }
    }

    fn rotate(&mut self) {
        let fresh = self.spare.take().unwrap_or_default();
        let done = std::mem::replace(&mut self.current, fresh);
        self.full.push_back(done);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;

    use super::*;

    fn words(bytes: &[u8]) -> Vec<i32> {
        bytes.chunks_exact(4).map(|w| i32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect()
    }

    fn queue() -> (CompletionQueue, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counter = wakes.clone();
        let wake = move || {
            counter.fetch_add(1, Ordering::SeqCst);
        };
        (CompletionQueue::new(Box::new(wake)), wakes)
    }

    /// Lets the announcing task run once.
    fn announce(queue: &CompletionQueue) {
        assert!(queue.announce().now_or_never().is_none(), "the task goes on until the queue is closed");
    }

    #[test]
    fn many_small_messages_wake_once_and_arrive_as_one_batch() {
        let (queue, wakes) = queue();
        for id in 0..5 {
            queue.push_text(&Message::new(Kind::Done, id), format!("text {id}"));
        }
        let mut target = vec![0; 4096];
        assert_eq!(queue.take_into(&mut target), Taken::Batch);
        let head = words(&target);
        assert_eq!(head[0], 5);
        assert_eq!(head[5], 30);
        assert_eq!(head[6], 1, "all ASCII");
        let third = &head[BATCH_WORDS + 2 * HEAD_WORDS..];
        assert_eq!((third[1], third[6], third[10]), (2, 12, 6));
        assert_eq!(queue.take_into(&mut target), Taken::Nothing);
        announce(&queue);
        announce(&queue);
        assert_eq!(wakes.load(Ordering::SeqCst), 1);
        queue.push_text(&Message::new(Kind::Done, 9), String::new());
        announce(&queue);
        assert_eq!(wakes.load(Ordering::SeqCst), 2);
        queue.push_text(&Message::new(Kind::Done, 10), String::new());
        announce(&queue);
        assert_eq!(wakes.load(Ordering::SeqCst), 2, "JavaScript has been woken, and has not taken anything yet");
    }

    #[test]
    fn a_large_message_is_its_own_batch_and_keeps_its_place() {
        let (queue, _) = queue();
        queue.push_text(&Message::new(Kind::Done, 1), "a".into());
        queue.push_text(&Message::new(Kind::Rows, 2), "b".repeat(5_000));
        queue.push_text(&Message::new(Kind::Done, 3), "c".into());
        let mut target = vec![0; 1000];
        assert_eq!(queue.take_into(&mut target), Taken::Batch);
        let Taken::NeedsBytes(needed) = queue.take_into(&mut target) else { panic!("it does not fit") };
        let mut large = vec![0; needed];
        assert_eq!(queue.take_into(&mut large), Taken::Batch);
        assert_eq!(words(&large)[BATCH_WORDS + 1], 2);
        assert_eq!(queue.take_into(&mut target), Taken::Batch);
        assert_eq!(words(&target)[BATCH_WORDS + 1], 3);
    }

    #[test]
    fn text_outside_ascii_is_measured_in_utf16() {
        let (queue, _) = queue();
        queue.push_text(&Message::new(Kind::Error, 1), "\u{1F600}é".into());
        let mut target = vec![0; 1000];
        queue.take_into(&mut target);
        let head = words(&target);
        assert_eq!((head[5], head[6], head[BATCH_WORDS + 10]), (6, 0, 3));
    }
}
