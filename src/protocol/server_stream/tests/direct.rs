use std::sync::{Arc, Mutex};

use bytes::BytesMut;

use super::*;
use crate::engine::lock;
use crate::protocol::direct::DirectAnswer;

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down what it is told.
struct Told(Log);

impl Told {
    fn note(&self, what: impl Into<String>) {
        lock(&self.0).push(what.into());
    }
}

impl DirectAnswer for Told {
    fn sent(&mut self) {
        self.note("sent");
    }
    fn begun(&mut self) {
        self.note("begun");
    }
    fn row(&mut self, body: &[u8]) -> Option<()> {
        self.note(format!("row {}", body.escape_ascii()));
        (body != b"wrong").then_some(())
    }
    fn row_too_large(&mut self) {
        self.note("too large");
    }
    fn completed(&mut self, tag: &str) {
        self.note(format!("completed {tag}"));
    }
    fn failed(&mut self, fields: &[u8]) -> Option<()> {
        self.note(format!("failed {}", fields.escape_ascii()));
        Some(())
    }
    fn ended(self: Box<Self>) {
        self.note("ended");
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.note("dropped");
    }
}

fn send(observers: &StreamObservers, request: &[u8]) -> Log {
    let log = Log::default();
    let told = Box::new(Told(log.clone()));
    let request = |out: &mut BytesMut| -> Result<Box<dyn DirectAnswer>, ()> {
        out.extend_from_slice(request);
        Ok(told)
    };
    observers.direct.send(request).expect("it can be written");
    log
}

fn request(name: &str) -> Vec<u8> {
    [bind(name, BINARY), message(b'E', b"\0\0\0\0\0"), message(b'S', b"")].concat()
}

fn answer(row: &[u8]) -> Vec<u8> {
    [message(b'2', b""), message(b'D', row), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()
}

const LOG: [&str; 6] = ["sent", "begun", "row a", "completed SELECT 1", "ended", "dropped"];

/// A connection that has logged in.
struct Session {
    observers: StreamObservers,
    wire: ServerStream<FakeServer>,
    /// What tokio-postgres got since the login.
    got: Vec<u8>,
}

impl Session {
    async fn new(piece: usize, row_limit: Option<usize>) -> Self {
        let observers = StreamObservers { row_limit, ..StreamObservers::default() };
        let server = FakeServer { comes: VecDeque::new(), took: Vec::new(), piece, defers: false };
        let mut session = Self { wire: ServerStream::new(server, &observers), observers, got: Vec::new() };
        assert_eq!(session.act(&startup(), &login()).await, None);
        session.got.clear();
        session.wire.stream.took.clear();
        session
    }

    /// tokio-postgres sends something, and the server answers. Returns how the connection has ended, if it has.
    async fn act(&mut self, sent: &[u8], comes: &[u8]) -> Option<String> {
        self.wire.write_all(sent).await.expect("it is written");
        self.wire.flush().await.expect("it is written");
        self.wire.stream.comes.extend(comes);
        let ended = self.wire.read_to_end(&mut self.got).await.err().map(|error| error.to_string());
        self.observers.direct.end_complete();
        ended
    }
}

/// Runs a test with pieces of each size.
fn in_pieces<F: Future<Output = ()>>(test: impl Fn(usize) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for piece in PIECES {
        runtime.block_on(test(piece));
    }
}

#[test]
fn direct_statements_go_behind_whole_requests_and_nobody_else_sees_their_answers() {
    in_pieces(|piece| async move {
        let mut session = Session::new(piece, None).await;
        let (first, second) = (send(&session.observers, &request("s7")), send(&session.observers, &request("s8")));
        let own = request("s1");
        let news = [message(b'S', b"TimeZone\0CET\0"), message(b'N', b"SNOTICE\0\0")].concat();
        let second_answer = answer(b"b");
        let (early, late) = second_answer.split_at(5 + 6);
        let comes = [&answer(b"own"), &answer(b"a"), early, &news, late].concat();
        assert_eq!(session.act(&own, &comes).await, None);
        assert_eq!(session.wire.stream.took, [own, request("s7"), request("s8")].concat(), "pieces of {piece} bytes");
        assert_eq!(session.got, [answer(b"own"), news].concat());
        assert_eq!(*lock(&first), LOG);
        assert_eq!(lock(&second)[2], "row b");
    });
}

#[test]
fn a_direct_statement_waits_for_the_end_of_a_request() {
    in_pieces(|piece| async move {
        let mut session = Session::new(piece, None).await;
        let log = send(&session.observers, &request("s7"));
        let own = request("s1");
        let (begin, end) = own.split_at(own.len() - 5);
        assert_eq!(session.act(begin, b"").await, None);
        assert!(lock(&log).is_empty(), "it is not sent");
        assert_eq!(session.act(end, &[answer(b"own"), answer(b"a")].concat()).await, None);
        assert_eq!(session.wire.stream.took, [&own[..], &request("s7")].concat());
        assert_eq!(*lock(&log), LOG);
    });
}

#[test]
fn an_error_ends_one_direct_statement_and_not_the_next() {
    in_pieces(|piece| async move {
        let mut session = Session::new(piece, Some(20)).await;
        let logs = ["s1", "s2", "s3"].map(|name| send(&session.observers, &request(name)));
        let refused = [message(b'E', b"SERROR\0\0"), message(b'Z', b"I")].concat();
        let late = [message(b'2', b""), message(b'D', b"b"), refused.clone()].concat();
        let large = [message(b'2', b""), message(b'D', &[0; 21]), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")];
        assert_eq!(session.act(b"", &[refused, late, large.concat()].concat()).await, None);
        let failed = "failed SERROR\\x00\\x00";
        assert_eq!(*lock(&logs[0]), ["sent", failed, "ended", "dropped"]);
        assert_eq!(*lock(&logs[1]), ["sent", "begun", "row b", failed, "ended", "dropped"]);
        let expected = ["sent", "begun", "too large", "completed SELECT 1", "ended", "dropped"];
        assert_eq!(*lock(&logs[2]), expected);
        assert_eq!(session.got, b"");
    });
}

#[test]
fn a_command_is_answered_by_its_tag_alone() {
    in_pieces(|piece| async move {
        let mut session = Session::new(piece, None).await;
        let log = Log::default();
        session.observers.direct.send_command("COMMIT", Box::new(Told(log.clone())));
        let comes = [message(b'C', b"COMMIT\0"), message(b'Z', b"I")].concat();
        assert_eq!(session.act(b"", &comes).await, None);
        assert_eq!(session.wire.stream.took, message(b'Q', b"COMMIT\0"));
        assert_eq!(*lock(&log), ["sent", "completed COMMIT", "ended", "dropped"]);
    });
}

#[test]
fn what_a_direct_statement_has_not_asked_for_ends_the_connection() {
    let begun = message(b'2', b"");
    let ended = [message(b'C', b"SELECT 0\0"), message(b'Z', b"I")].concat();
    let table = [
        ("rows ahead of BindComplete", message(b'D', b"a")),
        ("a second BindComplete", [&begun[..], &begun].concat()),
        ("columns", [&begun[..], &columns("n", 23, 0)].concat()),
        ("ReadyForQuery without a command tag", [&begun[..], &message(b'Z', b"I")].concat()),
        ("a row behind the command tag", [&begun[..], &message(b'C', b"SELECT 0\0"), &message(b'D', b"a")].concat()),
        ("a second ReadyForQuery", [&begun[..], &ended, &message(b'Z', b"I")].concat()),
        ("a COPY", [&begun[..], &message(b'H', &[0, 0, 0])].concat()),
        ("a row that is none", [&begun[..], &message(b'D', b"wrong")].concat()),
        ("a command tag without an end", [&begun[..], &message(b'C', b"SELECT 1")].concat()),
        ("two command tags in one", [&begun[..], &message(b'C', b"SELECT 1\0SELECT 2\0")].concat()),
        ("a command tag that is not UTF-8", [&begun[..], &message(b'C', b"SELECT \xff\0")].concat()),
    ];
    for (name, comes) in &table {
        in_pieces(|piece| async move {
            let mut session = Session::new(piece, None).await;
            let log = send(&session.observers, &request("s1"));
            let reason = session.act(b"", comes).await.unwrap_or_default();
            assert!(
                reason.contains("the server sent a message of type"),
                "{name}, pieces of {piece} bytes: {reason:?}"
            );
            drop(session);
            assert_eq!(lock(&log).last().map(String::as_str), Some("dropped"), "{name}");
        });
    }
}

#[test]
fn an_answer_ends_before_what_came_behind_it_ends_the_connection() {
    let goodbye = message(b'E', b"SFATAL\0C57P01\0Mbye\0\0");
    for behind in [message(b'Z', b"I"), message(b'D', b"a"), message(b'?', b"")] {
        in_pieces(|piece| {
            let comes = [answer(b"a"), behind.clone()].concat();
            async move {
                let mut session = Session::new(piece, None).await;
                let log = send(&session.observers, &request("s1"));
                assert!(session.act(b"", &comes).await.is_some(), "pieces of {piece} bytes");
                assert_eq!(*lock(&log), LOG);
            }
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut session = Session::new(100_000, None).await;
        let logs = ["s1", "s2"].map(|name| send(&session.observers, &request(name)));
        assert_eq!(session.act(b"", b"").await, None);
        let news = message(b'N', b"SNOTICE\0\0");
        session.wire.stream.comes.extend([&answer(b"a")[..], &news, &answer(b"a"), &goodbye].concat());
        let mut got = [0; 100];
        let ended = |session: &Session| {
            session.observers.direct.end_complete();
            logs.each_ref().map(|log| lock(log).iter().any(|what| what == "ended"))
        };
        for (piece, expected) in [(news, [true, false]), (goodbye, [true, true])] {
            let read = session.wire.read(&mut got).await.expect("a message");
            assert_eq!((&got[..read], ended(&session)), (&piece[..], expected));
        }
    });
}

#[test]
fn direct_statements_are_dropped_with_their_connection() {
    in_pieces(|piece| async move {
        let mut session = Session::new(piece, None).await;
        let sent = send(&session.observers, &request("s1"));
        assert_eq!(session.act(b"", b"").await, None);
        let waiting = send(&session.observers, &request("s2"));
        let observers = session.observers.clone();
        drop(session);
        assert_eq!(*lock(&sent), ["sent", "dropped"]);
        assert_eq!(*lock(&waiting), ["dropped"]);
        assert_eq!(*lock(&send(&observers, &request("s3"))), ["dropped"]);
    });
}

#[test]
fn an_answer_ends_when_tokio_postgres_has_read_what_came_ahead_of_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut session = Session::new(100_000, None).await;
        let log = send(&session.observers, &request("s1"));
        assert_eq!(session.act(b"", b"").await, None);
        let news = message(b'S', b"default_transaction_read_only\0on\0");
        let end = message(b'Z', b"I");
        let complete = answer(b"a");
        let ahead = &complete[..complete.len() - end.len()];
        session.wire.stream.comes.extend([ahead, &news, &end].concat());
        let mut got = [0; 100];
        let read = session.wire.read(&mut got).await.expect("news");
        assert_eq!(got[..read], news);
        session.observers.direct.end_complete();
        assert_eq!(*lock(&log), LOG[..4], "tokio-postgres has not taken the news apart yet");
        assert_eq!(session.wire.read(&mut got).await.expect("nothing more"), 0);
        session.observers.direct.end_complete();
        assert_eq!(*lock(&log), LOG);
    });
}

#[test]
fn a_connection_does_not_keep_the_memory_of_a_long_request() {
    in_pieces(|piece| async move {
        let mut session = Session::new(piece, None).await;
        let query = |length: usize| message(b'Q', &[&b"x".repeat(length)[..], b"\0"].concat());
        let done = [message(b'C', b"SELECT 0\0"), message(b'Z', b"I")].concat();
        let held = |session: &Session| session.wire.frontend.out.capacity();
        // With a request of tokio-postgres ahead the lane's is copied, else their buffers are swapped.
        for (own, direct) in [(3_000, 10), (10, 3_000), (0, 10), (0, 10), (0, 3_000), (0, 10), (3_000, 3_000), (0, 10)]
        {
            let answered = send(&session.observers, &request(&"s".repeat(direct)));
            let (sent, first) = if own == 0 { (Vec::new(), Vec::new()) } else { (query(own), done.clone()) };
            assert_eq!(session.act(&sent, &[first, answer(b"a")].concat()).await, None);
            assert_eq!(*lock(&answered), LOG);
            assert!(held(&session) <= 2_048, "{} bytes after {own} and {direct} in pieces of {piece}", held(&session));
        }
    });
}
