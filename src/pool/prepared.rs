//! Prepared statements: their texts, the statements that each connection has prepared, and the shapes of their rows.
//!
//! The text of a statement crosses from JavaScript once; afterwards a small integer stands for it. The shape of a row
//! (names and types of its columns) crosses to JavaScript in the same way. Shapes belong to the environment, not to the
//! statement: two statements with equal columns share a shape, and one statement can have different shapes on different
//! connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use serde_json::json;
use tokio_postgres::{Column, Statement};

use crate::codec::{Catalog, DecodeError, Decoder, JsonShapes, Packer, Types, pack_document, takes_structure};
use crate::engine::{CompletionQueue, Kind, Message, lock};
use crate::protocol::result_formats::{Asked, ResultFormats};

/// A statement as the caller wrote it.
#[derive(Debug)]
pub(crate) struct StatementText {
    pub(crate) id: u32,
    pub(crate) sql: String,
    /// The option `types` of the statement. None: that of the pool.
    pub(crate) types: Option<Types>,
    pub(crate) settings_change: SettingsChange,
    /// A moving average of the statement's duration in microseconds. 0: the statement has never run.
    average_us: AtomicU32,
}

/// Which settings of its session a statement changes, by its first words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingsChange {
    None,
    /// Settings of the present transaction (SET LOCAL).
    Local,
    /// Settings of the session: a statement of another caller that is pipelined behind this one would run with them.
    Session,
}

impl SettingsChange {
    fn of(sql: &str) -> Self {
        let (first, rest) = first_word(sql);
        let second = || first_word(rest).0;
        if first.eq_ignore_ascii_case("SET") {
            let local = ["LOCAL", "TRANSACTION", "CONSTRAINTS"];
            if local.iter().any(|word| second().eq_ignore_ascii_case(word)) { Self::Local } else { Self::Session }
        } else if ["RESET", "DISCARD"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            Self::Session
        } else {
            Self::None
        }
    }
}

/// The first word of SQL after white space and comments, and the text after the word.
fn first_word(sql: &str) -> (&str, &str) {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = skip_comment(comment);
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            return rest.split_at(end);
        }
    }
}

/// The text after a comment, which may have nested comments. `rest` begins after the opening `/*`.
fn skip_comment(mut rest: &str) -> &str {
    let mut depth = 1;
    while depth > 0 {
        let Some(at) = rest.find(['*', '/']) else { return "" };
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, behind);
        } else if let Some(behind) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, behind);
        } else {
            rest = &rest[1..];
        }
    }
    rest
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Unknown,
    Quick,
    Slow,
}

/// A statement with a longer average duration gets a connection to itself, so that no other statement waits behind it.
const SLOW_US: u32 = 5_000;

impl StatementText {
    pub(crate) fn new(id: u32, sql: String, types: Option<Types>) -> Self {
        let settings_change = SettingsChange::of(&sql);
        Self { id, sql, types, settings_change, average_us: AtomicU32::new(0) }
    }

    pub(crate) fn pace(&self) -> Pace {
        match self.average_us.load(Ordering::Relaxed) {
            0 => Pace::Unknown,
            us if us > SLOW_US => Pace::Slow,
            _ => Pace::Quick,
        }
    }

    pub(crate) fn record_run(&self, us: u64) {
        let us = u32::try_from(us).unwrap_or(u32::MAX).max(1);
        let before = self.average_us.load(Ordering::Relaxed);
        let average = if before == 0 { us } else { before - before / 8 + us / 8 };
        self.average_us.store(average, Ordering::Relaxed);
    }
}

/// A statement prepared on one connection.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) statement: Statement,
    pub(crate) decoders: Vec<Decoder>,
    pub(crate) shape: Arc<Shape>,
    /// The types of parameters that are not built in.
    pub(crate) catalog: Arc<Catalog>,
    /// Whether a parameter is a structure, which JavaScript sends as the members of an object, not as JSON.
    pub(crate) takes_structure: bool,
    /// Asks the server for the text format of some columns, as long as this statement lives.
    _text_format: Option<Asked>,
}

/// The number under which JavaScript knows the names and types of a row's columns.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) id: u32,
    queue: Weak<CompletionQueue>,
}

impl Drop for Shape {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.upgrade() {
            let message = Message { shape: self.id, ..Message::new(Kind::ForgetShape, 0) };
            queue.push_text(&message, String::new());
        }
    }
}

/// The shapes that one environment knows.
#[derive(Debug)]
pub(crate) struct Shapes {
    queue: Arc<CompletionQueue>,
    known: Mutex<HashMap<String, Weak<Shape>>>,
    next: AtomicU32,
    /// The shapes of JSON objects. They are never forgotten.
    json: Mutex<JsonShapes>,
}

impl Shapes {
    pub(crate) fn new(queue: Arc<CompletionQueue>) -> Self {
        Self { queue, known: Mutex::default(), next: AtomicU32::new(1), json: Mutex::default() }
    }

    /// The shape of these columns. A new shape is sent to JavaScript at once, so that it arrives before its rows.
    pub(crate) fn shape_of<'a>(
        &self,
        columns: impl IntoIterator<Item = Field<'a>>,
        decoders: &[Decoder],
    ) -> Arc<Shape> {
        let described = describe_columns(columns, decoders);
        let mut known = lock(&self.known);
        if let Some(shape) = known.get(&described).and_then(Weak::upgrade) {
            return shape;
        }
        known.retain(|_, shape| shape.strong_count() > 0);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let shape = Arc::new(Shape { id, queue: Arc::downgrade(&self.queue) });
        known.insert(described.clone(), Arc::downgrade(&shape));
        drop(known);
        self.queue.push_text(&Message { shape: id, ..Message::new(Kind::Shape, 0) }, described);
        shape
    }

    /// Packs a JSON document. Its new shapes are sent to JavaScript at once, so that they arrive before the rows.
    pub(crate) fn pack_document(&self, raw: &[u8], packer: &mut Packer) -> Result<u64, DecodeError> {
        let mut json = lock(&self.json);
        let slot = pack_document(raw, &mut json, packer);
        for shape in json.take_new() {
            let message = Message { shape: shape.id, ..Message::new(Kind::JsonShape, 0) };
            self.queue.push_text(&message, shape.description);
        }
        slot
    }
}

/// A column of a result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    pub(crate) type_oid: u32,
    pub(crate) type_name: &'a str,
    pub(crate) type_modifier: i32,
    /// The table that the column comes from; None for an expression.
    pub(crate) table_oid: Option<u32>,
    pub(crate) column_number: Option<i16>,
}

impl<'a> From<&'a Column> for Field<'a> {
    fn from(column: &'a Column) -> Self {
        Self {
            name: column.name(),
            type_oid: column.type_().oid(),
            type_name: column.type_().name(),
            type_modifier: column.type_modifier(),
            table_oid: column.table_oid(),
            column_number: column.column_id(),
        }
    }
}

fn describe_columns<'a>(columns: impl IntoIterator<Item = Field<'a>>, decoders: &[Decoder]) -> String {
    let fields = columns.into_iter().zip(decoders).map(|(column, decoder)| {
        json!({
            "name": column.name,
            "typeOid": column.type_oid,
            "typeName": column.type_name,
            "typeModifier": column.type_modifier,
            "tableOid": column.table_oid,
            "columnNumber": column.column_number,
            "read": decoder.describe(),
        })
    });
    fields.collect::<serde_json::Value>().to_string()
}

impl Prepared {
    /// Finds a decoder for each column. Columns whose decoder reads text are asked for in the text format.
    pub(crate) fn new(
        statement: Statement,
        types: &Types,
        catalog: Arc<Catalog>,
        shapes: &Shapes,
        result_formats: &Arc<ResultFormats>,
    ) -> Self {
        let decoder = |column: &Column| Decoder::for_column(column.type_(), types, &catalog);
        let decoders: Vec<_> = statement.columns().iter().map(decoder).collect();
        let shape = shapes.shape_of(statement.columns().iter().map(Field::from), &decoders);
        let text_format = decoders
            .iter()
            .any(Decoder::reads_text)
            .then(|| result_formats.ask(name_of(&statement), decoders.iter().map(Decoder::reads_text).collect()));
        let takes_structure = statement.params().iter().any(|ty| takes_structure(ty, &catalog));
        Self { statement, decoders, shape, catalog, takes_structure, _text_format: text_format }
    }
}

/// The server's name of a statement. tokio-postgres shows it only in its debug output: `Statement { name: "s7", ...`.
pub(crate) fn name_of(statement: &Statement) -> String {
    let debug = format!("{statement:?}");
    debug.split('"').nth(1).unwrap_or_default().to_owned()
}

/// The statements that one connection has prepared. A full cache drops the least recently used one, which closes the
/// statement on the server.
#[derive(Debug)]
pub(crate) struct PreparedCache {
    capacity: usize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_id: HashMap<u32, (Arc<Prepared>, u64)>,
    uses: u64,
}

impl PreparedCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Mutex::default() }
    }

    pub(crate) fn get(&self, id: u32) -> Option<Arc<Prepared>> {
        let mut entries = lock(&self.entries);
        entries.uses += 1;
        let uses = entries.uses;
        let (prepared, used) = entries.by_id.get_mut(&id)?;
        *used = uses;
        Some(prepared.clone())
    }

    pub(crate) fn insert(&self, id: u32, prepared: Arc<Prepared>) {
        let mut entries = lock(&self.entries);
        entries.uses += 1;
        let uses = entries.uses;
        if entries.by_id.len() >= self.capacity
            && let Some(oldest) = entries.by_id.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| *id)
        {
            entries.by_id.remove(&oldest);
        }
        entries.by_id.insert(id, (prepared, uses));
    }

    /// Must be called when the types of the database have changed.
    pub(crate) fn clear(&self) {
        lock(&self.entries).by_id.clear();
    }

    pub(crate) fn remove(&self, id: u32) {
        lock(&self.entries).by_id.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_say_which_settings_change() {
        use SettingsChange::{Local, None, Session};
        let table = [
            ("SET x = 1", Session),
            ("  \n-- SELECT\n /* a /* b */ c */ set session x to 1", Session),
            ("RESET ALL", Session),
            ("DISCARD ALL", Session),
            (";SET x = 1", Session),
            ("SET LOCAL x = 1", Local),
            ("set/**/transaction read only", Local),
            ("SET CONSTRAINTS ALL DEFERRED", Local),
            ("SELECT 'SET'", None),
            ("SETTING", None),
            ("UPDATE t SET x = 1", None),
            ("/* SET", None),
            ("-- SET", None),
            ("", None),
        ];
        for (sql, change) in table {
            assert_eq!(SettingsChange::of(sql), change, "{sql}");
        }
    }

    #[test]
    fn one_slow_run_does_not_make_a_statement_slow_for_ever() {
        let text = StatementText::new(1, "select".into(), None);
        assert_eq!(text.pace(), Pace::Unknown);
        text.record_run(100);
        text.record_run(20_000);
        assert_eq!(text.pace(), Pace::Quick);
        for _ in 0..20 {
            text.record_run(20_000);
        }
        assert_eq!(text.pace(), Pace::Slow);
        for _ in 0..20 {
            text.record_run(100);
        }
        assert_eq!(text.pace(), Pace::Quick);
    }
}
