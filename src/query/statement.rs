//! A statement with its parameters, and how the parameters are written for the server.

use std::sync::Arc;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

use crate::codec::{Catalog, Param, ParamError, Target, read_params};
use crate::error::ClientError;
use crate::pool::prepared::Prepared;
use crate::pool::statement_text::StatementText;

/// A statement with its parameters, as JavaScript wrote them.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) text: Arc<StatementText>,
    pub(crate) params: Vec<u8>,
    pub(crate) count: usize,
    /// The caller has promised that the statement changes nothing.
    pub(crate) read_only: bool,
    /// The caller asks only for the types of the parameters: the statement does not run.
    pub(crate) describe: bool,
    /// The caller asks for the position behind the statement, too.
    pub(crate) token: bool,
}

/// A parameter with its number, which an error names.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    number: usize,
    param: Param<'a>,
    catalog: &'a Catalog,
}

#[derive(Debug, thiserror::Error)]
#[error("parameter ${number}: {error}")]
pub(super) struct NumberedParamError {
    number: usize,
    error: Box<dyn std::error::Error + Sync + Send>,
}

impl Numbered<'_> {
    /// The number of the format in which it is written.
    pub(super) fn format(&self, ty: &Type) -> i16 {
        match self.param.format(ty) {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }

    pub(super) fn write(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<postgres_protocol::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.to_sql(ty, out).map(|null| match null {
            IsNull::Yes => postgres_protocol::IsNull::Yes,
            IsNull::No => postgres_protocol::IsNull::No,
        })
    }
}

impl ToSql for Numbered<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let numbered = |error| NumberedParamError { number: self.number, error }.into();
        self.param.write(Target::new(ty, self.catalog), out).map_err(|error| numbered(error.into()))
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

    fn encode_format(&self, ty: &Type) -> Format {
        self.param.format(ty)
    }
}

/// Whether the parameters can be sent.
pub(super) fn check_params(statement: &Statement, prepared: &Prepared) -> Result<(), ClientError> {
    let mut out = BytesMut::new();
    for (param, ty) in bind(statement, prepared)?.iter().zip(prepared.statement.params()) {
        param.to_sql(ty, &mut out).map_err(|error| ClientError::InvalidParam(error.to_string()))?;
        out.clear();
    }
    Ok(())
}

/// The parameters of a statement, ready to be written.
pub(super) fn bind<'a>(statement: &'a Statement, prepared: &'a Prepared) -> Result<Vec<Numbered<'a>>, ClientError> {
    let wanted = prepared.statement.params().len();
    if statement.count != wanted {
        let given = statement.count;
        return Err(ClientError::InvalidParam(format!("the statement takes {wanted} parameters, {given} were given")));
    }
    let params = read_params(&statement.params, wanted)
        .map_err(|error: ParamError| ClientError::InvalidParam(format!("parameters: {error}")))?;
    Ok(params
        .into_iter()
        .enumerate()
        .map(|(index, param)| Numbered { number: index + 1, param, catalog: &prepared.catalog })
        .collect())
}
