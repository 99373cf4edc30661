//! The lease of a session (`renewal` renews it): a signed name with an expiry, kept in `application_name`, where every
//! session of the database can read it. A frozen process cannot renew its leases, and a reaper (lib/api/reaper.js) ends
//! idle sessions whose lease has expired.
//!
//! `s=<service>;i=<instance>;e=<expiry, unix ms>;g=<signature>`: the format of the package pg-aequor, at most 63 bytes.
//! The signature is the first 8 bytes of HMAC-SHA256 over all before `;g=`. lib/values/lease.js has the same format in
//! JavaScript; test/serverless compares both.
//!
//! Expiry is by the server's clock, which each login and each renewal reports. Between two reports the time that has
//! passed counts (`server_clock`). A report counts from the moment it was asked for, so the server's clock is never
//! later than this client believes.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::connection::server_clock::{ClockReading, ServerClock};
use crate::engine::lock;

/// What happens when a lease cannot be renewed (the public option `heartbeatErrorMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnFailure {
    /// The session is closed, and the statement runs on another one.
    Reconnect,
    /// The statement runs all the same.
    Swallow,
    /// The statement fails, and is not sent.
    Throw,
}

/// The times of a pool's leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeaseTimes {
    pub(crate) time_to_live: Duration,
    /// With less left a lease is renewed in the background.
    pub(crate) soft: Duration,
    /// With less left a lease is renewed before the next statement.
    pub(crate) hard: Duration,
    /// How long the answer to a renewal may take.
    pub(crate) timeout: Duration,
}

/// How the sessions of a pool get their leases.
pub(crate) struct Leases {
    service: String,
    /// The pool, among all that have the service's name.
    instance: String,
    key: hmac::Key,
    pub(crate) times: LeaseTimes,
    pub(crate) on_failure: OnFailure,
    /// Whether a pooler, behind which leases cannot work, is an error.
    pub(crate) required: bool,
    /// The name of the sessions that have no lease.
    plain_name: String,
    /// The pool has told that there is a pooler.
    announced_pooler: AtomicBool,
    /// When this process was last seen awake.
    awake: Mutex<ClockReading>,
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("service", &self.service)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// Two pools have equal leases if one can renew what the other has signed.
impl PartialEq for Leases {
    fn eq(&self, other: &Self) -> bool {
        let proof = |leases: &Self| hmac::sign(&leases.key, leases.service.as_bytes());
        self.times == other.times && proof(self).as_ref() == proof(other).as_ref()
    }
}

impl Eq for Leases {}

impl Leases {
    pub(crate) fn new(
        (service, instance): (String, String),
        secret: &[u8],
        times: LeaseTimes,
        (on_failure, required): (OnFailure, bool),
        plain_name: String,
    ) -> Self {
        Self {
            service,
            instance,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            times,
            on_failure,
            required,
            plain_name,
            announced_pooler: AtomicBool::new(false),
            awake: Mutex::new(ClockReading::now()),
        }
    }

    /// The `application_name` of a session whose lease ends at `expires`, in milliseconds since 1970.
    fn sign(&self, expires: i64) -> String {
        let text = format!("s={};i={};e={expires}", self.service, self.instance);
        let tag = hmac::sign(&self.key, text.as_bytes());
        format!("{text};g={}", URL_SAFE_NO_PAD.encode(&tag.as_ref()[..8]))
    }

    fn time_to_live(&self) -> i64 {
        self.times.time_to_live.as_millis() as i64
    }

    /// The name of the sessions that have no lease.
    pub(super) fn plain_name(&self) -> &str {
        &self.plain_name
    }

    /// Whether the pool has not been told yet that there is a pooler.
    pub(super) fn begin_announcing_pooler(&self) -> bool {
        !self.announced_pooler.swap(true, Ordering::Relaxed)
    }

    /// The lease for a login, at a server whose clock may be known.
    pub(super) fn for_login(self: &Arc<Self>, clock: &ServerClock) -> SessionLease {
        let at = ClockReading::now();
        let server = at.unix_ms() + clock.offset();
        let expires = server + self.time_to_live();
        let name = self.sign(expires);
        let terms = Mutex::new(Terms { name: name.clone(), expires, server, at });
        SessionLease { leases: self.clone(), login: name, terms, renewal: tokio::sync::Mutex::default() }
    }

    /// For how long this process has been frozen, if that was longer than a lease lives and no earlier call has said so.
    pub(crate) fn frozen_for(&self) -> Option<Duration> {
        let slept = std::mem::replace(&mut *lock(&self.awake), ClockReading::now()).elapsed();
        Some(slept).filter(|slept| *slept > self.times.time_to_live)
    }
}

/// The lease of one session.
#[derive(Debug)]
pub(crate) struct SessionLease {
    leases: Arc<Leases>,
    /// The name with which the session has logged in. RESET gives it back to the session.
    login: String,
    terms: Mutex<Terms>,
    /// One renewal at a time.
    renewal: tokio::sync::Mutex<()>,
}

/// A lease as the server has it.
#[derive(Clone, Debug)]
struct Terms {
    name: String,
    /// When it ends, in milliseconds since 1970 by the server's clock.
    expires: i64,
    /// The server's clock, at this moment or a little later.
    server: i64,
    at: ClockReading,
}

impl Terms {
    /// The server's clock now, or a little later.
    fn server_now(&self) -> i64 {
        self.server + self.at.elapsed().as_millis() as i64
    }

    fn remaining(&self) -> i64 {
        self.expires - self.server_now()
    }
}

impl SessionLease {
    pub(super) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Waits until no other renewal is under way; none begins while the guard lives.
    pub(super) async fn begin_renewal(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.renewal.lock().await
    }

    /// Like [`Self::begin_renewal`]. None: another renewal is under way.
    pub(super) fn try_begin_renewal(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.renewal.try_lock().ok()
    }

    /// The name with which the session would have a full lease from now on, and when that lease ends.
    pub(super) fn next(&self) -> (String, i64) {
        let expires = lock(&self.terms).server_now() + self.leases.time_to_live();
        (self.leases.sign(expires), expires)
    }

    /// The server has set this name.
    pub(super) fn note_renewed(&self, name: String, expires: i64) {
        let mut terms = lock(&self.terms);
        (terms.name, terms.expires) = (name, expires);
    }

    /// The `application_name` that the session should have.
    pub(super) fn name(&self) -> String {
        lock(&self.terms).name.clone()
    }

    /// Whether the session has the lease of its login.
    pub(super) fn is_of_login(&self) -> bool {
        lock(&self.terms).name == self.login
    }

    /// Notes the server's clock.
    pub(super) fn note_clock(&self, server: i64, at: ClockReading) {
        let mut terms = lock(&self.terms);
        (terms.server, terms.at) = (server, at);
    }

    /// Whether the lease, which is new, does not end when it should, because a clock was wrong.
    pub(super) fn has_wrong_length(&self) -> bool {
        let time_to_live = self.leases.time_to_live();
        (lock(&self.terms).remaining() - time_to_live).abs() > time_to_live / 10
    }

    /// Whether the lease has to be renewed: too little of it is left, or far more than it should live.
    pub(super) fn is_due(&self) -> bool {
        let time_to_live = self.leases.time_to_live();
        let remaining = lock(&self.terms).remaining();
        remaining < self.leases.times.soft.as_millis() as i64 || remaining > time_to_live + time_to_live / 10
    }

    pub(super) fn has_less_than(&self, limit: Duration) -> bool {
        lock(&self.terms).remaining() < limit.as_millis() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(service: &str, secret: &[u8]) -> Arc<Leases> {
        let times = LeaseTimes {
            time_to_live: Duration::from_secs(90),
            soft: Duration::from_secs(30),
            hard: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
        };
        let names = (service.to_owned(), "AAAAAAAA".to_owned());
        Arc::new(Leases::new(names, secret, times, (OnFailure::Reconnect, true), "it's plain".into()))
    }

    #[test]
    fn a_lease_is_signed_over_all_before_its_signature() {
        let name = leases("orders", b"0123456789abcdef").sign(1_700_000_000_000);
        // node: crypto.createHmac('sha256', '0123456789abcdef').update('s=orders;i=AAAAAAAA;e=1700000000000').digest()
        assert_eq!(name, "s=orders;i=AAAAAAAA;e=1700000000000;g=eehXSdmTI1A");
        assert!(leases("a23456789012345678-x", b"0123456789abcdef").sign(9_999_999_999_999).len() <= 63);
    }

    #[test]
    fn a_lease_for_a_login_follows_the_clock_of_the_server() {
        let (leases, clock) = (leases("s", b"0123456789abcdef"), ServerClock::default());
        let day = 86_400_000;
        let now = ClockReading::now();
        clock.note(now.unix_ms() + day, now);
        let lease = leases.for_login(&clock);
        let ahead = lock(&lease.terms).expires - now.unix_ms() - day - 90_000;
        assert!((0..1_000).contains(&ahead), "{ahead}");
        assert!(!lease.has_less_than(Duration::from_secs(80)) && lease.has_less_than(Duration::from_secs(91)));
        assert!(!lease.has_wrong_length() && !lease.is_due());
        lease.note_clock(now.unix_ms(), now);
        assert!(lease.has_wrong_length() && lease.is_due(), "a lease that lives a day too long");
        lease.note_clock(now.unix_ms() + 2 * day, now);
        assert!(lease.has_wrong_length() && lease.is_due(), "a lease that has expired");
    }

    #[test]
    fn pools_with_the_same_service_and_secret_can_share_a_monitor() {
        assert_eq!(leases("s", b"0123456789abcdef"), leases("s", b"0123456789abcdef"));
        assert_ne!(leases("s", b"0123456789abcdef"), leases("s", b"0123456789abcdeg"));
        assert_ne!(leases("s", b"0123456789abcdef"), leases("t", b"0123456789abcdef"));
    }

    #[test]
    fn only_a_long_sleep_counts_as_frozen() {
        let leases = leases("s", b"0123456789abcdef");
        assert_eq!(leases.frozen_for(), None);
        lock(&leases.awake).wall -= Duration::from_secs(100);
        assert!(leases.frozen_for().is_some_and(|slept| slept >= Duration::from_secs(100)));
        assert_eq!(leases.frozen_for(), None, "it is told once");
    }
}
