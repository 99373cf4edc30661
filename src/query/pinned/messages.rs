//! The messages of a flight (PostgreSQL docs, 54.7 "Message Formats").

use std::borrow::Cow;
use std::sync::Arc;

use crate::codec::{Param, read_params};
use crate::error::ClientError;
use crate::protocol::flight::{Flight, FlightParam};
use crate::query::pinned::command::{FlightCall, FlightKind};
use crate::query::pinned::{Columns, Named, Pinned};

/// A flight that is ready to be sent.
#[derive(Default)]
pub(super) struct ReadyFlight {
    /// None: tokio-postgres sends the statement.
    pub(super) flight: Option<Flight>,
    /// The name of its statement.
    pub(super) name: Option<String>,
    /// The columns of its result, if the server is not asked for them.
    pub(super) columns: Option<Arc<Columns>>,
}

impl Pinned {
    /// Whether the name under which a call is to run was parsed.
    pub(super) fn knows_name(&self, call: &FlightCall) -> bool {
        let params = read_params(&call.params, call.count);
        matches!(params.as_deref(), Ok([Param::String(name), ..]) if self.names.contains_key(*name))
    }

    /// The messages of a call.
    pub(super) fn ready(&self, call: &FlightCall) -> Result<ReadyFlight, ClientError> {
        if call.is_binary {
            return Ok(ReadyFlight::default());
        }
        let invalid = |reason: String| ClientError::InvalidParam(reason);
        let text = &call.text.sql;
        let params = read_params(&call.params, call.count).map_err(|error| invalid(format!("parameters: {error}")))?;
        let mut values = params.iter();
        let (mut statement_name, mut columns) = (None, None);
        let bind = |flight: &mut Flight, name: &str, values: std::slice::Iter<'_, Param<'_>>| {
            let values: Option<Vec<FlightParam<'_>>> = values
                .map(|value| match value {
                    Param::Null => Some(None),
                    Param::String(text) => Some(Some((false, text.as_bytes()))),
                    Param::Bytes(bytes) => Some(Some((true, *bytes))),
                    _ => None,
                })
                .collect();
            let values = values.ok_or_else(|| invalid("a parameter that is no text, no Buffer and not null".into()))?;
            let count = values.len();
            if flight.bind(name, &values) {
                Ok(())
            } else {
                Err(invalid(format!("a statement takes at most 65535 parameters, {count} were given")))
            }
        };
        let flight = match call.kind {
            FlightKind::Simple => Flight::simple(text),
            FlightKind::Statement { named } => {
                let name: Cow<'_, str> = match named.then(|| values.next()).flatten() {
                    Some(Param::String(name)) => (*name).into(),
                    _ => "".into(),
                };
                let mut flight = if call.begins { Flight::begin_and_run() } else { Flight::run() };
                let named = self.names.get(&*name);
                if named.is_none() {
                    flight.parse(&name, text);
                }
                bind(&mut flight, &name, values)?;
                match named {
                    // A named statement has the same columns as long as it lives, or the server refuses to run it (plancache.c).
                    Some(Named { text, columns: Some(known) }) if *text == call.text.id => {
                        flight.answer_with_columns(known.names.len());
                        columns = Some(known.clone());
                    }
                    _ => flight.describe(),
                }
                flight.execute(0);
                statement_name = Some(name.into_owned()).filter(|name| !name.is_empty());
                flight
            }
            FlightKind::Open(rows) => {
                let mut flight = Flight::portal();
                flight.parse("", text);
                bind(&mut flight, "", values)?;
                flight.describe();
                flight.execute(rows);
                flight
            }
            FlightKind::Fetch(rows) => {
                let mut flight = Flight::portal();
                flight.describe();
                flight.execute(rows);
                flight
            }
            FlightKind::Close => {
                let mut flight = Flight::run();
                flight.close_portal();
                flight
            }
        };
        Ok(ReadyFlight { flight: Some(flight), name: statement_name, columns })
    }
}
