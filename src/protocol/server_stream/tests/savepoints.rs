use super::*;

/// A command that the client adds.
fn command(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), message(b'B', &[0; 8]), message(b'E', &[0; 5])].concat()
}

/// The answer to such a command.
fn added(tag: &[u8]) -> Vec<u8> {
    [message(b'1', b""), message(b'2', b""), message(b'C', tag)].concat()
}

/// The statement s1, bound behind a savepoint.
fn behind_savepoint() -> Vec<u8> {
    let portal = b"hyperiondb_plan\0";
    [
        command("SAVEPOINT hyperiondb_plan"),
        message(b'B', &[portal, &bind("s1", BINARY)[6..]].concat()),
        command("RELEASE hyperiondb_plan"),
        message(b'E', &[&portal[..], &[0; 4]].concat()),
        message(b'C', &[&b"P"[..], portal].concat()),
    ]
    .concat()
}

#[test]
fn a_plan_that_may_be_out_of_date_is_bound_behind_a_savepoint() {
    let (execute, sync) = (message(b'E', b"\0\0\0\0\0"), message(b'S', b""));
    let run = [bind("s1", BINARY), execute, sync.clone()].concat();
    let sent = [behind_savepoint(), sync].concat();
    let bound = message(b'2', b"");
    let end = [message(b'D', b"\0\x01\0\0\0\x01D"), message(b'C', b"SELECT 1\0")].concat();
    let ready = message(b'Z', b"T");
    let answer =
        [added(b"SAVEPOINT\0"), bound.clone(), added(b"RELEASE\0"), end.clone(), message(b'3', b""), ready.clone()]
            .concat();
    let error = message(b'E', b"SERROR\0\0");
    let refused = [added(b"SAVEPOINT\0"), error.clone(), message(b'Z', b"E")].concat();
    for piece in PIECES {
        for (answer, expected) in [
            (&answer, [bound.clone(), end.clone(), ready.clone()].concat()),
            (&refused, [error.clone(), message(b'Z', b"E")].concat()),
        ] {
            let observers = StreamObservers::default();
            observers.session_state.set_savepoint(true);
            let (took, got, ended) = play(&observers, piece, &[(&startup(), &login()), (&run, answer)]);
            assert_eq!(took, [startup(), sent.clone()].concat(), "pieces of {piece} bytes");
            assert_eq!((got, ended), ([login(), expected].concat(), None), "pieces of {piece} bytes");
        }
    }
}

#[test]
fn a_commit_goes_ahead_of_the_sync_of_the_last_statement_that_is_bound_behind_a_savepoint() {
    let (execute, sync) = (message(b'E', b"\0\0\0\0\0"), message(b'S', b""));
    let run = [bind("s1", BINARY), execute, sync.clone()].concat();
    let statement = behind_savepoint();
    let sent = [startup(), statement.clone(), sync.clone(), statement, command("COMMIT"), sync].concat();
    let bound = message(b'2', b"");
    let end = message(b'C', b"INSERT 0 1\0");
    let done = [added(b"SAVEPOINT\0"), bound.clone(), added(b"RELEASE\0"), end.clone(), message(b'3', b"")].concat();
    let (ready, idle) = (message(b'Z', b"T"), message(b'Z', b"I"));
    let error = message(b'E', b"SERROR\0\0");
    let first = [done.clone(), ready.clone()].concat();
    let told = [bound.clone(), end.clone(), ready].concat();
    for piece in PIECES {
        for (answer, expected, is_open) in [
            (
                [done.clone(), added(b"COMMIT\0"), idle.clone()].concat(),
                [bound.clone(), end.clone(), idle.clone()].concat(),
                false,
            ),
            // A deferred constraint.
            (
                [done.clone(), error.clone(), idle.clone()].concat(),
                [bound.clone(), end.clone(), error.clone(), idle.clone()].concat(),
                false,
            ),
            // The statement cannot be bound: COMMIT is skipped.
            (
                [added(b"SAVEPOINT\0"), error.clone(), message(b'Z', b"E")].concat(),
                [error.clone(), message(b'Z', b"E")].concat(),
                true,
            ),
        ] {
            let observers = StreamObservers::default();
            observers.session_state.set_savepoint(true);
            observers.session_state.set_savepoint(true);
            observers.session_state.set_commit(true);
            let both = [run.clone(), run.clone()].concat();
            let acts: &[Act<'_>] = &[(&startup(), &login()), (&both, &[first.clone(), answer].concat())];
            let (took, got, ended) = play(&observers, piece, acts);
            assert_eq!(took, sent, "pieces of {piece} bytes");
            assert_eq!((got, ended), ([login(), told.clone(), expected].concat(), None), "pieces of {piece} bytes");
            assert_eq!(observers.session_state.is_in_block(), is_open);
        }
    }
}
