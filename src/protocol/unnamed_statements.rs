//! Statements that are sent without a name, for the servers behind a pooler (`prepare: false`).
//!
//! Such a server may be another one from one transaction to the next, and then does not know the statement. So its text
//! is kept here and goes ahead of each Bind, with the types of its parameters as the server found them the first time.
//! Its columns are described again and must be the same as before, because the rows are read by them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use crate::protocol::message::c_string;

/// A statement that the server may have forgotten.
#[derive(Debug)]
pub(super) struct UnnamedStatement {
    /// With the NUL behind it.
    pub(super) sql: Vec<u8>,
    /// The types of its parameters as its Parse had them.
    given: Vec<u8>,
    /// The types of its parameters as the server found them.
    parameters: OnceLock<Vec<u8>>,
    /// The body of its RowDescription; empty for NoData.
    columns: OnceLock<Vec<u8>>,
}

impl UnnamedStatement {
    /// The types of its parameters, in the form that Parse has them.
    pub(super) fn parameter_types(&self) -> &[u8] {
        self.parameters.get().unwrap_or(&self.given)
    }
}

#[derive(Debug, Default)]
pub(super) struct UnnamedStatements {
    /// By the names that tokio-postgres gives them.
    statements: HashMap<String, Arc<UnnamedStatement>>,
    /// For each Parse that is not answered: the statement, if it is an unnamed one.
    parsing: VecDeque<Option<String>>,
    /// The statement whose description comes next.
    described: Option<Arc<UnnamedStatement>>,
    /// Statements that were parsed again, and whose columns are not described again yet.
    parsed_again: VecDeque<Arc<UnnamedStatement>>,
}

/// The body of a RowDescription without what may change while the rows are read as before: the tables that the columns
/// come from, and the formats.
fn essence(mut columns: &[u8]) -> Option<Vec<u8>> {
    let mut essence = columns.split_off(..2).unwrap_or_default().to_vec();
    while !columns.is_empty() {
        let (name, rest) = c_string(columns)?;
        let fixed = rest.get(..18)?;
        essence.extend_from_slice(name);
        essence.push(0);
        essence.extend_from_slice(&fixed[6..16]);
        columns = &rest[18..];
    }
    Some(essence)
}

impl UnnamedStatements {
    /// A Parse with a name was sent: the server keeps the statement.
    pub(super) fn named_parse_sent(&mut self) {
        self.parsing.push_back(None);
    }

    /// A Parse was sent without the name that tokio-postgres gave the statement.
    pub(super) fn unnamed_parse_sent(&mut self, name: &str, sql: &[u8], types: &[u8]) {
        let statement = UnnamedStatement {
            sql: [sql, b"\0"].concat(),
            given: types.to_vec(),
            parameters: OnceLock::new(),
            columns: OnceLock::new(),
        };
        self.parsing.push_back(Some(name.to_owned()));
        self.statements.insert(name.to_owned(), Arc::new(statement));
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<UnnamedStatement>> {
        self.statements.get(name).cloned()
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.statements.remove(name);
    }

    /// The statement was parsed again, and its columns will be described again.
    pub(super) fn parse_again_sent(&mut self, statement: Arc<UnnamedStatement>) {
        self.parsed_again.push_back(statement);
    }

    /// A Parse was answered.
    pub(super) fn parse_answered(&mut self) {
        self.described = self.parsing.pop_front().flatten().and_then(|name| self.statements.get(&name).cloned());
    }

    /// An error came instead of the answers to `parses` Parse messages of tokio-postgres and `again` repeated ones.
    pub(super) fn parses_failed(&mut self, parses: usize, again: usize) {
        self.described = None;
        for name in self.parsing.drain(..parses.min(self.parsing.len())).flatten() {
            self.statements.remove(&name);
        }
        self.parsed_again.drain(..again.min(self.parsed_again.len()));
    }

    pub(super) fn wants_description(&self) -> bool {
        self.described.is_some()
    }

    /// The body of a ParameterDescription came.
    pub(super) fn set_parameters(&mut self, body: &[u8]) {
        if let Some(statement) = &self.described {
            let _ = statement.parameters.set(body.to_vec());
        }
    }

    /// The body of a RowDescription came, or an empty one of NoData.
    pub(super) fn set_columns(&mut self, body: &[u8]) {
        if let Some(statement) = self.described.take() {
            let _ = statement.columns.set(body.to_vec());
        }
    }

    /// Whether a statement that was parsed again still has the columns by which tokio-postgres reads its rows.
    pub(super) fn has_same_columns(&mut self, body: &[u8]) -> bool {
        let statement = self.parsed_again.pop_front();
        statement.is_none_or(|known| known.columns.get().is_none_or(|before| essence(before) == essence(body)))
    }
}
