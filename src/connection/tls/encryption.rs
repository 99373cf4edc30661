//! How connections are encrypted: the public option `ssl`, and what libpq's keywords make of it.

use serde::Deserialize;

/// The option `ssl`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Encryption {
    pub(crate) mode: SslMode,
    #[serde(default)]
    pub(crate) negotiation: Negotiation,
    /// None: the chain is not verified.
    pub(super) ca: Option<Authority>,
    pub(super) cert: Option<Source>,
    pub(super) key: Option<Source>,
    pub(super) crl: Option<Source>,
    /// Is sent to the server and verified in place of the host's name.
    pub(super) servername: Option<String>,
    /// Whether the name is sent to the server (SNI).
    pub(super) sni: bool,
    pub(super) min_version: Option<Version>,
    pub(super) max_version: Option<Version>,
}

/// libpq's sslmode; for `disable` there is no [`Encryption`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SslMode {
    /// Without TLS first, then with TLS if the server refuses that.
    Allow,
    /// With TLS first, then without if the server has none.
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Negotiation {
    /// The client asks the server for TLS (SSLRequest).
    #[default]
    Postgres,
    /// TLS begins at once (PostgreSQL 17 and later).
    Direct,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Authority {
    /// The CAs of the operating system.
    System,
    Source(Source),
}

impl<'de> Deserialize<'de> for Authority {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        enum Given {
            System(bool),
            Pem(Secret),
            Path(String),
        }
        Ok(match Given::deserialize(deserializer)? {
            Given::System(true) => Self::System,
            Given::System(false) => return Err(serde::de::Error::custom("system: false")),
            Given::Pem(text) => Self::Source(Source::Pem(text)),
            Given::Path(path) => Self::Source(Source::Path(path)),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub(super) enum Version {
    #[serde(rename = "TLSv1.2")]
    Tls12,
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

/// A text in PEM, or the file that has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Source {
    Pem(Secret),
    Path(String),
}

/// A text that no debugging output shows, because it may have a key.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}
