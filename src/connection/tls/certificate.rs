//! Reads a server's certificate: its subject, its names, when it is valid, and the hash that binds a login to it.

use std::net::IpAddr;

use ring::digest;
use tokio_rustls::rustls::pki_types::{SignatureVerificationAlgorithm, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The certificate of a server, or a CA's.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// `CN=db1,O=Example`, as RFC 4514 writes it.
    pub(crate) subject: String,
    /// The issuer has the same name, so it is, or claims to be, signed with its own key.
    pub(crate) self_issued: bool,
    names: Names,
    not_before: u64,
    not_after: u64,
    /// The key and its algorithm, in DER, as the certificate has them.
    pub(crate) key: Vec<u8>,
    pub(crate) key_algorithm: Vec<u8>,
    /// The signed part, the signature and its algorithm.
    signed: Vec<u8>,
    signature: Vec<u8>,
    signing_algorithm: Vec<u8>,
    signature_algorithm: ObjectIdentifier,
    /// The names of issuer and subject, in DER.
    issuer: Vec<u8>,
    own_name: Vec<u8>,
}

/// The names that a certificate is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    dns: Vec<String>,
    ip: Vec<Vec<u8>>,
    common: Option<String>,
}

impl Leaf {
    /// None: the certificate cannot be read.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let signed = &certificate.tbs_certificate;
        let key = &signed.subject_public_key_info;
        Some(Self {
            subject: signed.subject.to_string(),
            self_issued: signed.subject == signed.issuer,
            names: names(&certificate)?,
            not_before: signed.validity.not_before.to_unix_duration().as_secs(),
            not_after: signed.validity.not_after.to_unix_duration().as_secs(),
            key: key.subject_public_key.raw_bytes().to_vec(),
            key_algorithm: content_of(&key.algorithm.to_der().ok()?)?.to_vec(),
            signed: signed.to_der().ok()?,
            signature: certificate.signature.raw_bytes().to_vec(),
            signing_algorithm: content_of(&certificate.signature_algorithm.to_der().ok()?)?.to_vec(),
            signature_algorithm: certificate.signature_algorithm.oid,
            issuer: signed.issuer.to_der().ok()?,
            own_name: signed.subject.to_der().ok()?,
        })
    }

    /// Fails with the reason if the certificate is not valid at this time.
    pub(crate) fn check_time(&self, now: UnixTime) -> Result<(), &'static str> {
        match now.as_secs() {
            now if now > self.not_after => Err(EXPIRED),
            now if now < self.not_before => Err(NOT_YET),
            _ => Ok(()),
        }
    }

    /// Whether `issuer` has signed it with its key.
    pub(crate) fn is_signed_by(&self, issuer: &Self, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> bool {
        self.issuer == issuer.own_name
            && algorithms
                .iter()
                .filter(|algorithm| algorithm.signature_alg_id().as_ref() == self.signing_algorithm)
                .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == issuer.key_algorithm)
                .any(|algorithm| algorithm.verify_signature(&issuer.key, &self.signed, &self.signature).is_ok())
    }

    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.names.include(host)
    }

    /// The names it is for, for an error.
    pub(crate) fn listed_names(&self) -> String {
        let ip = self.names.ip.iter().filter_map(|bytes| Some(address_of(bytes)?.to_string()));
        let mut all: Vec<_> = self.names.dns.iter().cloned().chain(ip).collect();
        if all.is_empty() {
            all.extend(self.names.common.clone());
        }
        if all.is_empty() { "no name".to_owned() } else { all.join(", ") }
    }

    /// `tls-server-end-point` (RFC 5929, section 4): the certificate's hash by its own signature's hash function,
    /// SHA-256 in place of MD5 and SHA-1. None where there is no such function (Ed25519).
    pub(crate) fn end_point(&self, der: &[u8]) -> Option<Vec<u8>> {
        let function = match self.signature_algorithm.to_string().as_str() {
            // md5WithRSAEncryption, sha1WithRSAEncryption, sha256WithRSAEncryption, ecdsa-with-SHA1, ecdsa-with-SHA256
            "1.2.840.113549.1.1.4"
            | "1.2.840.113549.1.1.5"
            | "1.2.840.113549.1.1.11"
            | "1.2.840.10045.4.1"
            | "1.2.840.10045.4.3.2" => &digest::SHA256,
            // sha384WithRSAEncryption, ecdsa-with-SHA384
            "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
            // sha512WithRSAEncryption, ecdsa-with-SHA512
            "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
            _ => return None,
        };
        Some(digest::digest(function, der).as_ref().to_vec())
    }
}

pub(crate) const EXPIRED: &str = "has expired";
pub(crate) const NOT_YET: &str = "is not valid yet";

/// The content of a SEQUENCE: rustls has an algorithm's identifier without the SEQUENCE around it.
fn content_of(der: &[u8]) -> Option<&[u8]> {
    match *der.get(1)? {
        short if short < 0x80 => der.get(2..),
        long => der.get(2 + usize::from(long & 0x7f)..),
    }
}

fn names(certificate: &Certificate) -> Option<Names> {
    let signed = &certificate.tbs_certificate;
    let mut names = Names::default();
    if let Some((_, SubjectAltName(alternatives))) = signed.get::<SubjectAltName>().ok()? {
        for alternative in alternatives {
            match alternative {
                GeneralName::DnsName(name) => names.dns.push(name.to_string()),
                GeneralName::IpAddress(bytes) => names.ip.push(bytes.as_bytes().to_vec()),
                _ => {}
            }
        }
    }
    let attributes = signed.subject.0.iter().flat_map(|relative| relative.0.iter());
    names.common = attributes.filter(|attribute| attribute.oid == COMMON_NAME).find_map(|attribute| {
        let value = &attribute.value;
        let utf8 = Utf8StringRef::try_from(value).map(|text| text.as_str().to_owned());
        let printable = || PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned());
        let ia5 = || Ia5StringRef::try_from(value).map(|text| text.as_str().to_owned());
        utf8.or_else(|_| printable()).or_else(|_| ia5()).ok()
    });
    Some(names)
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

impl Names {
    /// As in libpq (fe-secure-common.c, fe-secure-openssl.c) any alternative name that covers the host is enough. The
    /// common name counts only if no alternative name is of the host's own kind (name or address).
    fn include(&self, host: &str) -> bool {
        let address = host.parse::<IpAddr>().ok();
        let same_address = |bytes: &Vec<u8>| address.is_some() && address_of(bytes) == address;
        if self.ip.iter().any(same_address) || self.dns.iter().any(|name| covers(name, host)) {
            return true;
        }
        let has_own_kind = if address.is_some() { !self.ip.is_empty() } else { !self.dns.is_empty() };
        !has_own_kind && self.common.as_deref().is_some_and(|name| covers(name, host))
    }
}

/// Whether a name, which may begin with `*.` for exactly one label, covers a host. A name with a NUL in it covers none.
fn covers(name: &str, host: &str) -> bool {
    if name.contains('\0') {
        return false;
    }
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(domain) = name.strip_prefix("*.") else { return false };
    let is_address = host.parse::<IpAddr>().is_ok();
    // `*.com` would cover too much; an address has no labels.
    let labels = host.split_once('.').filter(|(label, _)| !label.is_empty() && !is_address);
    domain.contains('.') && labels.is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dns: &[&str], ip: &[[u8; 4]], common: Option<&str>) -> Names {
        Names {
            dns: dns.iter().map(|&name| name.to_owned()).collect(),
            ip: ip.iter().map(|bytes| bytes.to_vec()).collect(),
            common: common.map(str::to_owned),
        }
    }

    #[test]
    fn which_names_cover_which_hosts() {
        let table = [
            (names(&["db1.example.com"], &[], None), "db1.example.com", true),
            (names(&["DB1.example.com"], &[], None), "db1.EXAMPLE.com", true),
            (names(&["db1.example.com"], &[], None), "db2.example.com", false),
            (names(&["*.example.com"], &[], None), "db1.example.com", true),
            (names(&["*.example.com"], &[], None), "example.com", false),
            (names(&["*.example.com"], &[], None), "a.db1.example.com", false),
            (names(&["*.example.com"], &[], None), ".example.com", false),
            (names(&["*.com"], &[], None), "example.com", false),
            (names(&["db*.example.com"], &[], None), "db1.example.com", false),
            (names(&["*.0.0.1"], &[], None), "127.0.0.1", false),
            // The common name counts only without an alternative name of the host's kind.
            (names(&[], &[], Some("db1")), "db1", true),
            (names(&["other"], &[], Some("db1")), "db1", false),
            (names(&[], &[[10, 0, 0, 1]], Some("db1")), "db1", true),
            (names(&[], &[], Some("10.0.0.1")), "10.0.0.1", true),
            (names(&["other"], &[], Some("10.0.0.1")), "10.0.0.1", true),
            (names(&[], &[[10, 0, 0, 2]], Some("10.0.0.1")), "10.0.0.1", false),
            (names(&[], &[[10, 0, 0, 1]], None), "10.0.0.1", true),
            (names(&["10.0.0.1"], &[], None), "10.0.0.1", true),
            (names(&[], &[], None), "db1", false),
            (names(&["db1\0.example.com"], &[], Some("db1\0")), "db1", false),
        ];
        for (names, host, expected) in table {
            assert_eq!(names.include(host), expected, "{host} by {names:?}");
        }
    }
}
