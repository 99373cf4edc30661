use super::*;
use crate::protocol::flight::{Flight, MARKER};

#[test]
fn nobody_sees_the_answer_to_the_begin_ahead_of_a_statement() {
    let marker = message(b'Q', &[MARKER.as_bytes(), b"\0"].concat());
    let begin = [parse("", "BEGIN", &[]), message(b'B', &[0; 8]), message(b'E', &[0; 5])].concat();
    let statement = [parse("", "SELECT 1", &[]), message(b'B', &[0; 8]), message(b'D', b"P\0"), message(b'E', &[0; 5])];
    let sent = [startup(), begin, statement.concat(), message(b'S', b"")].concat();
    let begun = [message(b'1', b""), message(b'2', b""), message(b'C', b"BEGIN\0")].concat();
    let rows =
        [columns("n", 23, 0), message(b'D', b"\0\x01\0\0\0\x01D"), message(b'C', b"SELECT 1\0"), message(b'Z', b"T")]
            .concat();
    let answer = [&begun[..], &message(b'1', b""), &message(b'2', b""), &rows].concat();
    let refused = [message(b'E', b"SERROR\0\0"), message(b'Z', b"I")].concat();
    let failed = [message(b'E', b"SERROR\0\0"), message(b'Z', b"E")].concat();
    let table = [(&answer, &rows), (&refused, &refused), (&[&begun[..], &failed].concat(), &failed)];
    for piece in PIECES {
        for (answer, expected) in table {
            let observers = StreamObservers::default();
            let mut flight = Flight::begin_and_run();
            flight.parse("", "SELECT 1");
            assert!(flight.bind("", &[]));
            flight.describe();
            flight.execute(0);
            observers.session_state.add_flight(flight);
            let responses = observers.responses.listen_to_script();
            let (took, got, ended) = play(&observers, piece, &[(&startup(), &login()), (&marker, answer)]);
            assert_eq!((took, ended), (sent.clone(), None), "pieces of {piece} bytes");
            assert_eq!(got, [&login()[..], expected].concat(), "pieces of {piece} bytes");
            let tags: Vec<_> = responses.answers().results.into_iter().map(|answer| answer.tag).collect();
            assert_eq!(tags, if expected == &rows { vec!["SELECT 1"] } else { vec![] }, "of the statement only");
        }
    }
}
