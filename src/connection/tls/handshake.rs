//! Opens an encrypted or a plain stream to a server.
//!
//! The client negotiates TLS itself, below tokio-postgres. So the same code reads the protocol whether it was encrypted
//! or not, and a failure can say which certificate the server has shown and what is wrong with it. tokio-postgres gets
//! a stream that is ready, and the hash that binds a login to it (SCRAM-SHA-256-PLUS).

use std::error::Error as _;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, Error};

use crate::connection::endpoint::Endpoint;
use crate::connection::failure::{ConnectProgress, ConnectStage};
use crate::connection::socket::{Address, Liveness, Socket};
use crate::connection::tls::encryption::{Encryption, Negotiation, SslMode};
use crate::connection::tls::files::Material;
use crate::connection::tls::verify::{Judge, describe};
use crate::engine::lock;

/// One way to make a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Plain,
    /// Encrypted.
    Secure,
    /// Encrypted if the server offers it.
    SecureIfOffered,
}

/// Why a connection could not be encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFailure {
    /// The subject of the certificate that the server has sent.
    pub(crate) subject: Option<String>,
    pub(crate) reason: String,
}

impl TlsFailure {
    fn new(reason: impl Into<String>) -> Self {
        Self { subject: None, reason: reason.into() }
    }

    /// The TLS error in an error of the stream above it, if there is one.
    pub(crate) fn in_stream(error: &tokio_postgres::Error) -> Option<Self> {
        let error = error.source()?.downcast_ref::<io::Error>()?;
        match error.get_ref()?.downcast_ref::<Error>()? {
            Error::AlertReceived(alert) => Some(Self::new(describe_alert(*alert))),
            other => Some(Self::new(format!("TLS failed: {other}"))),
        }
    }
}

/// Why there is no stream.
#[derive(Debug)]
pub(crate) enum SocketFailure {
    /// There was no connection, or it broke.
    Io(io::Error),
    /// It broke in the handshake: the server may not want TLS, or has just gone down.
    BrokenOff(io::Error),
    /// The answer to SSLRequest cannot be read: like libpq the client does not go on without TLS then.
    Unreadable(String),
    Tls(TlsFailure),
}

impl From<io::Error> for SocketFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How a pool opens its streams.
#[derive(Debug)]
pub(crate) struct Tls {
    /// None: connections are not encrypted.
    encryption: Option<Encryption>,
    liveness: Liveness,
    material: Mutex<Option<Material>>,
}

impl Tls {
    pub(crate) fn new(encryption: Option<Encryption>, liveness: Liveness) -> Self {
        Self { encryption, liveness, material: Mutex::default() }
    }

    /// The ways to try, in this order.
    pub(crate) fn ways(&self, address: &Address) -> &'static [Way] {
        match &self.encryption {
            Some(encryption) if matches!(address, Address::Tcp(_)) => match encryption.mode {
                SslMode::Allow => &[Way::Plain, Way::Secure],
                SslMode::Prefer => &[Way::SecureIfOffered, Way::Plain],
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Way::Secure],
            },
            // libpq never encrypts a Unix-domain socket: its bytes do not leave the machine.
            _ => &[Way::Plain],
        }
    }

    /// A stream to one of the node's addresses, and the hash that binds a login to it.
    pub(crate) async fn connect(
        &self,
        endpoint: &Endpoint,
        address: &Address,
        way: Way,
        progress: &ConnectProgress,
    ) -> Result<(Socket, Option<Vec<u8>>), SocketFailure> {
        progress.set(ConnectStage::Asking);
        let socket = Socket::connect(address, self.liveness).await?;
        match (&self.encryption, socket) {
            (Some(encryption), Socket::Tcp(stream)) if way != Way::Plain => {
                self.secure(encryption, endpoint, stream, way, progress).await
            }
            (_, socket) => Ok((socket, None)),
        }
    }

    async fn secure(
        &self,
        encryption: &Encryption,
        endpoint: &Endpoint,
        mut stream: TcpStream,
        way: Way,
        progress: &ConnectProgress,
    ) -> Result<(Socket, Option<Vec<u8>>), SocketFailure> {
        if encryption.negotiation == Negotiation::Postgres && !request_tls(&mut stream).await? {
            return match way {
                Way::SecureIfOffered => Ok((Socket::Tcp(stream), None)),
                _ => Err(SocketFailure::Tls(TlsFailure::new("the server does not offer TLS"))),
            };
        }
        let host = encryption.servername.clone().unwrap_or_else(|| endpoint.host_name());
        let material = self.material(encryption).map_err(|reason| SocketFailure::Tls(TlsFailure::new(reason)))?;
        let named = (encryption.mode == SslMode::VerifyFull).then(|| host.clone());
        let judge = Arc::new(Judge::new(material.trust.clone(), named));
        // A host that is no valid name for TLS is replaced by its address here; `Judge` compares the host as it is
        // written.
        let name = match ServerName::try_from(host.trim_end_matches('.').to_owned()) {
            Ok(name) => name,
            Err(_) => ServerName::IpAddress(stream.peer_addr()?.ip().into()),
        };
        let connector = TlsConnector::from(Arc::new(material.config(judge.clone())));
        progress.set(ConnectStage::Handshake);
        let stream = connector.connect(name, stream).await.map_err(|error| failure(error, &judge, &host))?;
        progress.set(ConnectStage::Asking);
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let binding = certificate.and_then(|der| judge.shown()?.end_point(der));
        Ok((Socket::Tls(Box::new(stream)), binding))
    }

    /// Certificates and keys; the files are read again when they have changed.
    fn material(&self, encryption: &Encryption) -> Result<Material, String> {
        let mut kept = lock(&self.material);
        if let Some(material) = kept.as_ref().filter(|material| material.is_current(encryption)) {
            return Ok(material.clone());
        }
        let material = Material::read(encryption)?;
        *kept = Some(material.clone());
        Ok(material)
    }
}

/// Asks the server for TLS (PostgreSQL docs, 54.7 "Message Formats", SSLRequest). Reads exactly one byte: all that
/// follows must be encrypted (CVE-2021-23222).
async fn request_tls(stream: &mut TcpStream) -> Result<bool, SocketFailure> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        // The server has not proven its identity: its message is not passed on (CVE-2024-10977).
        b'E' => Err(SocketFailure::Tls(TlsFailure::new("the server answered the request for TLS with an error"))),
        other => {
            let reason =
                format!("the server answered the request for TLS with the byte 0x{other:02x}: is it PostgreSQL?");
            Err(SocketFailure::Unreadable(reason))
        }
    }
}

/// Why a handshake failed, in words.
fn failure(error: io::Error, judge: &Judge, host: &str) -> SocketFailure {
    let leaf = judge.shown();
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return SocketFailure::BrokenOff(error);
    };
    let (reason, subject) = match tls {
        Error::InvalidCertificate(wrong) => {
            (describe(wrong, leaf.as_ref(), host), leaf.as_ref().map(|leaf| leaf.subject.clone()))
        }
        Error::InvalidCertRevocationList(wrong) => (format!("a revocation list cannot be used: {wrong:?}"), None),
        Error::AlertReceived(alert) => (describe_alert(*alert), None),
        Error::InvalidMessage(_) => ("the server does not speak TLS".to_owned(), None),
        Error::PeerIncompatible(wrong) => (format!("the server has no TLS in common with us: {wrong:?}"), None),
        other => (format!("the TLS handshake failed: {other}"), None),
    };
    SocketFailure::Tls(TlsFailure { subject, reason })
}

/// Why the server refused the handshake, in words.
fn describe_alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let reason = match alert {
        A::UnknownCA | A::BadCertificate | A::UnsupportedCertificate | A::CertificateUnknown | A::DecryptError => {
            "it does not accept the client certificate"
        }
        A::CertificateExpired => "the client certificate has expired",
        A::CertificateRevoked => "the client certificate is revoked",
        A::CertificateRequired => "it wants a client certificate",
        A::ProtocolVersion => "it has no TLS version in common with us",
        A::HandshakeFailure => "it has no cipher in common with us",
        A::UnrecognisedName => "it does not know the name it was asked for",
        A::NoApplicationProtocol => "it does not speak PostgreSQL's protocol by TLS",
        _ => "it ended the handshake",
    };
    format!("the server refused the TLS handshake: {reason} ({alert:?})")
}
