//! Why a host, or every host, could not be used.

use std::sync::Mutex;
use std::time::Duration;

use crate::engine::lock;
use crate::error::{ClientError, Distrust, Outcome, ServerError};
use crate::protocol::Violation;

/// The hint for a pooler that takes no settings.
const STARTUP: &str = "A connection pooler stands between the client and the server, and takes no settings at the login: \
    leave out `options` and `statementTimeoutMs`, or have PgBouncer ignore them: ignore_startup_parameters = options. \
    (The connections of read() need the latter.)";

/// Why one host could not be used.
#[derive(Clone, Debug)]
pub(crate) enum HostFailure {
    /// There was no connection, or it broke.
    Unreachable(String),
    /// The server does not speak PostgreSQL's protocol.
    Confused(String),
    /// The attempt took longer than connectTimeoutMs.
    Silent(Duration, ConnectStage),
    /// The server refused: 28P01, 53300, 57P03, ...
    Refused(Box<ServerError>),
    /// The node is up, but does not suit the statement's route.
    Unsuitable(String),
    /// The `password` function failed.
    Password(NoPassword),
    /// The server has not proven its identity.
    Untrusted(Box<Distrust>),
    /// A pooler stands between the client and the server, and the pool must have leases.
    NoLease,
}

impl HostFailure {
    /// Whether other hosts and later attempts would fail in the same way, because all nodes of a physical cluster share
    /// roles and databases.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            // Classes 28 (password, authorization) and 3D (no such database); 22, 42 and 55P02: the server does not know or
            // accept a setting in `options`, or sessions cannot change it.
            Self::Refused(error) if error.is_about_startup() => true,
            Self::Refused(error) => ["28", "3D", "22", "42", "55P02"].iter().any(|class| error.code.starts_with(class)),
            Self::Password(_) | Self::NoLease => true,
            _ => false,
        }
    }

    /// Whether the node itself has failed, so that all other connections to it would fail, too.
    pub(crate) fn is_of_the_node(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Confused(_) | Self::Silent(..))
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Unreachable(reason) | Self::Confused(reason) | Self::Unsuitable(reason) => reason.clone(),
            Self::Silent(waited, stage) => {
                let ms = waited.as_millis();
                match stage {
                    ConnectStage::Asking => format!("no answer within {ms} ms"),
                    ConnectStage::Handshake => format!("no answer within {ms} ms (in the TLS handshake)"),
                    ConnectStage::Password => {
                        format!("the password function gave no answer within {ms} ms (connectTimeoutMs)")
                    }
                }
            }
            Self::Refused(error) => error.brief(),
            Self::Password(failed) => format!("the password function failed: {}", failed.reason),
            Self::Untrusted(distrust) => distrust.describe(),
            Self::NoLease => ClientError::LeasePooler.to_string(),
        }
    }
}

/// Why no host could be used.
#[derive(Clone, Debug)]
pub(crate) enum ConnectFailure {
    /// Another attempt may succeed.
    NoNode,
    /// Another attempt would fail, too: wrong password, no such database.
    Refused(Box<ServerError>),
    /// The `password` function failed.
    Password(NoPassword),
    /// A server has not proven its identity, and no other host can serve.
    Untrusted(Box<Distrust>),
    /// Leases cannot work behind a pooler, and the pool must have them.
    NoLease,
}

impl ConnectFailure {
    /// The error for the waiting statements, if another attempt cannot succeed.
    pub(crate) fn hopeless(&self) -> Option<ClientError> {
        match self {
            Self::NoNode => None,
            Self::Refused(error) => Some(ClientError::Database { error: error.clone(), outcome: Outcome::NotApplied }),
            Self::Password(failed) => {
                Some(ClientError::Password { reason: failed.reason.clone(), request: failed.request })
            }
            Self::Untrusted(distrust) => Some(ClientError::Untrusted(distrust.clone())),
            Self::NoLease => Some(ClientError::LeasePooler),
        }
    }
}

impl From<tokio_postgres::Error> for HostFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refused) => {
                let mut refused = Box::new(ServerError::from(refused));
                if refused.is_about_startup() {
                    refused.hint(STARTUP);
                }
                Self::Refused(refused)
            }
            None if violation(&error).is_some() => Self::Confused(describe(&error)),
            None => Self::Unreachable(describe(&error)),
        }
    }
}

/// The `password` function failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoPassword {
    pub(crate) reason: String,
    /// The number by which JavaScript finds the error of its function; 0: the function has not thrown one.
    pub(crate) request: u32,
}

/// What an attempt waits for: the error for a timeout names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ConnectStage {
    /// The server: for the connection, the login, or the probe.
    #[default]
    Asking,
    /// The server, in a TLS handshake.
    Handshake,
    /// The `password` function.
    Password,
}

/// How far an attempt has come.
#[derive(Debug, Default)]
pub(crate) struct ConnectProgress(Mutex<ConnectStage>);

impl ConnectProgress {
    pub(crate) fn get(&self) -> ConnectStage {
        *lock(&self.0)
    }

    pub(crate) fn set(&self, stage: ConnectStage) {
        *lock(&self.0) = stage;
    }
}

/// An error with its causes: tokio-postgres leaves them out of its own message.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    if let Some(violation) = violation(error) {
        return violation.to_string();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// How the server broke the protocol, if that is the error.
pub(crate) fn violation(error: &tokio_postgres::Error) -> Option<&Violation> {
    std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref()
}
