//! Decides as libpq does whether to trust a server: the chain is verified as soon as there is a CA, the name only with
//! verify-full.
//!
//! webpki verifies the chain. This file adds what PostgreSQL servers have and webpki refuses: a self-signed certificate
//! that is its own CA, a certificate that is marked as a CA's, one of X.509 version 1 (which OpenSSL before 3.2 makes
//! by the recipe in PostgreSQL's docs), and names in the subject's CN.

use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, ring::default_provider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use crate::connection::tls::certificate::{EXPIRED, Leaf, NOT_YET};
use crate::engine::lock;

/// The CAs to trust.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// None: there is no root certificate.
    pub(crate) chain: Option<Arc<WebPkiServerVerifier>>,
    /// The root certificates themselves.
    pub(crate) roots: Arc<Vec<CertificateDer<'static>>>,
    /// CAs that another CA has signed: a chain cannot end at them, but may contain them.
    pub(crate) intermediates: Arc<Vec<CertificateDer<'static>>>,
    /// There are revocation lists: a certificate that they do not cover is not trusted.
    pub(crate) has_lists: bool,
}

/// Verifies the server of one handshake, and keeps the certificate that it has sent.
#[derive(Debug)]
pub(crate) struct Judge {
    /// None: any certificate is accepted.
    trust: Option<Trust>,
    /// The name that the certificate must be for; None: any.
    host: Option<String>,
    algorithms: WebPkiSupportedAlgorithms,
    shown: Mutex<Option<Leaf>>,
}

impl Judge {
    pub(crate) fn new(trust: Option<Trust>, host: Option<String>) -> Self {
        let algorithms = default_provider().signature_verification_algorithms;
        Self { trust, host, algorithms, shown: Mutex::default() }
    }

    /// The certificate that the server has sent.
    pub(crate) fn shown(&self) -> Option<Leaf> {
        lock(&self.shown).clone()
    }

    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<(), Error> {
        let leaf = Leaf::read(end_entity);
        lock(&self.shown).clone_from(&leaf);
        let Some(trust) = &self.trust else { return Ok(()) };
        let leaf = leaf.ok_or(CertificateError::BadEncoding)?;
        let is_root = trust.roots.iter().any(|root| root == end_entity);
        if is_root && !trust.has_lists {
            leaf.check_time(now).map_err(objection)?;
        } else {
            let intermediates: Vec<_> = intermediates.iter().chain(trust.intermediates.iter()).cloned().collect();
            let chain = trust.chain.as_ref().ok_or(CertificateError::UnknownIssuer)?;
            match chain.verify_server_cert(end_entity, &intermediates, name, ocsp, now) {
                // webpki has accepted the chain; the name is checked below.
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(Error::InvalidCertificate(CertificateError::Other(other)))
                    if is_unusual(&other) && self.is_signed_by_root(trust, &leaf) =>
                {
                    leaf.check_time(now).map_err(objection)?;
                }
                Err(error) => return Err(error),
            }
        }
        match &self.host {
            Some(host) if !leaf.is_for(host) => Err(CertificateError::NotValidForName.into()),
            _ => Ok(()),
        }
    }

    /// Whether a trusted CA itself has signed a certificate that webpki refuses. Not with revocation lists, which only
    /// webpki can read.
    fn is_signed_by_root(&self, trust: &Trust, leaf: &Leaf) -> bool {
        let mut roots = trust.roots.iter().filter_map(|root| Leaf::read(root));
        !trust.has_lists && roots.any(|root| leaf.is_signed_by(&root, self.algorithms.all))
    }

    /// Checks that the server owns the key of a certificate that webpki cannot read (version 1).
    fn check_signature(&self, message: &[u8], dss: &DigitallySignedStruct) -> Result<(), Error> {
        let leaf = self.shown().ok_or(CertificateError::BadEncoding)?;
        let schemes = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == dss.scheme);
        let fits = schemes
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == leaf.key_algorithm)
            .any(|algorithm| algorithm.verify_signature(&leaf.key, message, dss.signature()).is_ok());
        if fits { Ok(()) } else { Err(CertificateError::BadSignature.into()) }
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, server_name, ocsp_response, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verify_tls12_signature(message, cert, dss, &self.algorithms) {
            // webpki cannot read this certificate. `check` has accepted it before.
            Err(Error::InvalidCertificate(CertificateError::Other(other))) if is_unusual(&other) => {
                self.check_signature(message, dss)?;
            }
            verified => return verified,
        }
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verify_tls13_signature(message, cert, dss, &self.algorithms) {
            // webpki cannot read this certificate. `check` has accepted it before.
            Err(Error::InvalidCertificate(CertificateError::Other(other))) if is_unusual(&other) => {
                self.check_signature(message, dss)?;
            }
            verified => return verified,
        }
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// webpki's errors for a certificate of version 1, and for one that is marked as a CA's.
const VERSION_1: &str = "UnsupportedCertVersion";
const OF_A_CA: &str = "CaUsedAsEndEntity";

fn is_unusual(other: &OtherError) -> bool {
    [VERSION_1, OF_A_CA].contains(&other.to_string().as_str())
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Objection(&'static str);

fn objection(reason: &'static str) -> Error {
    CertificateError::Other(OtherError(Arc::new(Objection(reason)))).into()
}

/// What is wrong with a certificate, as the end of a sentence that begins with its subject.
pub(crate) fn describe(error: &CertificateError, leaf: Option<&Leaf>, host: &str) -> String {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => EXPIRED.into(),
        E::NotValidYet | E::NotValidYetContext { .. } => NOT_YET.into(),
        E::Revoked => "is revoked".into(),
        E::UnknownRevocationStatus => "or one that signed it is not covered by the revocation lists".into(),
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => {
            "cannot be checked: the revocation list has expired".into()
        }
        E::UnknownIssuer if leaf.is_some_and(|leaf| leaf.self_issued) => {
            "is self-signed, and none of the trusted ones".into()
        }
        E::UnknownIssuer => "is not signed by a trusted CA".into(),
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            let names = leaf.map_or_else(|| "other names".to_owned(), Leaf::listed_names);
            format!("is not for \"{host}\": it is for {names}")
        }
        E::BadSignature => "has a wrong signature".into(),
        E::BadEncoding => "cannot be read".into(),
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => "is not for servers".into(),
        E::Other(other) => {
            let reason = other.to_string();
            match reason.as_str() {
                VERSION_1 | OF_A_CA if leaf.is_some_and(|leaf| leaf.self_issued) => {
                    "is self-signed, and none of the trusted ones".into()
                }
                VERSION_1 => "is not signed by a trusted CA itself, as one of X.509 version 1 must be".into(),
                OF_A_CA => "is a CA's own, and not signed by a trusted CA itself".into(),
                _ => format!("cannot be verified: {reason}"),
            }
        }
        other => format!("cannot be verified: {other:?}"),
    }
}
