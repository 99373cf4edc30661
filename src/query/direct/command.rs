//! A command without rows that the stream sends itself: COMMIT, ROLLBACK.

use tokio::sync::oneshot;

use crate::error::ServerError;
use crate::pool::session::Session;
use crate::protocol::direct::DirectAnswer;
use crate::protocol::server_error;

/// Runs a command without rows. It is sent when the future is first polled.
pub(in crate::query) async fn run_command(session: &Session, sql: &str) -> Result<(), LostCommand> {
    let (reply, replied) = oneshot::channel();
    session.conn.direct.send_command(sql, Box::new(CommandAnswer { error: None, reply: Some(reply) }));
    match replied.await {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(LostCommand(Some(error))),
        Err(_) => Err(LostCommand(None)),
    }
}

/// The error of a command; None: the connection was lost.
pub(in crate::query) struct LostCommand(pub(in crate::query) Option<Box<ServerError>>);

/// Waits for the end of a command.
struct CommandAnswer {
    error: Option<Box<ServerError>>,
    reply: Option<oneshot::Sender<Option<Box<ServerError>>>>,
}

impl DirectAnswer for CommandAnswer {
    fn failed(&mut self, fields: &[u8]) -> Option<()> {
        self.error = Some(Box::new(server_error(fields)?));
        Some(())
    }

    fn ended(mut self: Box<Self>) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(self.error.take());
        }
    }
}

impl Drop for CommandAnswer {
    fn drop(&mut self) {
        if let (Some(reply), Some(error)) = (self.reply.take(), self.error.take()) {
            let _ = reply.send(Some(error));
        }
    }
}
