//! The numbers in which JavaScript and the core talk: operations, flags, kinds of messages, sizes of heads.
//!
//! lib/core/numbers.js has the same table. test/unit/numbers.test.js compares both: the core shows its own by [`table`].

use serde_json::{Value, json};

use crate::engine::{BATCH_WORDS, HEAD_WORDS, Kind, MESSAGE_ANEW, MESSAGE_STRUCTURE};

/// Raise it, here and in lib/core/numbers.js, with every change of this table or of what its members mean: the main package and
/// the add-on are two packages, and of two versions one must not take the other's frames.
const PROTOCOL_VERSION: u32 = 2;

/// An enum, and its members by name and number.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What a frame asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operation {
            $($(#[$doc])* $name = $number,)*
        }

        const OPERATIONS: &[(&str, Operation)] = &[$((stringify!($name), Operation::$name),)*];
    };
}

operations! {
    /// The payload is the text of statement number `statement`.
    Define = 1,
    /// Statement number `statement` is not used any more.
    Forget = 2,
    /// Run a statement; the payload is its parameters.
    Query = 3,
    /// Begin transaction number `transaction`; the payload is the SQL.
    Begin = 4,
    Commit = 5,
    Rollback = 6,
    /// The signal of work number `id` fired.
    Cancel = 7,
    /// The answer to password request number `id`.
    Password = 8,
    /// Panic, for a test.
    Panic = 9,
    /// The reader of stream number `id` takes `extra` more pieces.
    Credit = 10,
    /// Run several statements in one flight; see `Frame::items`. `extra` is the length of the BEGIN ahead of them.
    Batch = 11,
    /// Load a table; the payload says, as JSON, which.
    Load = 12,
    /// Data of load number `id`: the values of `count` rows, or the bytes as they are.
    Data = 13,
    /// The data of load number `id` is complete, or (with [`FAILED`]) must not stay.
    EndData = 14,
    /// Unload; the payload is the SQL.
    Unload = 15,
    /// Listen to the channel that is the payload.
    Listen = 16,
    /// Listen no more to the channel that is the payload.
    Unlisten = 17,
    /// Run a script by the simple protocol; the payload is its text, with how its values are wanted ahead of it.
    Script = 18,
    /// Whether somebody listens to notices: `count` is 1, or 0.
    Notices = 19,
}

impl Operation {
    pub(super) fn of(number: i32) -> Option<Self> {
        OPERATIONS.iter().map(|(_, operation)| *operation).find(|operation| *operation as i32 == number)
    }
}

/// The statement is a declared read.
pub(super) const READ_ONLY: i32 = 1;
/// The work has a signal.
pub(super) const HAS_SIGNAL: i32 = 2;
/// The transaction belongs to a callback, which ends it.
pub(super) const MANAGED: i32 = 4;
/// The password function failed, and the payload says why; or the source of a load did.
pub(super) const FAILED: i32 = 8;
/// The rows are read as they come; `extra` says how many make a piece at most.
pub(super) const STREAM: i32 = 16;
/// The statement is not to be run: the types of its parameters are wanted.
pub(super) const DESCRIBE: i32 = 32;
/// The statement's route is a read: a standby if one is up, else the primary.
pub(super) const READ_ROUTE: i32 = 64;

const FLAGS: &[(&str, i32)] = &[
    ("ReadOnly", READ_ONLY),
    ("HasSignal", HAS_SIGNAL),
    ("Managed", MANAGED),
    ("Failed", FAILED),
    ("Stream", STREAM),
    ("Describe", DESCRIBE),
    ("ReadRoute", READ_ROUTE),
];

/// The flags among these that have no meaning; 0: all have one.
pub(super) fn unknown_flags(flags: i32) -> i32 {
    FLAGS.iter().fold(flags, |rest, (_, flag)| rest & !flag)
}

/// Words of a frame's head.
pub(super) const FRAME_WORDS: usize = 10;
/// Words of the head of a statement within a batch.
pub(super) const ITEM_WORDS: usize = 4;

/// The table as JSON.
pub(super) fn table() -> String {
    let object = |numbers: &mut dyn Iterator<Item = (&str, i32)>| -> Value {
        numbers.map(|(name, number)| (name.to_owned(), json!(number))).collect::<serde_json::Map<_, _>>().into()
    };
    json!({
        "protocolVersion": PROTOCOL_VERSION,
        "packageVersion": env!("CARGO_PKG_VERSION"),
        "operations": object(&mut OPERATIONS.iter().map(|(name, operation)| (*name, *operation as i32))),
        "flags": object(&mut FLAGS.iter().copied()),
        "messages": object(&mut Kind::ALL.iter().map(|(name, kind)| (*name, *kind as i32))),
        "messageFlags": { "Anew": MESSAGE_ANEW, "Structure": MESSAGE_STRUCTURE },
        "words": { "frame": FRAME_WORDS, "item": ITEM_WORDS, "batch": BATCH_WORDS, "message": HEAD_WORDS },
    })
    .to_string()
}
