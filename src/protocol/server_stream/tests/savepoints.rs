use super::*;

#[test]
fn a_plan_that_may_be_out_of_date_is_bound_behind_a_savepoint() {
    let (execute, sync) = (message(b'E', b"\0\0\0\0\0"), message(b'S', b""));
    let run = [bind("s1", BINARY), execute.clone(), sync.clone()].concat();
    let command = |sql| [parse("", sql, &[]), message(b'B', &[0; 8]), message(b'E', &[0; 5])].concat();
    let portal = b"hyperiondb_plan\0";
    let sent = [
        command("SAVEPOINT hyperiondb_plan"),
        message(b'B', &[portal, &bind("s1", BINARY)[6..]].concat()),
        command("RELEASE hyperiondb_plan"),
        message(b'E', &[&portal[..], &[0; 4]].concat()),
        message(b'C', &[&b"P"[..], portal].concat()),
        sync,
    ]
    .concat();
    let added = |tag: &[u8]| [message(b'1', b""), message(b'2', b""), message(b'C', tag)].concat();
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
