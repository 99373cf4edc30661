//! A pool's options as lib/options/options.js writes them: complete, checked, and in JSON.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use serde::Deserialize;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

use crate::cluster::MonitorInterval;
use crate::cluster::balance::Balance;
use crate::cluster::consistency::ConsistencyToken;
use crate::cluster::placement::Wish;
use crate::cluster::read_policy::{Bounds, ReadPolicy};
use crate::cluster::route::Mode;
use crate::cluster::session_policy::{Reset, SessionPolicy};
use crate::codec::{DateAs, Int8As, JsonAs, NumericAs, TypeChoices, Types};
use crate::connection::authentication::{Access, Password};
use crate::connection::lease::{LeaseTimes, Leases, OnFailure};
use crate::connection::require_auth::Requirement;
use crate::connection::socket::{KeepAlive, Liveness};
use crate::connection::tls::Encryption;
use crate::pool::router::Limits;
use crate::query::read::ReadDefaults;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PoolOptions {
    hosts: Vec<HostOption>,
    user: String,
    database: String,
    /// One for each host; missing: JavaScript's function is asked.
    passwords: Option<Vec<Option<String>>>,
    pub(super) mode: Mode,
    pool_size: usize,
    min_pool_size: usize,
    connect_timeout_ms: u64,
    acquire_timeout_ms: u64,
    statement_timeout_ms: Option<u64>,
    idle_timeout_ms: u64,
    max_lifetime_ms: u64,
    statement_cache_size: std::num::NonZeroUsize,
    /// Statements in flight on one connection at most.
    pipeline_depth: usize,
    application_name: String,
    options: BTreeMap<String, String>,
    /// More options, written as on a server's command line.
    startup_options: String,
    /// Missing: connections are not encrypted.
    ssl: Option<Encryption>,
    channel_binding: Binding,
    require_auth: Option<RequirementOption>,
    load_balance_hosts: bool,
    keep_alive: Option<KeepAliveOption>,
    tcp_user_timeout_ms: u64,
    pub(super) types: TypeOptions,
    /// Missing: the nodes are not observed in the background.
    monitor: Option<MonitorOptions>,
    /// Bytes of a result at most.
    #[serde(default)]
    max_result_bytes: Option<usize>,
    /// Whether statements have names; missing: they have unless a pooler is recognised.
    #[serde(default)]
    prepare: Option<bool>,
    #[serde(default)]
    reset: ResetOption,
    reads: ReadsOption,
    /// Missing: sessions have no leases.
    #[serde(default)]
    lease: Option<LeaseOption>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LeaseOption {
    service: String,
    instance: String,
    #[serde(deserialize_with = "base64")]
    secret: Vec<u8>,
    ttl_ms: u64,
    soft_ms: u64,
    hard_ms: u64,
    timeout_ms: u64,
    on_failure: OnFailure,
    required: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReadsOption {
    pool_size: usize,
    balance: Balance,
    /// One for each host.
    weights: Vec<f64>,
    max_lag_ms: Option<f64>,
    max_lag_bytes: Option<u64>,
    fallback: Fallback,
    wait_ms: u64,
    hedge_ms: Option<u64>,
    hedge_share: f64,
    slow_start_ms: u64,
    health_threshold: f64,
}

/// Where a read goes when no standby is fit.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Fallback {
    Primary,
    None,
}

/// What a single read says instead of its pool.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ReadCallOptions {
    max_lag_ms: Option<f64>,
    max_lag_bytes: Option<u64>,
    after: Option<String>,
    wait_ms: Option<u64>,
    hedge_ms: Option<u64>,
    fallback: Option<Fallback>,
    /// The node that the caller's balance function has chosen.
    node: Option<usize>,
}

impl ReadCallOptions {
    /// Reads the JSON of a frame.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| format!("options of a read: {error}"))
    }

    /// What the read asks for, with the pool's `defaults`. None: `after` is no token.
    pub(super) fn over(self, defaults: &ReadDefaults) -> Option<ReadDefaults> {
        let mut read = defaults.clone();
        let bounds = &mut read.wish.bounds;
        bounds.max_lag = self.max_lag_ms.map(milliseconds).or(bounds.max_lag);
        bounds.max_lag_bytes = self.max_lag_bytes.or(bounds.max_lag_bytes);
        read.wish.fallback = self.fallback.map_or(read.wish.fallback, |fallback| fallback == Fallback::Primary);
        read.wish.chosen = self.node;
        read.wait = self.wait_ms.map_or(read.wait, Duration::from_millis);
        read.hedge = self.hedge_ms.map(Duration::from_millis).or(read.hedge);
        if let Some(text) = self.after {
            read.wish.after = Some(ConsistencyToken::parse(&text)?);
        }
        Some(read)
    }
}

fn milliseconds(ms: f64) -> Duration {
    Duration::from_secs_f64(ms.max(0.0) / 1000.0)
}

/// The monitor asks a node no more often than this.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResetOption {
    mode: ResetMode,
    sql: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum ResetMode {
    #[default]
    Changes,
    None,
    Discard,
    Sql,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MonitorOptions {
    interval_ms: u64,
    node_timeout_ms: u64,
}

/// Whether a login has to be bound to its TLS session.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Binding {
    Disable,
    Prefer,
    Require,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequirementOption {
    methods: Vec<String>,
    negated: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeepAliveOption {
    idle_ms: Option<u64>,
    interval_ms: Option<u64>,
    count: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostOption {
    host: String,
    port: u16,
    /// Its address, if the name is not to be looked up.
    address: Option<IpAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypeOptions {
    int8: String,
    numeric: String,
    date: String,
    json: String,
    /// The numbers of JavaScript's functions, by the name or the oid of their type.
    parsers: HashMap<String, u32>,
    native: HashSet<u32>,
}

/// Reads the JSON. The error names no values, because passwords are among them.
pub(super) fn parse(json: &str) -> Result<PoolOptions, String> {
    serde_json::from_str(json).map_err(|error| format!("options: line {} column {}", error.line(), error.column()))
}

impl PoolOptions {
    /// How to connect and log in to the nodes.
    pub(super) fn access(&mut self, password: Password) -> Access {
        Access {
            config: self.config(),
            addresses: self.hosts.iter().map(|host| host.address).collect(),
            password,
            encryption: self.ssl.take(),
            requirement: self.require_auth.take().map_or_else(Requirement::default, |required| Requirement {
                methods: Some(required.methods),
                negated: required.negated,
            }),
            liveness: self.liveness(),
            at_random: self.load_balance_hosts,
            leases: self.lease.take().map(|lease| Arc::new(lease.leases(self.application_name.clone()))),
        }
    }

    fn liveness(&self) -> Liveness {
        let keep_alive = self.keep_alive.as_ref().map(|wanted| KeepAlive {
            idle: wanted.idle_ms.map(Duration::from_millis),
            interval: wanted.interval_ms.map(Duration::from_millis),
            count: wanted.count,
        });
        let unacknowledged = Some(self.tcp_user_timeout_ms).filter(|ms| *ms > 0).map(Duration::from_millis);
        Liveness { keep_alive, unacknowledged }
    }

    /// The multi-host configuration: its hosts are the nodes.
    fn config(&self) -> Config {
        let mut config = Config::new();
        for host in &self.hosts {
            config.host(&host.host).port(host.port);
        }
        config.user(&self.user).dbname(&self.database).application_name(&self.application_name);
        // TLS is done before tokio-postgres gets the socket, so it has nothing to negotiate.
        config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        config.channel_binding(match self.channel_binding {
            Binding::Disable => ChannelBinding::Disable,
            Binding::Prefer => ChannelBinding::Prefer,
            Binding::Require => ChannelBinding::Require,
        });
        let timeout = self.statement_timeout_ms.map(|ms| ("statement_timeout".to_owned(), ms.to_string()));
        let own = self.options.iter().map(|(name, value)| (name.clone(), value.clone()));
        let raw = Some(self.startup_options.clone()).filter(|raw| !raw.is_empty());
        // The server applies the last setting of a name.
        let settings: Vec<_> =
            raw.into_iter().chain(own.chain(timeout).map(|(name, value)| setting(&name, &value))).collect();
        if !settings.is_empty() {
            config.options(settings.join(" "));
        }
        config
    }

    pub(super) fn passwords(&mut self) -> Option<Vec<Option<String>>> {
        self.passwords.take()
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            size: self.pool_size,
            min_size: self.min_pool_size,
            reads_size: self.reads.pool_size,
            idle_timeout: Duration::from_millis(self.idle_timeout_ms),
            max_lifetime: Duration::from_millis(self.max_lifetime_ms),
            statements: self.statement_cache_size,
            // A connection that is reset after each use takes one statement at a time.
            depth: match self.reset.mode {
                ResetMode::Changes | ResetMode::None => self.pipeline_depth,
                ResetMode::Discard | ResetMode::Sql => 1,
            },
        }
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn monitor_interval(&self) -> Option<MonitorInterval> {
        // A bound on the lag can be kept only if the lag is measured more often.
        let most = self.reads.max_lag_ms.map_or(Duration::MAX, |lag| milliseconds(lag / 4.0).max(LEAST_INTERVAL));
        let of = |monitor: &MonitorOptions| MonitorInterval {
            interval: Duration::from_millis(monitor.interval_ms).min(most),
            node_timeout: Duration::from_millis(monitor.node_timeout_ms),
        };
        self.monitor.as_ref().map(of)
    }

    pub(super) fn policy(&self) -> SessionPolicy {
        let reset = match self.reset.mode {
            ResetMode::Changes => Reset::Changes,
            ResetMode::None => Reset::Nothing,
            ResetMode::Discard => Reset::Discard,
            ResetMode::Sql => Reset::Sql(self.reset.sql.clone().unwrap_or_default()),
        };
        SessionPolicy { result_limit: self.max_result_bytes, prepare: self.prepare, reset }
    }

    /// How the pool chooses the nodes of its reads.
    pub(super) fn read_policy(&self) -> ReadPolicy {
        ReadPolicy {
            balance: self.reads.balance,
            weights: self.reads.weights.clone(),
            bounds: self.read_bounds(),
            slow_start: Duration::from_millis(self.reads.slow_start_ms),
            health_threshold: self.reads.health_threshold,
        }
    }

    fn read_bounds(&self) -> Bounds {
        Bounds { max_lag: self.reads.max_lag_ms.map(milliseconds), max_lag_bytes: self.reads.max_lag_bytes }
    }

    /// What a read asks for that says nothing itself.
    pub(super) fn read_defaults(&self) -> ReadDefaults {
        let fallback = self.reads.fallback == Fallback::Primary;
        ReadDefaults {
            wish: Wish { bounds: self.read_bounds(), fallback, may_try: true, ..Wish::default() },
            wait: Duration::from_millis(self.reads.wait_ms),
            hedge: self.reads.hedge_ms.map(Duration::from_millis),
        }
    }

    /// The share of reads that may be sent twice.
    pub(super) fn hedge_share(&self) -> f64 {
        self.reads.hedge_share
    }

    pub(super) fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }
}

fn base64<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    // The error names no value.
    STANDARD.decode(String::deserialize(deserializer)?).map_err(|_| serde::de::Error::custom("no base64"))
}

impl LeaseOption {
    fn leases(self, plain_name: String) -> Leases {
        let times = LeaseTimes {
            time_to_live: Duration::from_millis(self.ttl_ms),
            soft: Duration::from_millis(self.soft_ms),
            hard: Duration::from_millis(self.hard_ms),
            timeout: Duration::from_millis(self.timeout_ms),
        };
        let (names, policy) = ((self.service, self.instance), (self.on_failure, self.required));
        Leases::new(names, &self.secret, times, policy, plain_name)
    }
}

impl From<TypeOptions> for Types {
    fn from(types: TypeOptions) -> Self {
        let choices = TypeChoices {
            int8: match types.int8.as_str() {
                "number" => Int8As::Number,
                "string" => Int8As::Text,
                _ => Int8As::BigInt,
            },
            numeric: if types.numeric == "number" { NumericAs::Number } else { NumericAs::Text },
            date: if types.date == "date" { DateAs::Date } else { DateAs::Text },
            json: if types.json == "string" { JsonAs::Text } else { JsonAs::Parse },
        };
        Self { choices, parsers: types.parsers, native: types.native }
    }
}

/// The definition of a statement: its SQL, which contains no NUL, or its own type options as JSON, a NUL and its SQL.
pub(super) fn split_definition(text: &str) -> (Option<Types>, String) {
    let Some((types, sql)) = text.split_once('\0') else { return (None, text.to_owned()) };
    (serde_json::from_str::<TypeOptions>(types).ok().map(Into::into), sql.to_owned())
}

/// One `-c name=value` of the startup packet's options, where spaces separate and backslashes escape (PostgreSQL docs,
/// 34.1.2, options).
fn setting(name: &str, value: &str) -> String {
    let escaped = |text: &str| {
        let escape = |c: char| if c == '\\' || c.is_whitespace() { format!("\\{c}") } else { c.to_string() };
        text.chars().map(escape).collect::<String>()
    };
    format!("-c {}={}", escaped(name), escaped(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_escaped() {
        let table = [
            (("work_mem", "64MB"), "-c work_mem=64MB"),
            (("search_path", "a, b"), r"-c search_path=a,\ b"),
            (("x.y", r"back\slash"), r"-c x.y=back\\slash"),
        ];
        for ((name, value), expected) in table {
            assert_eq!(setting(name, value), expected);
        }
    }

    #[test]
    fn errors_of_parsing_show_no_values() {
        let error = parse(r#"{"passwords":["secret"],"bad":1}"#).err().unwrap_or_default();
        assert!(error.contains("column") && !error.contains("secret"), "{error}");
    }
}
