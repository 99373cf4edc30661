//! A transaction as JavaScript holds it.

use std::sync::Arc;

use napi_derive::napi;

use crate::binding::dispatcher::Request;
use crate::binding::environment::Mailbox;

/// A transaction. When it is collected as garbage before `finish` was called it is rolled back, and its connection is free.
#[napi]
#[derive(Debug)]
pub struct Transaction {
    mailbox: Arc<Mailbox>,
    pool: u32,
    id: u32,
    is_finished: bool,
}

#[napi]
impl Transaction {
    pub(super) fn new(mailbox: Arc<Mailbox>, pool: u32) -> Self {
        let id = mailbox.next_transaction();
        Self { mailbox, pool, id, is_finished: false }
    }

    /// The number that frames name it by.
    #[napi(getter)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// It has ended: its drop has nothing to roll back.
    #[napi]
    pub fn finish(&mut self) {
        self.is_finished = true;
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.is_finished {
            // An error says that the environment has ended, and its transactions with it.
            let _ = self.mailbox.send(Request::Abandon { pool: self.pool, transaction: self.id });
        }
    }
}
