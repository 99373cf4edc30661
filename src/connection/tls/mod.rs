//! TLS under a connection, with the meaning that libpq gives to sslmode and its relatives (PostgreSQL docs, 34.19 "SSL
//! Support").
//!
//! - `encryption`: the option `ssl`
//! - `handshake`: the way to an encrypted stream
//! - `files`: certificates and keys
//! - `certificate`: what a certificate says
//! - `verify`: whether a certificate is to be trusted

mod certificate;
mod encryption;
mod files;
mod handshake;
mod verify;

pub(crate) use encryption::Encryption;
pub(crate) use handshake::{SocketFailure, Tls, TlsFailure, Way};
