//! The statements that each connection has prepared, and the shapes of their rows.
//!
//! The shape of a row (names and types of its columns) crosses to JavaScript once; afterwards a small integer stands for
//! it. Shapes belong to the environment, not to the statement: two statements with equal columns share a shape, and one
//! statement can have different shapes on different connections.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use lru::LruCache;
use serde_json::json;
use tokio_postgres::{Column, Statement};

use crate::codec::{
    Catalog, DecodeError, Decoder, JsonShapes, Packer, Types, is_built_in, pack_document, takes_structure,
};
use crate::engine::{CompletionQueue, Kind, Message, Statistics, clock, lock};
use crate::protocol::result_formats::{Asked, ResultFormats};

/// A statement prepared on one connection.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) statement: Statement,
    /// The name that tokio-postgres has given it.
    pub(crate) name: Box<str>,
    /// For each column whether it is asked for as text; None: all are binary.
    pub(crate) text_columns: Option<Box<[bool]>>,
    pub(crate) decoders: Vec<Decoder>,
    pub(crate) shape: Arc<Shape>,
    /// The types of parameters that are not built in.
    pub(crate) catalog: Arc<Catalog>,
    /// Whether a parameter is a structure, which JavaScript sends as the members of an object, not as JSON.
    pub(crate) takes_structure: bool,
    /// The generation of the text (see `StatementText`) when it was prepared.
    generation: u32,
    /// Whether all types of its columns and parameters are built in.
    has_built_in_types: bool,
    /// When it was prepared, by `clock`.
    pub(super) since: u64,
    /// When the server last accepted the plan: how many pauses the connection had had, how many doubts there were about
    /// its names, and in which epoch that was (see `pool::names`).
    pub(super) confirmed_pauses: AtomicU64,
    pub(super) confirmed_doubts: AtomicU64,
    pub(super) confirmed_epoch: AtomicU64,
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
        if known.len() == known.capacity() {
            known.retain(|_, shape| shape.strong_count() > 0);
            // The next look at all shapes comes after as many new ones: texts whose columns differ would else pay for it each.
            let left = known.len();
            known.reserve(left);
        }
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
    /// Bytes of a value. None where the caller does not learn it: tokio-postgres does not hand it on.
    pub(crate) type_size: Option<i16>,
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
            type_size: None,
        }
    }
}

fn describe_columns<'a>(columns: impl IntoIterator<Item = Field<'a>>, decoders: &[Decoder]) -> String {
    let fields = columns.into_iter().zip(decoders).map(|(column, decoder)| {
        let mut described = json!({
            "name": column.name,
            "typeOid": column.type_oid,
            "typeName": column.type_name,
            "typeModifier": column.type_modifier,
            "tableOid": column.table_oid,
            "columnNumber": column.column_number,
            "read": decoder.describe(),
        });
        if let Some(size) = column.type_size {
            described["typeSize"] = size.into();
        }
        described
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
        generation: u32,
    ) -> Self {
        let decoder = |column: &Column| Decoder::for_column(column.type_(), types, &catalog);
        let decoders: Vec<_> = statement.columns().iter().map(decoder).collect();
        let shape = shapes.shape_of(statement.columns().iter().map(Field::from), &decoders);
        let name = name_of(&statement);
        let text_columns: Option<Box<[bool]>> =
            decoders.iter().any(Decoder::reads_text).then(|| decoders.iter().map(Decoder::reads_text).collect());
        let text_format = text_columns.as_ref().map(|text| result_formats.ask(name.clone(), text.to_vec()));
        let types = statement.columns().iter().map(Column::type_).chain(statement.params());
        let has_built_in_types = types.into_iter().all(is_built_in);
        let takes_structure = statement.params().iter().any(|ty| takes_structure(ty, &catalog));
        Self {
            statement,
            name: name.into(),
            text_columns,
            decoders,
            shape,
            catalog,
            takes_structure,
            generation,
            has_built_in_types,
            since: clock(),
            confirmed_pauses: AtomicU64::new(0),
            confirmed_doubts: AtomicU64::new(0),
            confirmed_epoch: AtomicU64::new(0),
            _text_format: text_format,
        }
    }

    pub(crate) fn has_columns(&self) -> bool {
        !self.decoders.is_empty()
    }

    /// Whether the server describes the statement as before: the same columns and the same types of parameters.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.shape.id == other.shape.id && self.statement.params() == other.statement.params()
    }

    pub(crate) fn has_built_in_types(&self) -> bool {
        self.has_built_in_types
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
    entries: Mutex<LruCache<PlanKey, Arc<Prepared>>>,
    statistics: Arc<Statistics>,
}

/// The number of a text, and the scope of its plan (see `pool::names`; 0 for a plan that serves all scopes).
type PlanKey = (u32, u64);

impl PreparedCache {
    pub(super) fn new(capacity: NonZeroUsize, statistics: Arc<Statistics>) -> Self {
        Self { entries: Mutex::new(LruCache::sparse(capacity)), statistics }
    }

    /// The plan by this key, unless the text has another generation since.
    pub(super) fn get(&self, key: PlanKey, generation: u32) -> Option<Arc<Prepared>> {
        let mut entries = lock(&self.entries);
        let prepared = entries.get(&key)?;
        if prepared.generation != generation {
            entries.pop(&key);
            return None;
        }
        Some(prepared.clone())
    }

    pub(super) fn insert(&self, key: PlanKey, prepared: Arc<Prepared>) {
        // What had the key, or has to make room. It is closed on the server when it is dropped, behind the lock.
        let dropped = lock(&self.entries).push(key, prepared);
        let evicts = dropped.is_some_and(|(other, _)| other != key);
        self.statistics.prepared_evictions.add(u64::from(evicts));
    }

    /// Must be called when the types of the database have changed.
    pub(crate) fn clear(&self) {
        lock(&self.entries).clear();
    }

    /// Removes the plans that are kept by scope.
    pub(crate) fn remove_scopes(&self) {
        lock(&self.entries).retain(|(_, scope), _| *scope == 0);
    }

    /// Removes the plans of a text in all scopes.
    pub(super) fn remove(&self, id: u32) {
        lock(&self.entries).retain(|(text, _), _| *text != id);
    }
}
