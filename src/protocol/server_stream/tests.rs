use std::collections::VecDeque;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::protocol::session_state::Naming;

mod direct;
mod flights;
mod savepoints;

/// A server that sends and accepts at most `piece` bytes at a time, and refuses every other write as pending.
#[derive(Debug)]
struct FakeServer {
    comes: VecDeque<u8>,
    took: Vec<u8>,
    piece: usize,
    defers: bool,
}

impl AsyncRead for FakeServer {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let length = self.piece.min(self.comes.len()).min(buf.remaining());
        let piece: Vec<u8> = self.comes.drain(..length).collect();
        buf.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FakeServer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.defers = !self.defers;
        if self.defers {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let taken = buf.len().min(self.piece);
        self.took.extend_from_slice(&buf[..taken]);
        Poll::Ready(Ok(taken))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const PIECES: [usize; 6] = [1, 2, 3, 5, 7, 100_000];

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    bytes
}

fn startup() -> Vec<u8> {
    [8_u32.to_be_bytes(), 196_608_u32.to_be_bytes()].concat()
}

fn bind(name: &str, result_formats: &[u8]) -> Vec<u8> {
    message(b'B', &[b"\0", name.as_bytes(), b"\0\0\x01\0\x01\0\x01\0\0\0\x02BB", result_formats].concat())
}

fn parse(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = [name.as_bytes(), b"\0", sql.as_bytes(), b"\0"].concat();
    body.extend((types.len() as u16).to_be_bytes());
    for oid in types {
        body.extend(oid.to_be_bytes());
    }
    message(b'P', &body)
}

fn columns(name: &str, oid: u32, format: u16) -> Vec<u8> {
    let mut body = [&[0, 1], name.as_bytes(), b"\0", &[0; 6]].concat();
    body.extend(oid.to_be_bytes());
    body.extend([0, 4, 0xff, 0xff, 0xff, 0xff]);
    body.extend(format.to_be_bytes());
    message(b'T', &body)
}

const BINARY: &[u8] = &[0, 1, 0, 1];

/// A successful login.
fn login() -> Vec<u8> {
    [
        message(b'R', &[0, 0, 0, 0]),
        message(b'S', b"TimeZone\0UTC\0"),
        message(b'K', &[0, 0, 4, 0xd2, 1, 2, 3, 4]),
        message(b'Z', b"I"),
    ]
    .concat()
}

/// What tokio-postgres sends, and what the server answers.
type Act<'a> = (&'a [u8], &'a [u8]);

/// Plays the acts in pieces. Returns what the server got, what tokio-postgres got, and how it ended.
fn play(observers: &StreamObservers, piece: usize, acts: &[Act<'_>]) -> (Vec<u8>, Vec<u8>, Option<String>) {
    let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stage = FakeServer { comes: VecDeque::new(), took: Vec::new(), piece, defers: false };
    let mut wire = ServerStream::new(stage, observers);
    let mut got = Vec::new();
    let mut ended = None;
    rt.block_on(async {
        for (sent, answer) in acts {
            wire.write_all(sent).await.unwrap();
            wire.flush().await.unwrap();
            wire.stream.comes.extend(*answer);
            // All that the server has sent so far: it may send more with the next act.
            if let Err(error) = wire.read_to_end(&mut got).await {
                ended = Some(error.to_string());
                break;
            }
        }
    });
    (wire.stream.took, got, ended)
}

#[test]
fn correct_messages_pass_unchanged() {
    let asked = [parse("s1", "SELECT", &[]), message(b'D', b"Ss1\0"), message(b'S', b"")].concat();
    let described = [message(b'1', b""), message(b't', &[0, 0]), columns("n", 23, 0), message(b'Z', b"I")].concat();
    let run = [bind("s1", BINARY), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    let rows = [
        message(b'2', b""),
        message(b'D', b"\0\x01\0\0\0\x04DDDD"),
        message(b'N', b"SNOTICE\0\0"),
        message(b'C', b"SELECT 1\0"),
        message(b'Z', b"I"),
    ]
    .concat();
    for piece in PIECES {
        let observers = StreamObservers { row_limit: Some(100), ..StreamObservers::default() };
        let acts: &[Act<'_>] = &[(&startup(), &login()), (&asked, &described), (&run, &rows)];
        let (took, got, ended) = play(&observers, piece, acts);
        assert_eq!(ended, None, "pieces of {piece} bytes");
        assert_eq!(took, [startup(), asked.clone(), run.clone()].concat(), "pieces of {piece} bytes");
        assert_eq!(got, [login(), described.clone(), rows.clone()].concat(), "pieces of {piece} bytes");
        assert_eq!(observers.session_state.pid(), Some(1234));
    }
}

#[test]
fn a_malformed_message_breaks_the_connection_at_once() {
    let head = |kind: u8, length: u32| [&[kind][..], &length.to_be_bytes()].concat();
    let query = message(b'Q', b"SELECT 1\0");
    let short = message(b'D', &vec![0; 60_000]);
    // Whether the login is over, what comes, and the error that follows.
    let table = [
        (false, head(b'R', 0x7fff_ffff), "type 'R' of 2147483647 bytes"),
        (false, head(b'R', 4), "type 'R' of 4 bytes"),
        (false, head(b'E', 30_001), "type 'E' of 30001 bytes"),
        (false, b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "unknown type ('H') during the login"),
        (false, message(b'D', b"\0\0"), "unknown type ('D') during the login"),
        (false, [0xff; 10].to_vec(), "unknown type (0xff) during the login"),
        (false, message(b'N', &vec![b'x'; 29_000]).repeat(40), "more than 1048576 bytes before it was ready"),
        (
            false,
            (0..300).flat_map(|at| message(b'S', format!("p{at}\0v\0").as_bytes())).collect(),
            "more than 256 parameters",
        ),
        (true, head(b'D', 0x7fff_ffff), "type 'D' of 2147483647 bytes"),
        (true, head(b'D', 3), "type 'D' of 3 bytes"),
        (true, head(b'C', 30_001), "type 'C' of 30001 bytes"),
        (true, head(b'Z', 6), "type 'Z' of 6 bytes"),
        (true, head(b'T', 0x0100_0001), "type 'T' of 16777217 bytes"),
        (true, head(b'x', 4), "unknown type ('x')"),
        (true, head(b'K', 12), "unknown type ('K')"),
        (true, message(b'2', b""), "type '2' that nothing had asked for"),
        (true, message(b'Z', b"I"), "type 'Z' that nothing had asked for"),
        (true, [message(b'T', b"\0\0"), short.repeat(20)].concat(), "does not come to an end with a short answer"),
    ];
    for piece in PIECES {
        for (logged_in, comes, said) in &table {
            let (sent, first) = if *logged_in { (query.clone(), login()) } else { (Vec::new(), Vec::new()) };
            let acts: &[Act<'_>] = &[(&startup(), &first), (&sent, comes)];
            let (_, _, ended) = play(&StreamObservers::default(), piece, acts);
            let ended = ended.unwrap_or_default();
            assert!(ended.contains(said), "pieces of {piece} bytes: {ended:?} should say {said:?}");
        }
    }
}

#[test]
fn messages_before_a_malformed_one_still_arrive() {
    let good = [message(b'T', &[0, 0]), message(b'C', b"SELECT 0\0"), message(b'Z', b"I")].concat();
    let comes = [good.clone(), message(b'Z', b"I")].concat();
    let acts: &[Act<'_>] = &[(&startup(), &login()), (&message(b'Q', b"x\0"), &comes)];
    let (_, got, ended) = play(&StreamObservers::default(), 100_000, acts);
    assert_eq!(got, [login(), good].concat());
    assert!(ended.unwrap_or_default().contains("nothing had asked for"));
}

#[test]
fn a_row_that_is_too_large_is_replaced_by_an_error() {
    let run = [bind("s1", BINARY), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    let small = message(b'D', &[1; 100]);
    let (begin, end) =
        ([message(b'2', b""), small.clone()].concat(), [message(b'C', b"SELECT 4\0"), message(b'Z', b"I")].concat());
    let comes =
        [begin.clone(), message(b'D', &[2; 101]), small.clone(), message(b'D', &[2; 5000]), end.clone()].concat();
    let error = message(b'E', b"SERROR\0VERROR\0CHY001\0Ma row of 101 bytes\0\0");
    let expected = [login(), begin, error, small, end].concat();
    for piece in PIECES {
        let observers = StreamObservers { row_limit: Some(100), ..StreamObservers::default() };
        let (_, got, ended) = play(&observers, piece, &[(&startup(), &login()), (&run, &comes)]);
        assert_eq!(got, expected, "pieces of {piece} bytes");
        assert_eq!(ended, None);
    }
}

#[test]
fn a_gate_judges_the_login_before_tokio_postgres_reads_it() {
    for piece in PIECES {
        let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let comes = [message(b'N', b"\0"), message(b'R', &[0, 0, 0, 3])].concat().into();
        let stage = FakeServer { comes, took: Vec::new(), piece, defers: false };
        let refuse = |body: &[u8]| if body == [0, 0, 0, 3] { Err(io::Error::other("no")) } else { Ok(()) };
        let mut wire = ServerStream::new(stage, &StreamObservers::default()).gated(Box::new(refuse));
        let mut got = Vec::new();
        let ended = rt.block_on(wire.read_to_end(&mut got)).unwrap_err();
        assert_eq!((got, ended.to_string().as_str()), (message(b'N', b"\0"), "no"), "pieces of {piece} bytes");
    }
}

#[test]
fn a_listener_gets_the_answers_to_a_script_in_pieces_of_any_size() {
    use crate::protocol::response_observer::{CopyState, TransactionStatus};
    let comes = [
        message(b'C', b"SET\0"),
        message(b'T', b"\0\x01columns"),
        message(b'D', b"\0\x01CCCC"),
        message(b'C', b"SELECT 1\0"),
        message(b'I', b""),
        message(b'N', b"CCC"),
        message(b'Z', b"T"),
    ]
    .concat();
    for piece in PIECES {
        let observers = StreamObservers::default();
        let responses = observers.responses.listen_to_script();
        let acts: &[Act<'_>] = &[(&startup(), &login()), (&message(b'Q', b"x\0"), &comes)];
        assert_eq!(play(&observers, piece, acts).2, None);
        let answers = responses.answers();
        let tags: Vec<_> =
            answers.results.iter().map(|answer| (answer.tag.as_str(), answer.columns.is_some())).collect();
        assert_eq!(tags, [("SET", false), ("SELECT 1", true), ("", false)], "pieces of {piece} bytes");
        assert_eq!(answers.results[1].columns.as_deref(), Some(&b"\0\x01columns"[..]));
        assert_eq!(
            (answers.summary.transaction_status, answers.copy_state),
            (TransactionStatus::InTransaction, CopyState::None)
        );
        assert_eq!(observers.session_state.changes(), 1, "SET changes the session");
    }
}

#[test]
fn a_listener_is_signalled_by_an_error_only_after_copy_in_response() {
    let load = [bind("s1", BINARY), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
    let error = message(b'E', b"SERROR\0\0");
    let begun = [message(b'2', b""), message(b'G', b"\0\0\0")].concat();
    for piece in PIECES {
        for (comes, expected) in [([begun.clone(), error.clone()].concat(), true), (error.clone(), false)] {
            let observers = StreamObservers::default();
            let responses = observers.responses.listen();
            play(&observers, piece, &[(&startup(), &login()), (&load, &comes)]);
            let signalled = futures_util::FutureExt::now_or_never(responses.signalled()).is_some();
            assert_eq!(signalled, expected, "pieces of {piece} bytes");
        }
    }
}

#[test]
fn only_the_formats_of_the_registered_statement_change() {
    let observers = StreamObservers::default();
    let asked = observers.result_formats.ask("s7".into(), vec![true, false]);
    let sync = message(b'S', b"");
    let other = [bind("s70", BINARY), sync.clone(), message(b'd', &bind("s7", BINARY))].concat();
    let stream = [other.clone(), bind("s7", BINARY), sync.clone(), other.clone()].concat();
    let expected = [startup(), other.clone(), bind("s7", &[0, 2, 0, 0, 0, 1]), sync, other].concat();
    for piece in PIECES {
        let (took, ..) = play(&observers, piece, &[(&startup(), &[]), (&stream, &[])]);
        assert_eq!(took, expected, "pieces of {piece} bytes");
    }
    drop(asked);
    let (took, ..) = play(&observers, 1000, &[(&startup(), &[]), (&stream, &[])]);
    assert_eq!(took, [startup(), stream].concat());
}

#[test]
fn a_load_begins_with_a_flush() {
    let observers = StreamObservers::default();
    let _asked = observers.result_formats.ask_for_load("s7".into());
    let (execute, sync, data) = (message(b'E', b"\0\0\0\0\0"), message(b'S', b""), message(b'd', b"SSSSS"));
    let first = [bind("s7", BINARY), execute.clone(), sync.clone()].concat();
    let rest = [data.clone(), message(b'f', b"\0"), sync.clone()].concat();
    let refused = message(b'E', b"SERROR\0\0");
    let ready = message(b'Z', b"I");
    for piece in PIECES {
        let acts: &[Act<'_>] = &[(&startup(), &login()), (&first, &refused), (&rest, &ready)];
        let (took, got, ended) = play(&observers, piece, acts);
        let expected = [startup(), bind("s7", BINARY), execute.clone(), message(b'H', b""), rest.clone()].concat();
        assert_eq!(took, expected, "pieces of {piece} bytes");
        assert_eq!((got, ended), ([login(), refused.clone(), ready.clone()].concat(), None));
    }
}

#[test]
fn statements_without_names_are_parsed_again_with_each_bind() {
    let (execute, sync) = (message(b'E', b"\0\0\0\0\0"), message(b'S', b""));
    let prepare = [parse("s1", "SELECT $1", &[]), message(b'D', b"Ss1\0"), sync.clone()].concat();
    let prepared =
        [message(b'1', b""), message(b't', &[0, 1, 0, 0, 0, 23]), columns("n", 23, 0), message(b'Z', b"I")].concat();
    let run = [bind("s1", BINARY), execute.clone(), sync.clone()].concat();
    let row = message(b'D', b"\0\x01\0\0\0\x04DDDD");
    let complete = [message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
    let end = [row, complete.clone()].concat();
    let again = [message(b'1', b""), message(b'2', b""), columns("n", 23, 1), end.clone()].concat();
    let others = [message(b'1', b""), message(b'2', b""), columns("n", 700, 1), end.clone()].concat();
    let refused = [message(b'E', b"SERROR\0\0"), message(b'Z', b"I")].concat();
    let close = [message(b'C', b"Ss1\0"), sync.clone()].concat();
    let ready = message(b'Z', b"I");
    let acts: &[Act<'_>] = &[
        (&startup(), &login()),
        (&prepare, &prepared),
        (&[run.clone(), run.clone()].concat(), &[again.clone(), again].concat()),
        (&[run.clone(), run.clone()].concat(), &[refused.clone(), others].concat()),
        (&close, &ready),
    ];
    let expected_run =
        [parse("", "SELECT $1", &[23]), bind("", BINARY), message(b'D', b"P\0"), execute, sync.clone()].concat();
    let expected_sent =
        [startup(), parse("", "SELECT $1", &[]), message(b'D', b"S\0"), sync.clone(), expected_run.repeat(4), sync]
            .concat();
    let bound = message(b'2', b"");
    let changed = message(b'E', b"SERROR\0VERROR\0CHY002\0Mthe columns have changed\0\0");
    let expected_got = [
        login(),
        prepared.clone(),
        [bound.clone(), end.clone()].concat().repeat(2),
        refused.clone(),
        // The rows do not go on: tokio-postgres would read them by the columns of before.
        [bound, changed, complete].concat(),
        ready.clone(),
    ]
    .concat();
    for piece in PIECES {
        let observers = StreamObservers::default();
        observers.session_state.set_naming(Naming::None);
        let (took, got, ended) = play(&observers, piece, acts);
        assert_eq!(ended, None, "pieces of {piece} bytes");
        assert_eq!(took, expected_sent, "pieces of {piece} bytes");
        assert_eq!(got, expected_got, "pieces of {piece} bytes");
    }
}

#[test]
fn names_get_the_prefix_of_the_process() {
    let observers = StreamObservers::default();
    observers.session_state.set_naming(Naming::Prefixed);
    let prefix = crate::protocol::session_state::prefix();
    let of = |name: &str| {
        let described = |kind| message(kind, format!("S{name}\0").as_bytes());
        [parse(name, "SELECT 1", &[23]), described(b'D'), bind(name, BINARY), described(b'C'), message(b'S', b"")]
            .concat()
    };
    for piece in PIECES {
        let (took, ..) = play(&observers, piece, &[(&startup(), &[]), (&of("s1"), &[]), (&of(""), &[])]);
        assert_eq!(took, [startup(), of(&format!("{prefix}s1")), of("")].concat(), "pieces of {piece} bytes");
    }
}

proptest::proptest! {
    /// The stream ends whatever comes, and tokio-postgres gets nothing that did not come.
    #[test]
    fn any_bytes_end(messages in proptest::collection::vec((0_u8..128, proptest::collection::vec(0_u8..4, 0..20), -2_i32..3), 0..12), piece in 1_usize..9) {
        let mut comes = login();
        for (kind, body, lie) in messages {
            let mut bytes = message(kind, &body);
            let length = (body.len() as i32 + 4).wrapping_add(lie.pow(3)).max(0) as u32;
            bytes[1..5].copy_from_slice(&length.to_be_bytes());
            comes.extend(bytes);
        }
        let run = [bind("s1", BINARY), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat();
        let observers = StreamObservers { row_limit: Some(10), ..StreamObservers::default() };
        for naming in [Naming::AsTheyAre, Naming::None] {
            observers.session_state.set_naming(naming);
            let (_, got, _) = play(&observers, piece, &[(&[startup(), run.clone()].concat(), &comes)]);
            proptest::prop_assert!(got.len() <= comes.len() + 200);
        }
    }
}
