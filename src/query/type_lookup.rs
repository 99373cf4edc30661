//! Asks the server about types that are not built in, once for each connection.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Client, Error};

use crate::codec::{Catalog, Foreign};
use crate::engine::lock;
use crate::pool::session::Session;

/// Multiranges came with PostgreSQL 14: the JSON of an older server's pg_range has no such key.
const FOREIGN: &str = "\
SELECT t.oid, t.typsend <> 0, t.typdelim, r.rngtypid
FROM pg_catalog.pg_type t
LEFT JOIN pg_catalog.pg_range r ON (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.oid = t.oid
WHERE t.oid = ANY ($1)";

/// How often the types of an answer may lead to another question.
const ROUNDS: usize = 32;

/// What is known of the types of the database, with all of `types` in it.
pub(super) async fn catalog_with(session: &Session, types: &[Type]) -> Result<Arc<Catalog>, Error> {
    let mut catalog = lock(&session.catalog).clone();
    let mut types = types.to_vec();
    // A multirange leads to its range, and that to its element; a real database has no longer chain.
    for _ in 0..ROUNDS {
        let mut missing = Vec::new();
        for ty in &types {
            catalog.ask_for(ty, &mut missing);
        }
        if missing.is_empty() {
            return Ok(catalog);
        }
        let rows = session.conn.client.query_typed(FOREIGN, &[(&missing, Type::OID_ARRAY)]).await?;
        let mut found = HashMap::new();
        for row in rows {
            let oid: u32 = row.try_get(0)?;
            let range = match row.try_get::<_, Option<u32>>(3)? {
                Some(range) => Some(type_of(&session.conn.client, range).await?),
                None => None,
            };
            let delimiter = row.try_get::<_, i8>(2)? as u8;
            types.extend(range.clone());
            found.insert(oid, Foreign { sends: row.try_get(1)?, delimiter, range });
        }
        let known = Arc::make_mut(&mut catalog);
        for oid in missing {
            // A type that was dropped meanwhile is not asked for again; its values arrive as text.
            known.add(oid, found.remove(&oid).unwrap_or(Foreign { sends: false, delimiter: b',', range: None }));
        }
        *lock(&session.catalog) = catalog.clone();
    }
    Ok(catalog)
}

/// The type with this oid: tokio-postgres looks it up as the type of a parameter.
pub(super) async fn type_of(client: &Client, oid: u32) -> Result<Type, Error> {
    if let Some(ty) = Type::from_oid(oid) {
        return Ok(ty);
    }
    let unknown = Type::new(String::new(), oid, Kind::Simple, String::new());
    let statement = client.prepare_typed("SELECT $1", std::slice::from_ref(&unknown)).await?;
    Ok(statement.params().first().cloned().unwrap_or(unknown))
}
