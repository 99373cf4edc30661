//! Which authentication a server may ask for before it has proven its identity (the option `requireAuth`).
//!
//! tokio-postgres answers every request, even one for the password in clear text. So each Authentication message is
//! judged here before tokio-postgres reads it (PostgreSQL docs, 54.2.1 "Start-up" and 54.7 "Message Formats").
//! `protocol` checks the other messages of a login.

use std::io;

use crate::protocol::{Gate, Violation};

/// The authentication methods that a server may ask for (libpq's require_auth).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// None: any method.
    pub(crate) methods: Option<Vec<String>>,
    /// `methods` are those that the server may not ask for.
    pub(crate) negated: bool,
}

impl Requirement {
    fn names(&self, method: &str) -> bool {
        self.methods.as_ref().is_some_and(|methods| methods.iter().any(|named| named == method))
    }

    fn permits(&self, method: &str) -> bool {
        self.methods.is_none() || self.names(method) != self.negated
    }

    /// Whether the user has named this method as one that is allowed.
    fn asks_for(&self, method: &str) -> bool {
        self.names(method) && !self.negated
    }

    /// In libpq's syntax.
    fn describe(&self) -> String {
        let sign = if self.negated { "!" } else { "" };
        let methods = self.methods.iter().flatten();
        methods.map(|method| format!("{sign}{method}")).collect::<Vec<_>>().join(",")
    }
}

/// The server asks for an authentication that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UnacceptableLogin(pub(crate) String);

/// The numbers of AuthenticationOk, AuthenticationSASL and AuthenticationSASLContinue.
const OK: u32 = 0;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;

/// A method's name in require_auth.
fn method(code: u32) -> Option<&'static str> {
    Some(match code {
        3 => "password",
        5 => "md5",
        7 | 8 => "gss",
        9 => "sspi",
        10..=12 => "scram-sha-256",
        _ => return None,
    })
}

/// More iterations of SCRAM's hash than any server asks for. Each takes the I/O thread, which serves all connections,
/// about a microsecond.
const MOST_ITERATIONS: u32 = 100_000;

/// The state of one login.
#[derive(Debug)]
struct LoginCheck {
    requirement: Requirement,
    /// Nobody else can read the stream: TLS, or a Unix-domain socket.
    is_private: bool,
    /// The login can be bound to the TLS session.
    can_bind: bool,
    /// The server has asked for an authentication.
    was_asked: bool,
}

/// Judges the Authentication messages of one login.
pub(crate) fn gate(requirement: Requirement, is_private: bool, can_bind: bool) -> Gate {
    let mut check = LoginCheck { requirement, is_private, can_bind, was_asked: false };
    Box::new(move |request| check.judge(request))
}

impl LoginCheck {
    fn judge(&mut self, request: &[u8]) -> io::Result<()> {
        let Some((code, rest)) = request.split_first_chunk::<4>() else {
            return Err(violation("the server sent a request for authentication without its kind".into()));
        };
        let code = u32::from_be_bytes(*code);
        let wanted = || format!("(requireAuth is '{}')", self.requirement.describe());
        if code == OK {
            // Also with a client certificate: it is no method of require_auth.
            if self.was_asked || self.requirement.permits("none") {
                return Ok(());
            }
            return Err(refused(format!("the server asked for no password {}", wanted())));
        }
        self.was_asked = true;
        let Some(method) = method(code) else {
            return Err(refused(format!("the server asks for an authentication that is not supported ({code})")));
        };
        if !self.requirement.permits(method) {
            return Err(refused(format!("the server asks for the method '{method}' {}", wanted())));
        }
        if method == "password" && !self.is_private && !self.requirement.asks_for(method) {
            let reason = "the server asks for the password in clear text, and the connection is not encrypted \
                          (requireAuth: 'password' allows it)";
            return Err(refused(reason));
        }
        if code == SASL && !self.can_answer(rest) {
            return Err(refused("the server offers no SASL mechanism that can be used here"));
        }
        if code == SASL_CONTINUE && iterations(rest).is_some_and(|rounds| !(1..=MOST_ITERATIONS).contains(&rounds)) {
            let reason = format!("the server asks for less than 1 or more than {MOST_ITERATIONS} iterations of SCRAM");
            return Err(violation(reason));
        }
        Ok(())
    }

    /// Whether tokio-postgres can use an offered mechanism: it would answer with SCRAM-SHA-256 even if only
    /// SCRAM-SHA-256-PLUS was offered and the login cannot be bound.
    fn can_answer(&self, offered: &[u8]) -> bool {
        offered.split(|&byte| byte == 0).any(|mechanism| match mechanism {
            b"SCRAM-SHA-256" => true,
            b"SCRAM-SHA-256-PLUS" => self.can_bind,
            _ => false,
        })
    }
}

fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::other(UnacceptableLogin(reason.into()))
}

fn violation(reason: String) -> io::Error {
    io::Error::other(Violation(reason))
}

/// `i=` of a server-first-message (RFC 5802, section 5.1); a number that cannot be read counts as the largest.
fn iterations(message: &[u8]) -> Option<u32> {
    let digits = message.split(|&byte| byte == b',').find_map(|part| part.strip_prefix(b"i="))?;
    Some(std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(code: u32, rest: &[u8]) -> Vec<u8> {
        [&code.to_be_bytes(), rest].concat()
    }

    fn require(text: &str) -> Requirement {
        let methods: Vec<_> = text.split(',').filter(|name| !name.is_empty()).collect();
        Requirement {
            negated: text.starts_with('!'),
            methods: (!methods.is_empty())
                .then(|| methods.iter().map(|name| name.trim_start_matches('!').to_owned()).collect()),
        }
    }

    #[test]
    fn which_requests_the_requirement_permits() {
        let one = |code| vec![ask(code, b"")];
        let (ok, password, md5, gss) = (one(0), one(3), one(5), one(7));
        let scram = [ask(10, b"SCRAM-SHA-256\0\0"), ask(11, b"r=x,s=y,i=4096"), ask(12, b"v=z"), ask(0, b"")];
        let table: [(&str, bool, &[Vec<u8>], bool); 22] = [
            ("", false, &scram, true),
            ("", false, &md5, true),
            ("", false, &ok, true),
            ("", false, &password, false),
            ("", true, &password, true),
            ("password", false, &password, true),
            ("!md5", false, &password, false),
            ("!md5", true, &password, true),
            ("scram-sha-256", false, &scram, true),
            ("scram-sha-256", true, &md5, false),
            ("scram-sha-256", true, &password, false),
            ("scram-sha-256", true, &ok, false),
            ("scram-sha-256,none", true, &ok, true),
            ("none", true, &ok, true),
            ("none", true, &scram, false),
            ("!none", true, &ok, false),
            ("!none", true, &scram, true),
            ("!password,!md5", true, &md5, false),
            ("!password,!md5", true, &scram, true),
            ("md5,scram-sha-256", true, &md5, true),
            ("!gss", true, &gss, false),
            ("", true, &one(99), false),
        ];
        for (text, is_private, requests, permitted) in table {
            let mut gate = gate(require(text), is_private, false);
            let refused = requests.iter().find_map(|request| gate(request).err());
            let is_ours =
                refused.as_ref().and_then(|error| error.get_ref()?.downcast_ref::<UnacceptableLogin>()).is_some();
            assert_eq!((refused.is_none(), is_ours), (permitted, !permitted), "'{text}' {is_private} {requests:?}");
        }
    }

    #[test]
    fn a_malformed_request_breaks_the_protocol() {
        for request in [ask(11, b"r=x,s=y,i=100001"), ask(11, b"r=x,i=99999999999999999999"), b"abc".to_vec()] {
            let error = gate(Requirement::default(), true, true)(&request).expect_err("refused");
            assert!(error.get_ref().and_then(|inner| inner.downcast_ref::<Violation>()).is_some(), "{request:?}");
        }
    }
}
