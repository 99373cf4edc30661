//! The numbers in which JavaScript and the core talk: operations, flags, kinds of messages, sizes of heads.
//!
//! lib/core/numbers.js has the same table, and test/unit/numbers.test.js compares it with the JSON of [`table`].

use serde_json::{Value, json};

use crate::engine::{BATCH_WORDS, HEAD_WORDS, Kind, MESSAGE_ANEW, MESSAGE_STRUCTURE};

/// Raise it, here and in lib/core/numbers.js, with every change of this table, of what its members mean, or of the add-on's
/// classes: the main package and the add-on are two packages, and an install may mix their versions.
const PROTOCOL_VERSION: u32 = 12;

/// Declares the enum, and a table of its members by name.
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
    /// Forget statement number `statement`.
    Forget = 2,
    /// Run a statement; the payload is its parameters.
    Query = 3,
    /// Begin transaction number `transaction`; the payload is the SQL.
    Begin = 4,
    /// End transaction number `transaction`: COMMIT, or PREPARE TRANSACTION if the payload is its SQL.
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
    /// Load a table, which the payload names as JSON.
    Load = 12,
    /// Data of load number `id`: the values of `count` rows, or bytes that are sent unchanged.
    Data = 13,
    /// The data of load number `id` is complete, or (with [`FAILED`]) is to be discarded.
    EndData = 14,
    /// Unload a table or query; the payload is the SQL.
    Unload = 15,
    /// Listen to the channel that is the payload.
    Listen = 16,
    /// Stop listening to the channel that is the payload.
    Unlisten = 17,
    /// Run a script by the simple protocol; the payload is its definition, as that of a statement.
    Script = 18,
    /// Whether JavaScript listens to notices: `count` is 1, or 0.
    Notices = 19,
    /// Commit or roll back a prepared transaction; the payload is the SQL.
    EndPrepared = 20,
    /// Pin a session: number `transaction` is its own from then on, until a Rollback of that number closes it.
    Pin = 21,
    /// Run statement number `statement` on a pinned session; the payload is its parameters: texts, bytes and nulls.
    Flight = 22,
    /// Read `extra` more rows of the portal of a pinned session.
    Fetch = 23,
    /// Close the portal of a pinned session.
    ClosePortal = 24,
    /// Ask the node of a pinned session whether it still accepts writes.
    Check = 25,
}

impl Operation {
    pub(super) fn of(number: i32) -> Option<Self> {
        OPERATIONS.iter().map(|(_, operation)| *operation).find(|operation| *operation as i32 == number)
    }
}

/// The caller declared that the statement only reads.
pub(super) const READ_ONLY: i32 = 1;
/// The work has a signal.
pub(super) const HAS_SIGNAL: i32 = 2;
/// The transaction belongs to a callback, which ends it.
pub(super) const MANAGED: i32 = 4;
/// The password function failed, and the payload is the reason; or the source of a load failed.
pub(super) const FAILED: i32 = 8;
/// The rows are delivered as they come, in pieces of `extra` rows at most.
pub(super) const STREAM: i32 = 16;
/// The statement is not run: its caller asks for the types of its parameters.
pub(super) const DESCRIBE: i32 = 32;
/// The statement is a read of `pool.read`: a standby answers it if one is fit.
pub(super) const READ: i32 = 64;
/// The answer brings a consistency token, as the text of a grant ahead of its end.
pub(super) const TOKEN: i32 = 128;
/// The payload begins with options of the read; see `Frame::read_options`.
pub(super) const READ_OPTIONS: i32 = 256;
/// The statement runs on the primary, whatever the pool's mode.
pub(super) const PRIMARY: i32 = 512;
/// The flight is a text for the simple protocol.
pub(super) const SIMPLE: i32 = 1024;
/// The first parameter of the flight is the name under which its statement is prepared.
pub(super) const NAMED: i32 = 2048;
/// The flight opens a portal, and reads `extra` rows of it.
pub(super) const PORTAL: i32 = 4096;
/// The result of the flight arrives as the bytes of the binary format.
pub(super) const BINARY: i32 = 8192;
/// The flight may be sent together with others.
pub(super) const PIPELINED: i32 = 16384;
/// A BEGIN goes ahead of the flight's statement.
pub(super) const BEGINS: i32 = 32768;
/// The statement is the client's own (SAVEPOINT): it is no query of a caller for the counts of the pool. The cancel is the
/// client's own: the reader of the stream has left, so nobody gets the error.
pub(super) const OWN: i32 = 65536;
/// The statement is the last one of its transaction: COMMIT goes with it.
pub(super) const COMMITS: i32 = 131_072;

const FLAGS: &[(&str, i32)] = &[
    ("ReadOnly", READ_ONLY),
    ("HasSignal", HAS_SIGNAL),
    ("Managed", MANAGED),
    ("Failed", FAILED),
    ("Stream", STREAM),
    ("Describe", DESCRIBE),
    ("Read", READ),
    ("Token", TOKEN),
    ("ReadOptions", READ_OPTIONS),
    ("Primary", PRIMARY),
    ("Simple", SIMPLE),
    ("Named", NAMED),
    ("Portal", PORTAL),
    ("Binary", BINARY),
    ("Pipelined", PIPELINED),
    ("Begins", BEGINS),
    ("Own", OWN),
    ("Commits", COMMITS),
];

/// The flags among these that have no meaning.
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
