//! The login: the ways to reach an address, the password, and what happens after the server has refused it.
//!
//! A wrong password must not be tried by every connection that a pool wants to open, and again each second by the
//! monitor: some servers lock an account after a few failures. So until a login has succeeded one attempt goes ahead of
//! the others, and a password that was refused is not tried again for a while, longer each time.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::{OptionFuture, join};
use serde_json::Value;
use tokio::sync::MutexGuard;
use tokio::time::timeout;
use tokio_postgres::Config;

use crate::connection::connection::Connection;
use crate::connection::endpoint::Endpoint;
use crate::connection::failure::describe;
use crate::connection::failure::{ConnectProgress, ConnectStage, HostFailure, NoPassword};
use crate::connection::lease::Leases;
use crate::connection::notices::{EventSink, Notices, Room};
use crate::connection::occupancy::ask_whether_crowded;
use crate::connection::pooler::StatementNaming;
use crate::connection::probe::Probe;
use crate::connection::require_auth::{Requirement, UnacceptableLogin, gate};
use crate::connection::socket::{Address, Liveness, Ready, Socket};
use crate::connection::tls::{Encryption, SocketFailure, Tls, TlsFailure, Way};
use crate::engine::lock;
use crate::error::{Distrust, ServerError};
use crate::protocol::{ServerStream, StreamObservers};

/// How to log in to the nodes.
#[derive(Debug)]
pub(crate) struct Access {
    /// The hosts and ports in it are the nodes.
    pub(crate) config: Config,
    /// For each host its IP address, if the name is not to be looked up (libpq's hostaddr).
    pub(crate) addresses: Vec<Option<IpAddr>>,
    pub(crate) password: Password,
    /// None: connections are not encrypted.
    pub(crate) encryption: Option<Encryption>,
    pub(crate) requirement: Requirement,
    pub(crate) liveness: Liveness,
    /// Hosts are tried in random order.
    pub(crate) at_random: bool,
    /// None: sessions have no leases.
    pub(crate) leases: Option<Arc<Leases>>,
}

/// Asks for a password; resolves to the password, or to why there is none.
pub(crate) type AskPassword =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, NoPassword>> + Send>> + Send + Sync>;

/// Where passwords come from.
pub(crate) enum Password {
    /// For each host the password, if one is known (`~/.pgpass` can have different ones).
    PerHost(Vec<Option<String>>),
    /// The user's function, called for each new connection.
    Ask(AskPassword),
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// How long the other attempts wait for the first login. If that takes longer, its server is frozen or far away.
const TRIAL: Duration = Duration::from_millis(250);
/// How long a refused password is not tried again: at first, and at most.
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The password, and whether servers accept it.
struct Credentials {
    password: Password,
    requirement: Requirement,
    /// A login has succeeded since the last one was refused.
    proven: AtomicBool,
    trial: tokio::sync::Mutex<()>,
    refused: Mutex<Option<RefusedPassword>>,
}

/// A password that the server refused.
struct RefusedPassword {
    password: String,
    error: Box<ServerError>,
    rests: Duration,
    until: Instant,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Credentials {
    pub(crate) fn new(password: Password, requirement: Requirement) -> Self {
        Self {
            password,
            requirement,
            proven: AtomicBool::new(false),
            trial: tokio::sync::Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// The password for a host, if it is known without asking JavaScript.
    fn known(&self, host: usize) -> Option<&str> {
        match &self.password {
            Password::PerHost(passwords) => passwords.get(host)?.as_deref(),
            Password::Ask(_) => None,
        }
    }

    async fn password_for(&self, host: usize) -> Result<Option<String>, NoPassword> {
        match &self.password {
            Password::PerHost(_) => Ok(self.known(host).map(str::to_owned)),
            Password::Ask(ask) => ask().await.map(Some),
        }
    }

    /// Fails while this password must not be tried again.
    fn check(&self, password: Option<&str>) -> Result<(), HostFailure> {
        match &*lock(&self.refused) {
            Some(refused) if password == Some(&refused.password) && Instant::now() < refused.until => {
                Err(HostFailure::Refused(refused.error.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Waits for the attempt that tries the password first. The caller keeps the guard until its login has ended.
    async fn wait_for_turn(&self) -> Option<MutexGuard<'_, ()>> {
        if self.proven.load(Ordering::Relaxed) {
            return None;
        }
        timeout(TRIAL, self.trial.lock()).await.ok()
    }

    fn note_accepted(&self) {
        if !self.proven.swap(true, Ordering::Relaxed) {
            *lock(&self.refused) = None;
        }
    }

    fn note_refused(&self, password: Option<String>, error: &ServerError) {
        let Some(password) = password.filter(|_| error.code == WRONG_PASSWORD) else { return };
        self.proven.store(false, Ordering::Relaxed);
        let mut refused = lock(&self.refused);
        let rests = match &*refused {
            Some(before) if before.password == password => (before.rests * 2).min(LONGEST_REST),
            _ => FIRST_REST,
        };
        let until = Instant::now() + rests;
        *refused = Some(RefusedPassword { password, error: Box::new(error.clone()), rests, until });
    }
}

const WRONG_PASSWORD: &str = "28P01";
/// pg_hba.conf has no line for this host, user, database and encryption.
const NO_ENTRY: &str = "28000";

/// What all logins of a pool share.
pub(crate) struct Connector {
    credentials: Credentials,
    tls: Arc<Tls>,
    naming: StatementNaming,
    leases: Option<Arc<Leases>>,
    /// Bytes of a row at most.
    result_limit: Option<usize>,
    event_sink: EventSink,
    /// JavaScript has a listener for notices.
    notices: Arc<AtomicBool>,
}

impl Connector {
    pub(crate) fn new(
        (password, requirement): (Password, Requirement),
        tls: Tls,
        (naming, leases): (StatementNaming, Option<Arc<Leases>>),
        result_limit: Option<usize>,
        event_sink: EventSink,
    ) -> Self {
        Self {
            credentials: Credentials::new(password, requirement),
            tls: Arc::new(tls),
            naming,
            leases,
            result_limit,
            event_sink,
            notices: Arc::default(),
        }
    }

    /// Sends an event of the pool to JavaScript. Returns what to wait for before the next one.
    pub(crate) fn announce(&self, event: Value) -> Room {
        (self.event_sink)(event)
    }

    /// Whether JavaScript has a listener for notices: they are dropped otherwise.
    pub(crate) fn want_notices(&self, wanted: bool) {
        self.notices.store(wanted, Ordering::Relaxed);
    }

    fn notices_of(&self, endpoint: &Endpoint) -> Notices {
        Notices { event_sink: self.event_sink.clone(), wanted: self.notices.clone(), node: endpoint.label() }
    }
}

/// One connection to one address, encrypted or not, as sslmode demands.
pub(crate) async fn log_in(
    connector: &Connector,
    config: &Config,
    endpoint: &Arc<Endpoint>,
    address: &Address,
    progress: &ConnectProgress,
) -> Result<(Connection, Probe), HostFailure> {
    let mut first = None;
    for &way in connector.tls.ways(address) {
        let (failure, is_about_encryption) = match attempt(connector, config, endpoint, (address, way), progress).await
        {
            Ok(found) => return Ok(found),
            Err(FailedAttempt { failure, is_about_encryption }) => (failure, is_about_encryption),
        };
        if !is_about_encryption {
            return Err(failure);
        }
        first = match (first, failure) {
            // The failure of TLS says more than the server's refusal of a connection without it.
            (Some(tls @ HostFailure::Untrusted(_)), HostFailure::Refused(_)) => Some(tls),
            (_, failure) => Some(failure),
        };
    }
    Err(first.unwrap_or_else(|| HostFailure::Unreachable("no way to connect".into())))
}

/// An attempt that failed.
struct FailedAttempt {
    failure: HostFailure,
    /// The attempt with or without encryption may succeed instead. (libpq also tries a
    /// wrong password a second time; this client does not, because some servers count failed logins.)
    is_about_encryption: bool,
}

impl From<HostFailure> for FailedAttempt {
    fn from(failure: HostFailure) -> Self {
        let is_about_encryption = match &failure {
            HostFailure::Untrusted(distrust) => distrust.is_tls(),
            HostFailure::Refused(error) => error.code == NO_ENTRY,
            _ => false,
        };
        Self { failure, is_about_encryption }
    }
}

async fn attempt(
    connector: &Connector,
    config: &Config,
    endpoint: &Arc<Endpoint>,
    (address, way): (&Address, Way),
    progress: &ConnectProgress,
) -> Result<(Connection, Probe), FailedAttempt> {
    let credentials = &connector.credentials;
    credentials.check(credentials.known(endpoint.index))?;
    let (socket, binding) =
        connector.tls.connect(endpoint, address, way, progress).await.map_err(|failure| match failure {
            SocketFailure::Io(error) => HostFailure::Unreachable(error.to_string()).into(),
            SocketFailure::BrokenOff(error) => {
                let failure = HostFailure::Unreachable(format!("the TLS handshake was broken off: {error}"));
                FailedAttempt { failure, is_about_encryption: true }
            }
            SocketFailure::Unreadable(reason) => HostFailure::Confused(reason).into(),
            SocketFailure::Tls(failure) => untrusted(distrust(endpoint, failure)).into(),
        })?;
    let mut config = config.clone();
    progress.set(ConnectStage::Password);
    let password = credentials.password_for(endpoint.index).await.map_err(HostFailure::Password)?;
    progress.set(ConnectStage::Asking);
    let turn = match password {
        Some(_) => credentials.wait_for_turn().await,
        None => None,
    };
    credentials.check(password.as_deref())?;
    if let Some(password) = &password {
        config.password(password);
    }
    let lease = connector.leases.as_ref().map(|leases| leases.for_login(&endpoint.server_clock));
    if let Some(lease) = &lease {
        config.application_name(lease.name());
    }
    let is_private = !matches!(socket, Socket::Tcp(_));
    let observers = StreamObservers { row_limit: connector.result_limit, ..StreamObservers::default() };
    let stream = ServerStream::new(socket, &observers).gated(gate(
        credentials.requirement.clone(),
        is_private,
        binding.is_some(),
    ));
    let (client, connection) = match config.connect_raw(stream, Ready { binding }).await {
        Ok(connected) => connected,
        Err(error) => {
            let failure = login_failure(endpoint, error);
            if let HostFailure::Refused(error) = &failure {
                credentials.note_refused(password, error);
            }
            return Err(failure.into());
        }
    };
    credentials.note_accepted();
    drop(turn);
    let notices = connector.notices_of(endpoint);
    let place = (address.clone(), way, connector.tls.clone());
    let mut conn = Connection::start(client, connection, endpoint, place, observers, notices);
    // Both in one flight.
    let crowded = OptionFuture::from(lease.as_ref().map(|_| ask_whether_crowded(&conn.client)));
    let (probe, crowded) = join(conn.probe(), crowded).await;
    conn.found_crowd = crowded == Some(true);
    let probe = probe.map_err(HostFailure::from)?;
    connector.naming.apply(&conn, &connector.event_sink);
    if let Some(lease) = lease {
        conn.begin_lease(lease, &probe, &connector.event_sink).await?;
    }
    Ok((conn, probe))
}

fn untrusted(distrust: Distrust) -> HostFailure {
    HostFailure::Untrusted(Box::new(distrust))
}

fn distrust(endpoint: &Endpoint, TlsFailure { subject, reason }: TlsFailure) -> Distrust {
    Distrust::tls(endpoint.host_name(), endpoint.port, subject, reason)
}

/// Why the client has ended the login, if it has.
fn broken_off(error: &tokio_postgres::Error) -> Option<UnacceptableLogin> {
    error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<UnacceptableLogin>().cloned()
}

/// Why a login failed.
fn login_failure(endpoint: &Endpoint, error: tokio_postgres::Error) -> HostFailure {
    if error.as_db_error().is_some() {
        return error.into();
    }
    if let Some(failure) = TlsFailure::in_stream(&error) {
        // With TLS 1.3 the server refuses a client certificate only after the handshake.
        return untrusted(distrust(endpoint, failure));
    }
    if let Some(UnacceptableLogin(reason)) = broken_off(&error) {
        return untrusted(Distrust::authentication(endpoint.host_name(), endpoint.port, reason));
    }
    let text = describe(&error);
    if text.contains("password missing") {
        // tokio-postgres has no code for this error, so it gets the code of a server's.
        let message = "the server asks for a password, and none was given".to_owned();
        let error = ServerError { code: WRONG_PASSWORD.into(), message, ..ServerError::default() };
        return HostFailure::Refused(Box::new(error));
    }
    match text.strip_prefix("authentication error: ") {
        Some(reason) => untrusted(Distrust::authentication(endpoint.host_name(), endpoint.port, reason.to_owned())),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong_password() -> ServerError {
        ServerError { code: WRONG_PASSWORD.into(), ..ServerError::default() }
    }

    #[test]
    fn a_refused_password_rests_and_another_does_not() {
        let credentials = Credentials::new(Password::PerHost(vec![Some("one".into())]), Requirement::default());
        assert!(credentials.check(Some("one")).is_ok());
        credentials.note_refused(Some("one".into()), &wrong_password());
        assert!(credentials.check(Some("one")).is_err());
        assert!(credentials.check(Some("two")).is_ok(), "a token that was renewed");
        assert!(credentials.check(None).is_ok());
        lock(&credentials.refused).as_mut().expect("refused").until = Instant::now();
        assert!(credentials.check(Some("one")).is_ok(), "the password may be right by now");
        credentials.note_refused(Some("one".into()), &wrong_password());
        assert_eq!(lock(&credentials.refused).as_ref().expect("refused").rests, FIRST_REST * 2);
        credentials.note_accepted();
        assert!(lock(&credentials.refused).is_none());
    }

    #[test]
    fn only_a_wrong_password_makes_the_password_rest() {
        let credentials = Credentials::new(Password::PerHost(vec![Some("one".into())]), Requirement::default());
        let error = ServerError { code: NO_ENTRY.into(), ..ServerError::default() };
        credentials.note_refused(Some("one".into()), &error);
        assert!(credentials.check(Some("one")).is_ok());
    }
}
