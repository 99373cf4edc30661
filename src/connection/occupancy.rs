//! Whether a server has little room left for more sessions.

use tokio_postgres::Client;

use crate::connection::probe::{cell, first_row};

/// The sessions of all databases, of which every role may know the number, and the most that the server takes.
const OCCUPANCY: &str = "SELECT (SELECT sum(numbackends) FROM pg_catalog.pg_stat_database), \
    pg_catalog.current_setting('max_connections')";

/// Four fifths of the server's connections are in use.
fn is_crowded(sessions: u64, most: u64) -> bool {
    sessions * 5 >= most * 4
}

/// Asks the server. An answer that cannot be had counts as room.
pub(super) async fn ask_whether_crowded(client: &Client) -> bool {
    let Ok(messages) = client.simple_query(OCCUPANCY).await else { return false };
    let number = |column| first_row(&messages).and_then(|row| cell(row, column)?.parse().ok());
    number(0).zip(number(1)).is_some_and(|(sessions, most)| is_crowded(sessions, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_crowded_when_a_fifth_is_left() {
        let table =
            [(0, 100, false), (79, 100, false), (80, 100, true), (100, 100, true), (48, 60, true), (1, 1, true)];
        for (sessions, most, expected) in table {
            assert_eq!(is_crowded(sessions, most), expected, "{sessions} of {most}");
        }
    }
}
