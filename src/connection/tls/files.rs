//! Certificates, keys and revocation lists, from texts or files. A file is read again when it has changed.

use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::connection::tls::certificate::Leaf;
use crate::connection::tls::encryption::{Authority, Encryption, Source, Version};
use crate::connection::tls::verify::{Judge, Trust};

impl Source {
    fn read(&self, what: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Pem(text) => Ok(text.expose().to_owned().into_bytes()),
            Self::Path(path) => fs::read(path).map_err(|error| format!("the {what} {path} cannot be read: {error}")),
        }
    }

    /// All items of this kind in it, at least one.
    fn all<T: PemObject>(&self, what: &str) -> Result<Vec<T>, String> {
        let text = self.read(what)?;
        let found: Result<Vec<T>, _> = T::pem_slice_iter(&text).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(format!("there is no {what} in what was given as one")),
            Err(error) => Err(unreadable(what, &error)),
        }
    }

    fn state(&self) -> FileState {
        let Self::Path(path) = self else { return FileState::Text };
        let metadata = fs::metadata(path);
        match metadata.and_then(|metadata| Ok((metadata.modified()?, metadata.len()))) {
            Ok((modified, length)) => FileState::Seen(modified, length),
            Err(error) => FileState::Missing(error.kind()),
        }
    }
}

/// An error that does not contain the text itself, because it may have a key.
fn unreadable(what: &str, error: &PemError) -> String {
    match error {
        PemError::NoItemsFound => format!("there is no {what} in what was given as one"),
        _ => format!("the {what} is no PEM that can be read"),
    }
}

/// What shows that a file has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FileState {
    Text,
    Seen(SystemTime, u64),
    Missing(io::ErrorKind),
}

/// The certificates and keys, ready for handshakes.
#[derive(Clone, Debug)]
pub(crate) struct Material {
    config: Arc<ClientConfig>,
    pub(crate) trust: Option<Trust>,
    made_of: Vec<FileState>,
}

/// The current states of all sources.
fn states(encryption: &Encryption) -> Vec<FileState> {
    let authority = match &encryption.ca {
        Some(Authority::Source(source)) => Some(source),
        _ => None,
    };
    let sources = [authority, encryption.cert.as_ref(), encryption.key.as_ref(), encryption.crl.as_ref()];
    sources.into_iter().flatten().map(Source::state).collect()
}

impl Material {
    pub(crate) fn is_current(&self, encryption: &Encryption) -> bool {
        self.made_of == states(encryption)
    }

    pub(crate) fn read(encryption: &Encryption) -> Result<Self, String> {
        let made_of = states(encryption);
        let trust = match &encryption.ca {
            None => None,
            Some(authority) => Some(trust(authority, encryption.crl.as_ref())?),
        };
        let versions: Vec<&'static SupportedProtocolVersion> = [(&TLS12, Version::Tls12), (&TLS13, Version::Tls13)]
            .into_iter()
            .filter(|(_, version)| {
                encryption.min_version.is_none_or(|min| min <= *version)
                    && encryption.max_version.is_none_or(|max| *version <= max)
            })
            .map(|(supported, _)| supported)
            .collect();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Judge::new(None, None)));
        let mut config = match (&encryption.cert, &encryption.key) {
            (Some(cert), Some(key)) => {
                let chain = cert.all::<CertificateDer<'static>>("client certificate")?;
                let key = private_key(key)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("the client certificate and its key cannot be used: {error}"))?
            }
            _ => builder.with_no_client_auth(),
        };
        // A server keeps no sessions (be-secure-openssl.c), and in a resumed session it sends no certificate.
        config.resumption = Resumption::disabled();
        config.enable_sni = encryption.sni;
        // PostgreSQL docs, 54.2.11 "SSL Session Encryption": needed with direct TLS, and harmless without.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Self { config: Arc::new(config), trust, made_of })
    }

    /// The configuration for one handshake, with its own judge.
    pub(crate) fn config(&self, judge: Arc<Judge>) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.dangerous().set_certificate_verifier(judge);
        config
    }
}

fn private_key(source: &Source) -> Result<PrivateKeyDer<'static>, String> {
    const WHAT: &str = "key of the client certificate";
    let text = source.read(WHAT)?;
    let is_in = |label: &[u8]| text.windows(label.len()).any(|window| window == label);
    if is_in(b"BEGIN ENCRYPTED PRIVATE KEY") || is_in(b"Proc-Type: 4,ENCRYPTED") {
        return Err(format!("the {WHAT} is encrypted, which is not supported: decrypt it first"));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| unreadable(WHAT, &error))
}

fn trust(authority: &Authority, lists: Option<&Source>) -> Result<Trust, String> {
    let (roots, intermediates) = match authority {
        Authority::System => (system_roots(), Arc::default()),
        Authority::Source(source) => {
            let now = UnixTime::now();
            let all = source.all::<CertificateDer<'static>>("CA certificate")?;
            let is_valid = |root: &CertificateDer<'_>| Leaf::read(root).is_none_or(|read| read.check_time(now).is_ok());
            let valid: Vec<_> = all.into_iter().filter(|root| is_valid(root)).collect();
            if valid.is_empty() {
                return Err("the CA certificate has expired, or is not valid yet".into());
            }
            // As in OpenSSL a chain ends at a certificate that no other CA has signed.
            let (roots, intermediates) =
                valid.into_iter().partition(|certificate| Leaf::read(certificate).is_none_or(|read| read.self_issued));
            (Arc::new(roots), Arc::new(intermediates))
        }
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(roots.iter().cloned());
    if added == 0 && intermediates.is_empty() {
        return Err("there is no CA certificate that can be used".into());
    }
    if added == 0 {
        // Another CA has signed each of them, and none of these is here: no chain can end.
        return Ok(Trust { chain: None, roots, intermediates, has_lists: lists.is_some() });
    }
    let mut builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::new(default_provider()));
    if let Some(lists) = lists {
        let lists = lists.all::<CertificateRevocationListDer<'static>>("revocation list")?;
        builder = builder.with_crls(lists).enforce_revocation_expiration();
    }
    let chain = builder.build().map_err(|error| format!("the CA certificates cannot be used: {error}"))?;
    Ok(Trust { chain: Some(chain), roots, intermediates, has_lists: lists.is_some() })
}

/// The CAs of the operating system. They are read once, because there are many.
fn system_roots() -> Arc<Vec<CertificateDer<'static>>> {
    static ROOTS: OnceLock<Arc<Vec<CertificateDer<'static>>>> = OnceLock::new();
    ROOTS.get_or_init(|| Arc::new(rustls_native_certs::load_native_certs().certs)).clone()
}
