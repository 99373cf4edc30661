//! The results of a script: looks up the types of their columns and sends the rows to JavaScript.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::SimpleQueryRow;
use tokio_postgres::types::{Kind, Type};

use crate::codec::{Catalog, DecodeError, Decoder, Described, Packer, Types, columns_of};
use crate::engine::lock;
use crate::error::ClientError;
use crate::pool::prepared::{Field, Shape};
use crate::pool::session::Session;
use crate::protocol::response_observer::Answers;
use crate::query::Context;
use crate::query::promise::{Finished, Promise};
use crate::query::type_lookup::{catalog_with, type_of};

/// Packed bytes after which rows are sent to JavaScript.
const PIECE: usize = 32 << 10;

/// The rows of a result, and the number of rows returned or changed.
pub(super) type Returned = (Vec<SimpleQueryRow>, u64);

const EXISTING: &str = "SELECT oid FROM pg_catalog.pg_type WHERE oid = ANY ($1)";

/// The types of a script's results.
#[derive(Default)]
pub(super) struct KnownTypes {
    types: HashMap<u32, Type>,
    catalog: Arc<Catalog>,
}

/// Looks up the types of all results that still exist: a script may have dropped or changed them.
pub(super) async fn known_types(session: &Session, answers: &Answers) -> Result<KnownTypes, tokio_postgres::Error> {
    let described = answers.results.iter().filter_map(|answer| columns_of(answer.columns.as_deref()?)).flatten();
    let mut foreign: Vec<u32> =
        described.map(|column| column.type_oid).filter(|&oid| Type::from_oid(oid).is_none()).collect();
    foreign.sort_unstable();
    foreign.dedup();
    let mut types = HashMap::new();
    if foreign.is_empty() {
        return Ok(KnownTypes { types, catalog: lock(&session.catalog).clone() });
    }
    let client = &session.conn.client;
    client.clear_type_cache();
    for row in client.query_typed(EXISTING, &[(&foreign, Type::OID_ARRAY)]).await? {
        let oid = row.try_get(0)?;
        types.insert(oid, type_of(client, oid).await?);
    }
    let all: Vec<Type> = types.values().cloned().collect();
    Ok(KnownTypes { catalog: catalog_with(session, &all).await?, types })
}

/// Sends all results to JavaScript.
pub(super) async fn send_results(
    context: &Context,
    answers: &Answers,
    results: Vec<Returned>,
    types: Option<&Types>,
    known: &KnownTypes,
    promise: &mut Promise,
) -> Result<Finished, ClientError> {
    let types = types.unwrap_or(&context.types);
    let gone = Type::new("unknown".to_owned(), 0, Kind::Pseudo, String::new());
    let type_of = |oid| Type::from_oid(oid).or_else(|| known.types.get(&oid).cloned()).unwrap_or_else(|| gone.clone());
    let mut shapes = Vec::new();
    for (answer, (rows, count)) in answers.results.iter().filter(|answer| !answer.tag.is_empty()).zip(results) {
        let count = count.max(rows.len() as u64);
        if let Some(body) = &answer.columns {
            let columns =
                columns_of(body).ok_or_else(|| ClientError::Internal("an unreadable RowDescription".into()))?;
            let of: Vec<Type> = columns.iter().map(|column| type_of(column.type_oid)).collect();
            let decoders: Vec<_> = of.iter().map(|ty| Decoder::for_text(ty, types, &known.catalog)).collect();
            let fields = columns.iter().zip(&of).map(|(column, ty)| Field {
                name: &column.name,
                type_oid: column.type_oid,
                type_name: ty.name(),
                type_modifier: column.type_modifier,
                table_oid: Some(column.table_oid).filter(|&oid| oid != 0),
                column_number: Some(column.column_number).filter(|&number| number != 0),
                type_size: None,
            });
            let shape = context.shapes.shape_of(fields, &decoders);
            send_rows_of(&rows, &columns, &decoders, &shape, promise).await?;
            shapes.push(shape);
        }
        promise.grant(0, count, answer.tag.clone());
    }
    Ok(Finished { held: shapes, ..Finished::default() })
}

async fn send_rows_of(
    rows: &[SimpleQueryRow],
    columns: &[Described],
    decoders: &[Decoder],
    shape: &Arc<Shape>,
    promise: &mut Promise,
) -> Result<(), ClientError> {
    let mut packer = Packer::default();
    let mut packed = 0;
    for row in rows {
        let start = packer.begin_row(decoders.len());
        for (index, decoder) in decoders.iter().enumerate() {
            let unreadable = |error: DecodeError| {
                let (column, outdated) = (columns[index].name.clone(), error == DecodeError::Changed);
                ClientError::Decode { column, reason: error.to_string(), outdated }
            };
            match row.try_get(index).map_err(|_| unreadable(DecodeError::NotUtf8))? {
                None => packer.set_null(start, index),
                Some(text) => {
                    let slot = decoder.decode(text.as_bytes(), &mut packer).map_err(unreadable)?;
                    packer.set(start, decoders.len(), index, slot);
                }
            }
        }
        packed += 1;
        if packer.byte_len() > PIECE {
            promise.send_rows(packed, shape.id, &mut packer).await;
            packed = 0;
        }
    }
    promise.send_rows(packed, shape.id, &mut packer).await;
    Ok(())
}
