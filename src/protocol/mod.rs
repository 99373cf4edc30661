//! The byte stream between tokio-postgres and a server, read and changed message by message.
//!
//! tokio-postgres trusts the server, does not hand on everything that the server sends, and cannot send some messages
//! that the client needs. This layer makes up for that (PostgreSQL docs, 54.7 "Message Formats"):
//!
//! - `server_stream`: the stream that tokio-postgres reads and writes
//! - `backend`: checks what the server sends, and shows it to the observers
//! - `frontend`: notes what the client sends, and changes messages where tokio-postgres cannot
//! - `conversation`: what both directions share
//! - `pending_responses`: which responses the server owes, so that none is taken for another statement's
//! - `type_depth`: bounds the types that tokio-postgres looks up by itself
//! - `unnamed_statements`: the texts of statements that a pooler's servers do not keep
//! - `session_state`: what is known of the session
//! - `response_observer`: what the server answers and tokio-postgres does not hand on
//! - `direct`: statements that the stream sends and reads itself
//! - `flight`: messages that tokio-postgres cannot send, in place of a simple query
//! - `result_formats`: asks for columns as text where there is no binary form
//! - `server_error`: reads an ErrorResponse that tokio-postgres does not see
//! - `limits`: how long a message may be
//! - `message`: reads and writes single messages
//! - `violation`: the error for a server that breaks the protocol

mod backend;
mod conversation;
pub(crate) mod direct;
pub(crate) mod flight;
mod frontend;
mod limits;
mod message;
mod pending_responses;
pub(crate) mod response_observer;
pub(crate) mod result_formats;
mod server_error;
mod server_stream;
mod session_state;
mod type_depth;
mod unnamed_statements;
mod violation;

pub(crate) use backend::{COLUMNS_CHANGED, Gate, TOO_LARGE};
pub(crate) use conversation::StreamObservers;
pub(crate) use frontend::RESET_SETTINGS;
pub(crate) use server_error::server_error;
pub(crate) use server_stream::ServerStream;
pub(crate) use session_state::{Naming, ParameterWatcher, SessionState, prefix};
pub(crate) use violation::Violation;
