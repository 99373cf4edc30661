//! A transaction as JavaScript holds it.

use std::sync::Arc;

use napi_derive::napi;

use crate::binding::dispatcher::Request;
use crate::binding::environment::Mailbox;

/// A handle for one transaction after the other: `begin`, `finish`, `begin` again. When the handle is collected as garbage in
/// between, its transaction is rolled back, and the connection is free.
#[napi]
#[derive(Debug)]
pub struct Transaction {
    mailbox: Arc<Mailbox>,
    pool: u32,
    /// The transaction that has begun and not finished.
    open: Option<u32>,
}

#[napi]
impl Transaction {
    pub(super) fn new(mailbox: Arc<Mailbox>, pool: u32) -> Self {
        Self { mailbox, pool, open: None }
    }

    /// Takes charge of a new transaction and returns the number that frames name it by. A transaction that has not finished
    /// is rolled back.
    #[napi]
    pub fn begin(&mut self) -> u32 {
        self.abandon();
        let id = self.mailbox.next_transaction();
        self.open = Some(id);
        id
    }

    /// The transaction has ended: nothing is to be rolled back.
    #[napi]
    pub fn finish(&mut self) {
        self.open = None;
    }

    fn abandon(&mut self) {
        if let Some(transaction) = self.open.take() {
            // An error says that the environment has ended, and its transactions with it.
            let _ = self.mailbox.send(Request::Abandon { pool: self.pool, transaction });
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.abandon();
    }
}
