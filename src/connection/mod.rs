//! One connection to one server: sockets, TLS, the login, and the task that drives the connection.
//!
//! - `socket`: TCP and Unix sockets, addresses, keepalives
//! - `tls`: encryption
//! - `require_auth`: which authentication a server may ask for
//! - `authentication`: the login: encryption, password
//! - `connection`: an open connection; `drive`: the task that drives it
//! - `lease`: the signed name with an expiry that a session carries, and its renewal
//! - `occupancy`: whether a server has little room left for more sessions
//! - `renewal`: how a lease is renewed
//! - `link`: what is known of a connection, shared with its endpoint
//! - `endpoint`: one host of a pool's list, as its connections know it
//! - `pooler`: recognises a connection pooler and names statements accordingly
//! - `probe`: asks a node for its role, timeline and position
//! - `notices`: the server's notices on their way to JavaScript
//! - `server_clock`: a server's clock, and this machine's
//! - `failure`: why a host could not be used

pub(crate) mod authentication;
#[expect(clippy::module_inception, reason = "the field's name for both")]
pub(crate) mod connection;
mod drive;
pub(crate) mod endpoint;
pub(crate) mod failure;
pub(crate) mod lease;
pub(crate) mod link;
pub(crate) mod notices;
mod occupancy;
pub(crate) mod pooler;
pub(crate) mod probe;
pub(crate) mod renewal;
pub(crate) mod require_auth;
pub(crate) mod server_clock;
pub(crate) mod socket;
pub(crate) mod tls;
