//! Keeps watch over a login: what the server may ask for before it is shown to be ours.
//!
//! tokio-postgres answers whatever it is asked, a request for the password in clear text included. So the messages of the
//! login are looked at before it sees them (PostgreSQL docs, 54.2.1 "Start-up" and 54.7 "Message Formats"), until the first
//! ReadyForQuery.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The ways to log in that a server may ask for (libpq's require_auth).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// None: any.
    pub(crate) methods: Option<Vec<String>>,
    /// The methods are those that it may not ask for.
    pub(crate) negated: bool,
}

impl Requirement {
    fn names(&self, method: &str) -> bool {
        self.methods.as_ref().is_some_and(|methods| methods.iter().any(|named| named == method))
    }

    fn permits(&self, method: &str) -> bool {
        self.methods.is_none() || self.names(method) != self.negated
    }

    /// Whether the user has said that a password in clear text will do.
    fn asks_for(&self, method: &str) -> bool {
        self.names(method) && !self.negated
    }

    /// In libpq's words.
    fn describe(&self) -> String {
        let sign = if self.negated { "!" } else { "" };
        let methods = self.methods.iter().flatten();
        methods.map(|method| format!("{sign}{method}")).collect::<Vec<_>>().join(",")
    }
}

/// Why a login was broken off by us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// The server is not to be logged in to as it wants.
    #[error("{0}")]
    Method(String),
    /// What it sends is no login.
    #[error("{0}")]
    Nonsense(String),
}

/// AuthenticationXxx by their numbers.
const OK: u32 = 0;
const SASL_CONTINUE: u32 = 11;

/// A method's name as require_auth has it.
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

/// More rounds of SCRAM's hash than anybody asks for; each costs the thread that serves all connections about a microsecond.
const MOST_ITERATIONS: u32 = 1_000_000;
/// A login is some hundred bytes; the parameters of a strange server some thousand.
const MOST_BYTES: usize = 1 << 20;
/// As libpq has it (fe-connect.c): an Authentication message is longer than its code, and not much longer.
const LONGEST_REQUEST: usize = 2_000;

/// What a login has come to.
#[derive(Debug)]
struct Watch {
    requirement: Requirement,
    /// Nobody reads along: TLS, or a socket of this machine.
    is_private: bool,
    /// The server has asked for something.
    was_asked: bool,
    head: Vec<u8>,
    /// The body of an Authentication message, as far as it has come.
    request: Option<Vec<u8>>,
    /// Bytes of the body that are still to come.
    rest: usize,
    seen: usize,
    is_over: bool,
}

impl Watch {
    fn look(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        self.seen += bytes.len();
        if self.seen > MOST_BYTES {
            return Err(Refused::Nonsense(format!(
                "the server sent more than {MOST_BYTES} bytes before the login was over"
            )));
        }
        while !bytes.is_empty() && !self.is_over {
            if self.rest > 0 {
                let (body, after) = bytes.split_at(self.rest.min(bytes.len()));
                self.rest -= body.len();
                bytes = after;
                if let Some(request) = &mut self.request {
                    request.extend_from_slice(body);
                }
            } else {
                let (head, after) = bytes.split_at((5 - self.head.len()).min(bytes.len()));
                self.head.extend_from_slice(head);
                bytes = after;
                let [kind, a, b, c, d] = self.head[..] else { continue };
                self.head.clear();
                self.begin(kind, u32::from_be_bytes([a, b, c, d]) as usize)?;
            }
            if self.rest == 0
                && let Some(request) = self.request.take()
            {
                self.judge(&request)?;
            }
        }
        Ok(())
    }

    /// A message begins. The length counts itself.
    fn begin(&mut self, kind: u8, length: usize) -> Result<(), Refused> {
        let longest = if kind == b'R' { LONGEST_REQUEST } else { MOST_BYTES };
        let is_known = matches!(kind, b'R' | b'E' | b'N' | b'S' | b'K' | b'Z' | b'v');
        if !is_known || !(4..=longest).contains(&length) {
            let kind = kind.escape_ascii();
            return Err(Refused::Nonsense(format!(
                "the server sent a message of type '{kind}' of {length} bytes during the login"
            )));
        }
        self.rest = length - 4;
        self.request = (kind == b'R').then(Vec::new);
        self.is_over = kind == b'Z';
        Ok(())
    }

    fn judge(&mut self, request: &[u8]) -> Result<(), Refused> {
        let Some((code, rest)) = request.split_first_chunk::<4>() else {
            return Err(Refused::Nonsense("the server sent a request for authentication without its kind".into()));
        };
        let code = u32::from_be_bytes(*code);
        let wanted = || format!("(requireAuth is '{}')", self.requirement.describe());
        if code == OK {
            // With a client certificate, too: that is no method of this list.
            if self.was_asked || self.requirement.permits("none") {
                return Ok(());
            }
            return Err(Refused::Method(format!("the server asked for no password {}", wanted())));
        }
        self.was_asked = true;
        let Some(method) = method(code) else {
            return Err(Refused::Method(format!(
                "the server asks for an authentication that is not supported ({code})"
            )));
        };
        if !self.requirement.permits(method) {
            return Err(Refused::Method(format!("the server asks for the method '{method}' {}", wanted())));
        }
        if method == "password" && !self.is_private && !self.requirement.asks_for(method) {
            let reason = "the server asks for the password in clear text, and the connection is not encrypted \
                          (requireAuth: 'password' allows it)";
            return Err(Refused::Method(reason.into()));
        }
        if code == SASL_CONTINUE && iterations(rest).is_some_and(|rounds| rounds > MOST_ITERATIONS) {
            let reason = format!("the server asks for more than {MOST_ITERATIONS} iterations of SCRAM");
            return Err(Refused::Nonsense(reason));
        }
        Ok(())
    }
}

/// `i=` of a server-first-message (RFC 5802, section 5.1); one that does not fit counts as the most there is.
fn iterations(message: &[u8]) -> Option<u32> {
    let digits = message.split(|&byte| byte == b',').find_map(|part| part.strip_prefix(b"i="))?;
    Some(std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX))
}

/// A stream whose login is watched.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    watch: Watch,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, requirement: Requirement, is_private: bool) -> Self {
        let watch = Watch {
            requirement,
            is_private,
            was_asked: false,
            head: Vec::new(),
            request: None,
            rest: 0,
            seen: 0,
            is_over: false,
        };
        Self { stream, watch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if !self.watch.is_over
            && let Err(refused) = self.watch.look(&buf.filled()[before..])
        {
            return Poll::Ready(Err(io::Error::other(refused)));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend((body.len() as u32 + 4).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn ask(code: u32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&code.to_be_bytes(), rest].concat())
    }

    fn require(text: &str) -> Requirement {
        let methods: Vec<_> = text.split(',').filter(|name| !name.is_empty()).collect();
        Requirement {
            negated: text.starts_with('!'),
            methods: (!methods.is_empty())
                .then(|| methods.iter().map(|name| name.trim_start_matches('!').to_owned()).collect()),
        }
    }

    fn look(requirement: Requirement, is_private: bool, stream: &[u8], size: usize) -> Result<(), Refused> {
        let mut watch = Guarded::new((), requirement, is_private).watch;
        stream.chunks(size).try_for_each(|chunk| watch.look(chunk))
    }

    #[test]
    fn what_a_server_may_ask_for() {
        let (ok, password, md5, gss) = (ask(0, b""), ask(3, b""), ask(5, b"salt"), ask(7, b""));
        let scram = [ask(10, b"SCRAM-SHA-256\0\0"), ask(11, b"r=x,s=y,i=4096"), ask(12, b"v=z"), ok.clone()].concat();
        let table: [(&str, bool, &[u8], bool); 22] = [
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
            ("", true, &ask(99, b""), false),
        ];
        for (text, is_private, stream, permitted) in table {
            for size in [1, 2, 3, 5, 7, stream.len()] {
                let refused = look(require(text), is_private, stream, size).err();
                let is_method = matches!(refused, Some(Refused::Method(_)));
                assert_eq!((refused.is_none(), is_method), (permitted, !permitted), "'{text}' {is_private} {stream:?}");
            }
        }
    }

    #[test]
    fn what_is_no_login() {
        let cases = [
            ask(11, b"r=x,s=y,i=1000001"),
            ask(11, b"r=x,i=99999999999999999999"),
            message(b'R', b"abc"),
            message(b'R', &[0; 2000]),
            message(b'D', b""),
            vec![b'R', 0, 0, 0, 3],
            vec![b'E', 0x7f, 0xff, 0xff, 0xff],
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            message(b'N', &vec![b'x'; 600_000]).repeat(2),
        ];
        for stream in cases {
            for size in [1, 7, stream.len()] {
                let refused = look(Requirement::default(), true, &stream, size);
                assert!(matches!(refused, Err(Refused::Nonsense(_))), "{:?}: {refused:?}", &stream[..9]);
            }
        }
    }

    #[test]
    fn after_the_login_nothing_is_looked_at() {
        let stream = [ask(0, b""), message(b'S', b"a\0b\0"), message(b'Z', b"I"), message(b'D', &[1; 40])].concat();
        assert_eq!(look(Requirement::default(), true, &stream, 9), Ok(()));
    }
}
