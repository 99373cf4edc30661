//! Everything that can go wrong, with a stable code for each case, and its form on the way to JavaScript.
//!
//! `lib/errors.js` makes the classes of the public API out of [`ClientError::to_json`].

use serde_json::{Map, Value, json};
use tokio_postgres::error::{DbError, ErrorPosition, Severity};

/// Whether a failed statement has changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It certainly changed nothing.
    NotApplied,
    /// It certainly was executed.
    Applied,
    /// The client cannot know.
    Unknown,
}

impl Outcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotApplied => "not-applied",
            Self::Applied => "applied",
            Self::Unknown => "unknown",
        }
    }
}

/// An ErrorResponse of the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerError {
    /// The SQLSTATE.
    pub(crate) code: String,
    pub(crate) message: String,
    /// FATAL or PANIC: the session is over.
    pub(crate) ends_session: bool,
    /// A write was refused (25006) by a node that does not suit its route any more, not by its caller's own choice.
    pub(crate) is_of_fence: bool,
    /// The other fields, by their public names.
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl ServerError {
    /// Whether the name of a prepared statement is the problem: no statement has it, one has it already, or another
    /// client's has it.
    pub(crate) fn is_about_names(&self) -> bool {
        match self.code.as_str() {
            "26000" | "42P05" => true,
            "08P01" => self.message.contains("prepared statement") || self.message.contains("bind message"),
            _ => false,
        }
    }

    /// Whether a pooler refuses a parameter of the startup packet.
    pub(crate) fn is_about_startup(&self) -> bool {
        self.code == "08P01" && self.message.contains("startup parameter")
    }

    /// Whether the text of the statement was refused before it ran: the error points into that text, and comes from no
    /// function that it called.
    pub(crate) fn is_of_analysis(&self) -> bool {
        let has = |name| self.fields.iter().any(|(key, _)| *key == name);
        has("position") && !has("where")
    }

    /// Adds a hint, if the server gave none.
    pub(crate) fn hint(&mut self, hint: &str) {
        if !self.fields.iter().any(|(key, _)| *key == "hint") {
            self.fields.push(("hint", hint.into()));
        }
    }

    /// `message (code)`, for use inside other messages.
    pub(crate) fn brief(&self) -> String {
        format!("{} ({})", self.message, self.code)
    }
}

/// The code, or 08P01 in place of one that is no SQLSTATE: that could look like a code of this client.
fn sqlstate(code: &str) -> String {
    if is_sqlstate(code) { code } else { "08P01" }.to_owned()
}

pub(crate) fn is_sqlstate(code: &str) -> bool {
    code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

impl From<&DbError> for ServerError {
    fn from(error: &DbError) -> Self {
        Self {
            code: sqlstate(error.code().code()),
            message: error.message().to_owned(),
            // Poolers leave out the severity that is never translated; their other one is English.
            ends_session: match error.parsed_severity() {
                Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
                None => matches!(error.severity(), "FATAL" | "PANIC"),
            },
            is_of_fence: false,
            fields: database_fields(error),
        }
    }
}

/// Why one host could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostReason {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) reason: String,
}

/// Why a server is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Distrust {
    host: String,
    port: u16,
    kind: DistrustKind,
    /// The subject of the certificate that it has sent, if that is the reason.
    subject: Option<String>,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DistrustKind {
    Tls,
    Authentication,
}

impl Distrust {
    pub(crate) fn tls(host: String, port: u16, subject: Option<String>, reason: String) -> Self {
        Self { host, port, kind: DistrustKind::Tls, subject, reason }
    }

    pub(crate) fn authentication(host: String, port: u16, reason: String) -> Self {
        Self { host, port, kind: DistrustKind::Authentication, subject: None, reason }
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.kind == DistrustKind::Tls
    }

    /// The reason, for a list that names the host.
    pub(crate) fn describe(&self) -> String {
        match &self.subject {
            Some(subject) => format!("the certificate \"{subject}\" {}", self.reason),
            None => self.reason.clone(),
        }
    }

    fn what(&self) -> &'static str {
        match self.kind {
            DistrustKind::Tls => "TLS with",
            DistrustKind::Authentication => "authentication by",
        }
    }
}

/// An error on its way to the caller.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The server refused the statement.
    #[error("{}", .error.message)]
    Database { error: Box<ServerError>, outcome: Outcome },
    /// No node that suits the statement's route could be reached in time.
    #[error("no {wanted} available after {waited_ms} ms")]
    NoPrimary { wanted: &'static str, waited_ms: u64, nodes: Vec<HostReason> },
    /// No standby is fit for a read, and the primary must not answer it.
    #[error("no standby to read from after {waited_ms} ms")]
    NoStandby { waited_ms: u64, nodes: Vec<HostReason> },
    /// Every connection was busy for acquireTimeoutMs.
    #[error("all {size} connections were busy for {waited_ms} ms (acquireTimeoutMs){}", no_more(.nodes))]
    AcquireTimeout {
        size: usize,
        waited_ms: u64,
        /// Why the pool could not open more, if it tried.
        nodes: Vec<HostReason>,
    },
    /// The connection broke under the statement.
    #[error("connection to {node} lost: {reason}")]
    ConnectionLost { node: String, reason: String, outcome: Outcome },
    /// The server breaks the protocol, and nothing was sent that could have changed anything.
    #[error("{node} does not speak PostgreSQL's protocol: {reason}")]
    Protocol { node: String, reason: String },
    /// Committed on the primary, but the wait for a synchronous standby was cancelled: a failover may lose it.
    #[error("committed on {node} only: the wait for its synchronous standby was cancelled")]
    Unreplicated { node: String },
    /// timeoutMs passed.
    #[error("statement timed out after {timeout_ms} ms and was cancelled")]
    Timeout { timeout_ms: u64, outcome: Outcome },
    /// The caller's signal fired.
    #[error("the statement was aborted")]
    Aborted { outcome: Outcome },
    /// The pool has ended.
    #[error("the pool is closed")]
    PoolClosed,
    /// A parameter does not fit, or their number is wrong.
    #[error("{0}")]
    InvalidParam(String),
    /// A row of a load has a value that does not fit.
    #[error("row {row}, column \"{column}\": {reason}")]
    InvalidRow { row: u64, column: String, reason: String },
    /// The server sent a value that a decoder could not read.
    #[error("column \"{column}\": {reason}")]
    Decode { column: String, reason: String, outdated: bool },
    /// The columns are not those that the statement had when it was prepared, so its rows cannot be decoded.
    #[error("the columns of the statement have changed since it was prepared")]
    ColumnsChanged,
    /// The rows are larger than maxResultBytes.
    #[error("the result is larger than {limit} bytes (maxResultBytes)")]
    TooLarge { limit: usize, outcome: Outcome },
    /// The transaction is over, or was aborted by an earlier error.
    #[error("{0}")]
    Transaction(String),
    /// A script left a transaction open, or ended the one it was in.
    #[error("{reason}")]
    Script { code: &'static str, reason: String, outcome: Outcome },
    /// The `password` function failed; JavaScript knows the error by the number.
    #[error("the password function failed: {reason}")]
    Password { reason: String, request: u32 },
    /// The server's certificate, or the authentication that it asks for, cannot be trusted.
    #[error("{} {}:{}: {}", .0.what(), .0.host, .0.port, .0.describe())]
    Untrusted(Box<Distrust>),
    /// A bug of this client.
    #[error("internal error: {0}")]
    Internal(String),
    /// A pooler stands between the client and the server, and the sessions must have leases.
    #[error(
        "a connection pooler stands between the client and the server, and leases cannot work behind one: connect to the \
        server itself, or say leaseMode: 'optional'"
    )]
    LeasePooler,
    /// The lease of the session could not be renewed before the statement.
    #[error("the lease of the session with {node} could not be renewed: {reason}")]
    Heartbeat { node: String, reason: String },
}

/// Why a pool could not grow, as the end of a sentence.
fn no_more(nodes: &[HostReason]) -> String {
    let reasons: Vec<_> = nodes.iter().map(|node| format!("{}:{}: {}", node.host, node.port, node.reason)).collect();
    if reasons.is_empty() { String::new() } else { format!(", and no more could be made: {}", reasons.join("; ")) }
}

impl ClientError {
    /// Its class in lib/errors.js.
    fn class(&self) -> &'static str {
        match self {
            Self::Database { .. } => "DatabaseError",
            Self::NoPrimary { .. } => "NoPrimaryError",
            Self::NoStandby { .. } => "NoStandbyError",
            Self::AcquireTimeout { .. } => "AcquireTimeoutError",
            Self::ConnectionLost { .. } | Self::Unreplicated { .. } => "ConnectionLostError",
            Self::Timeout { .. } => "QueryTimeoutError",
            Self::Aborted { .. } => "AbortError",
            Self::PoolClosed => "PoolClosedError",
            Self::InvalidParam(_) | Self::InvalidRow { .. } => "ParameterError",
            Self::Untrusted(distrust) if distrust.is_tls() => "TlsError",
            Self::Decode { .. }
            | Self::ColumnsChanged
            | Self::TooLarge { .. }
            | Self::Protocol { .. }
            | Self::Transaction(_)
            | Self::Script { .. }
            | Self::Password { .. }
            | Self::Untrusted(_)
            | Self::LeasePooler
            | Self::Heartbeat { .. }
            | Self::Internal(_) => "HyperionError",
        }
    }

    /// Whether the work has got no answer because of its connection or its node: another node may answer.
    pub(crate) fn is_of_the_way(&self) -> bool {
        matches!(
            self,
            Self::NoPrimary { .. }
                | Self::NoStandby { .. }
                | Self::AcquireTimeout { .. }
                | Self::ConnectionLost { .. }
                | Self::Protocol { .. }
                | Self::Untrusted(_)
                | Self::LeasePooler
                | Self::Heartbeat { .. }
                | Self::Password { .. }
        )
    }

    /// Whether what the client knows of the database's types is out of date.
    pub(crate) fn is_outdated(&self) -> bool {
        matches!(self, Self::Decode { outdated: true, .. } | Self::ColumnsChanged)
    }

    /// The stable code of the public API.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Database { error, .. } => &error.code,
            Self::NoPrimary { .. } => "ERR_NO_PRIMARY",
            Self::NoStandby { .. } => "ERR_NO_STANDBY",
            Self::AcquireTimeout { .. } => "ERR_ACQUIRE_TIMEOUT",
            Self::ConnectionLost { outcome: Outcome::Unknown, .. } | Self::Unreplicated { .. } => "ERR_OUTCOME_UNKNOWN",
            Self::ConnectionLost { .. } => "ERR_CONNECTION_LOST",
            Self::Timeout { .. } => "57014",
            Self::Aborted { .. } => "ABORT_ERR",
            Self::PoolClosed => "ERR_POOL_CLOSED",
            Self::InvalidParam(_) | Self::InvalidRow { .. } => "ERR_INVALID_PARAM",
            Self::Decode { .. } | Self::ColumnsChanged => "ERR_DECODE",
            Self::TooLarge { .. } => "ERR_RESULT_TOO_LARGE",
            Self::Protocol { .. } => "ERR_PROTOCOL",
            Self::Transaction(_) => "ERR_TRANSACTION_ENDED",
            Self::Script { code, .. } => code,
            Self::Password { .. } => "ERR_PASSWORD",
            Self::Untrusted(distrust) if distrust.is_tls() => "ERR_TLS",
            Self::Untrusted(_) => "ERR_AUTH",
            Self::LeasePooler => "ERR_LEASE_POOLER",
            Self::Heartbeat { .. } => "ERR_HEARTBEAT",
            Self::Internal(_) => "ERR_INTERNAL",
        }
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Database { outcome, .. }
            | Self::ConnectionLost { outcome, .. }
            | Self::Timeout { outcome, .. }
            | Self::Script { outcome, .. }
            | Self::TooLarge { outcome, .. }
            | Self::Aborted { outcome } => Some(*outcome),
            Self::NoPrimary { .. }
            | Self::NoStandby { .. }
            | Self::AcquireTimeout { .. }
            | Self::InvalidRow { .. }
            | Self::Password { .. }
            | Self::Protocol { .. }
            | Self::LeasePooler
            | Self::Heartbeat { .. }
            | Self::Untrusted(_) => Some(Outcome::NotApplied),
            Self::Unreplicated { .. } => Some(Outcome::Unknown),
            // The statement itself was executed.
            Self::Decode { .. } | Self::ColumnsChanged => Some(Outcome::Applied),
            _ => None,
        }
    }

    /// The error as lib/errors.js reads it. `attempts` counts how often the statement was tried; `retryable`: whether it may
    /// be tried again (query/retry_policy.rs).
    pub(crate) fn to_json(&self, attempts: u32, retryable: bool) -> String {
        let mut object = self.to_object(attempts);
        object.insert("retryable".to_owned(), json!(retryable));
        Value::Object(object).to_string()
    }

    /// The error as lib/errors.js reads it, as an object.
    pub(crate) fn to_object(&self, attempts: u32) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| {
            object.insert(key.to_owned(), value);
        };
        put("class", json!(self.class()));
        put("code", json!(self.code()));
        put("message", json!(self.to_string()));
        put("attempts", json!(attempts));
        if let Some(outcome) = self.outcome() {
            put("outcome", json!(outcome.name()));
        }
        match self {
            Self::Database { error, .. } => {
                for (key, value) in &error.fields {
                    put(key, value.clone());
                }
            }
            Self::InvalidRow { row, column, .. } => {
                put("row", json!(row));
                put("column", json!(column));
            }
            Self::Password { request, .. } => put("request", json!(request)),
            Self::Untrusted(distrust) => {
                put("host", json!(distrust.host));
                put("port", json!(distrust.port));
                put("reason", json!(distrust.reason));
                if let Some(subject) = &distrust.subject {
                    put("subject", json!(subject));
                }
            }
            Self::NoPrimary { nodes, .. } | Self::NoStandby { nodes, .. } => {
                let nodes = nodes
                    .iter()
                    .map(|n| json!({ "host": n.host, "port": n.port, "reason": n.reason }))
                    .collect::<Vec<_>>();
                put("nodes", json!(nodes));
            }
            _ => {}
        }
        object
    }
}

/// A notice as an event of the pool.
pub(crate) fn notice_event(notice: &DbError, node: &str) -> Value {
    let mut event =
        json!({ "event": "notice", "code": notice.code().code(), "message": notice.message(), "node": node });
    for (key, value) in database_fields(notice) {
        event[key] = value;
    }
    event
}

fn database_fields(error: &DbError) -> Vec<(&'static str, Value)> {
    let position = match error.position() {
        Some(ErrorPosition::Original(at)) => Some(*at),
        _ => None,
    };
    let (internal_position, internal_query) = match error.position() {
        Some(ErrorPosition::Internal { position, query }) => (Some(*position), Some(query.as_str())),
        _ => (None, None),
    };
    let fields = [
        ("severity", Some(json!(error.severity()))),
        ("detail", error.detail().map(|v| json!(v))),
        ("hint", error.hint().map(|v| json!(v))),
        ("position", position.map(|v| json!(v))),
        ("internalPosition", internal_position.map(|v| json!(v))),
        ("internalQuery", internal_query.map(|v| json!(v))),
        ("where", error.where_().map(|v| json!(v))),
        ("schema", error.schema().map(|v| json!(v))),
        ("table", error.table().map(|v| json!(v))),
        ("column", error.column().map(|v| json!(v))),
        ("dataType", error.datatype().map(|v| json!(v))),
        ("constraint", error.constraint().map(|v| json!(v))),
        ("file", error.file().map(|v| json!(v))),
        ("line", error.line().map(|v| json!(v))),
        ("routine", error.routine().map(|v| json!(v))),
    ];
    fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}
