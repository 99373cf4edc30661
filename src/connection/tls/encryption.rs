//! How connections are encrypted: the public option `ssl`, and what libpq's keywords make of it.

use serde::Deserialize;

/// How connections are encrypted (the public option `ssl`, and what libpq's keywords make of it).
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
    /// In place of the host's name, to be told to the server and verified.
    pub(super) servername: Option<String>,
    /// Whether the name is told to the server.
    pub(super) sni: bool,
    pub(super) min_version: Option<Version>,
    pub(super) max_version: Option<Version>,
}

/// libpq's sslmode; `disable` is no [`Encryption`] at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SslMode {
    /// Without, and with it where that is refused.
    Allow,
    /// With it, and without where there is none.
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Who speaks first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Negotiation {
    /// The server is asked for TLS.
    #[default]
    Postgres,
    /// TLS begins at once (PostgreSQL 17 and later).
    Direct,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Authority {
    /// The operating system's.
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

/// Where something in PEM is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Source {
    Pem(Secret),
    Path(String),
}

/// A text that no debugging output shows: there may be a key in it.
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
