//! A statement whose result arrives as the bytes of the binary format. tokio-postgres can send it: Parse, Bind, Describe,
//! Execute and Sync in one flight, with parameters whose types the server infers.

use std::pin::pin;

use bytes::{BufMut, BytesMut};
use futures_util::StreamExt;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type};

use crate::codec::{Decoder, Packer, Param, columns_of, read_params};
use crate::error::ClientError;
use crate::protocol::response_observer::ResponseListener;
use crate::query::collect::{fills_piece, is_too_large};
use crate::query::pinned::command::FlightCall;
use crate::query::pinned::results::{FlightFailure, tag_news};
use crate::query::pinned::{Columns, Pinned};
use crate::query::promise::Finished;
use crate::query::rows::Raw;

/// A parameter as JavaScript wrote it: a text, bytes, or NULL.
#[derive(Debug)]
struct Given(Option<(bool, Vec<u8>)>);

impl ToSql for Given {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.0 {
            None => IsNull::Yes,
            Some((_, bytes)) => {
                out.put_slice(bytes);
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        if matches!(self.0, Some((true, _))) { Format::Binary } else { Format::Text }
    }
}

impl Pinned {
    /// Runs the statement, and sends its rows to JavaScript.
    pub(super) async fn binary_results(
        &self,
        call: &mut FlightCall,
        responses: &ResponseListener,
    ) -> Result<Finished, FlightFailure> {
        let client = &self.session.conn.client;
        let params = read_params(&call.params, call.count)
            .map_err(|error| FlightFailure::Client(ClientError::InvalidParam(format!("parameters: {error}"))))?;
        // The type that leaves it to the server (PostgreSQL docs, 54.7 "Message Formats", Parse).
        let inferred = Type::new("unknown".to_owned(), 0, Kind::Simple, "pg_catalog".to_owned());
        let params: Vec<_> = params
            .iter()
            .map(|param| match param {
                Param::String(text) => Given(Some((false, text.as_bytes().to_vec()))),
                Param::Bytes(bytes) => Given(Some((true, bytes.to_vec()))),
                _ => Given(None),
            })
            .map(|param| (param, inferred.clone()))
            .collect();
        let mut rows = pin!(client.query_typed_raw(&call.text.sql, params).await.map_err(FlightFailure::Postgres)?);
        let columns = self.binary_columns(responses);
        let (mut packer, mut packed) = (Packer::default(), 0);
        while let Some(row) = rows.next().await {
            let row = match row {
                Ok(row) => row,
                Err(error) if is_too_large(&error) => {
                    let limit = self.context.result_limit();
                    let outcome = crate::error::Outcome::Unknown;
                    return Err(FlightFailure::Client(ClientError::TooLarge { limit, outcome }));
                }
                Err(error) => return Err(FlightFailure::Postgres(error)),
            };
            let Some(Columns { shape, decoders, .. }) = &columns else { continue };
            let start = packer.begin_row(decoders.len());
            for (index, decoder) in decoders.iter().enumerate() {
                match row.try_get::<_, Option<Raw<'_>>>(index).ok().flatten() {
                    None => packer.set_null(start, index),
                    Some(Raw(raw)) => {
                        let slot = decoder.decode(raw, &mut packer).unwrap_or_default();
                        packer.set(start, decoders.len(), index, slot);
                    }
                }
            }
            packed += 1;
            if fills_piece(packed, &packer, &call.promise) {
                call.promise.send_rows(packed, shape.id, &mut packer).await;
                packed = 0;
            }
        }
        let row_count = rows.rows_affected().unwrap_or(0);
        tag_news(responses.take_answer(0, 0), &call.text, &call.promise);
        let shape = columns.map(|columns| columns.shape);
        Ok(Finished { rows: packed, shape, row_count, packer, ..Finished::default() })
    }

    /// The columns of the result, all as bytes; None: it has no rows.
    fn binary_columns(&self, responses: &ResponseListener) -> Option<Columns> {
        Some(Columns::new(columns_of(&responses.columns(0, 0)?)?, |_| Decoder::Unknown, &self.context.shapes))
    }
}
