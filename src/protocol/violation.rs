//! The error for a server that breaks the protocol.

/// The server has broken the protocol. It is inside the `io::Error` of the connection that ended for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Violation(pub(crate) String);
