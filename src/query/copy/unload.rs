//! An unload: sends the output of `COPY ... TO STDOUT` to JavaScript as it comes.

use futures_util::StreamExt;

use crate::engine::Packed;
use crate::pool::session::Session;
use crate::query::failure::{Failure, failure};
use crate::query::flow_control::FlowControl;
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::Phase;

/// Bytes after which a piece of an unload is sent to JavaScript.
const OUT_PIECE: usize = 64 << 10;

/// Runs the unload to its end.
pub(super) async fn unload(
    session: &Session,
    promise: &mut Promise,
    sql: &str,
    flow: &FlowControl,
) -> Result<Finished, Failure> {
    let conn = &session.conn;
    let sequence = conn.sending();
    let statement = match conn.client.prepare(sql).await {
        Ok(statement) => statement,
        Err(error) => return Err(failure(session, error, Phase::NotSent, sequence).await),
    };
    let mut stream = match conn.client.copy_out(&statement).await {
        Ok(stream) => Box::pin(stream),
        Err(error) => return Err(failure(session, error, Phase::Sent, sequence).await),
    };
    let mut piece = Packed::default();
    let mut bytes = 0;
    while let Some(data) = stream.next().await {
        let data = match data {
            Ok(data) => data,
            Err(error) => return Err(failure(session, error, Phase::Begun, sequence).await),
        };
        // When the reader has left, the rest is read and dropped.
        if flow.is_closed() {
            continue;
        }
        bytes += data.len() as u64;
        piece.bin.extend_from_slice(&data);
        if piece.bin.len() >= OUT_PIECE {
            promise.send_bytes(&mut piece).await;
        }
    }
    // After the data comes the end, or an error of a trigger.
    if let Some(Err(error)) = stream.next().await
        && (error.as_db_error().is_some() || error.is_closed())
    {
        return Err(failure(session, error, Phase::Begun, sequence).await);
    }
    conn.answered_work(sequence);
    if !piece.bin.is_empty() {
        promise.send_bytes(&mut piece).await;
    }
    Ok(Finished { row_count: bytes, ..Finished::default() })
}
