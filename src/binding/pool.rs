//! A pool as JavaScript holds it.

use std::sync::Arc;
use std::time::Duration;

use napi::{Error, Result, Status};
use napi_derive::napi;

use crate::binding::dispatcher::Request;
use crate::binding::environment::{Environment, Mailbox, guarded};
use crate::binding::options;
use crate::binding::running_pool::{PoolView, ReadyPool};
use crate::binding::transaction::Transaction;

/// A pool. When it is collected as garbage it is closed, once the work in flight has ended.
#[napi]
#[derive(Debug)]
pub struct Pool {
    mailbox: Arc<Mailbox>,
    id: u32,
    view: PoolView,
    is_closed: bool,
}

#[napi]
impl Pool {
    /// Opens a pool, which connects when it is first used. The options are JSON as lib/options/options.js makes it.
    #[napi(factory)]
    #[allow(clippy::needless_pass_by_value)]
    pub fn open(environment: &Environment, options: String) -> Result<Self> {
        guarded(|| {
            let mailbox = environment.mailbox.clone();
            let options = options::parse(&options).map_err(|error| Error::new(Status::InvalidArg, error))?;
            let id = mailbox.next_pool();
            let ready = ReadyPool::new(id, options, &mailbox.queue).map_err(Error::from_reason)?;
            let view = ready.view.clone();
            mailbox.send(Request::Open(id, Box::new(ready)))?;
            Ok(Self { mailbox, id, view, is_closed: false })
        })
    }

    /// The number that frames name it by.
    #[napi(getter)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// `[size, inUse, waiting, pipelined]`: the numbers of connections, of those with work, of work that waits for one, and of work
    /// that was sent behind other work; all 0 once the pool has closed.
    #[napi]
    pub fn status(&self) -> Vec<f64> {
        let Some(status) = self.view.status() else { return vec![0.0; 4] };
        [status.size as f64, status.in_use as f64, status.waiting as f64, status.pipelined as f64].to_vec()
    }

    /// The nodes, as JSON; none once the pool has closed.
    #[napi]
    pub fn nodes(&self) -> String {
        self.view.nodes().unwrap_or_else(|| "[]".to_owned())
    }

    /// What the pool has counted, as JSON; also once it has closed.
    #[napi]
    pub fn stats(&self) -> String {
        self.view.statistics()
    }

    /// A handle for transactions. Each begins with the frame that asks for BEGIN under the number that the handle has given.
    #[napi]
    pub fn transaction(&self) -> Transaction {
        Transaction::new(self.mailbox.clone(), self.id)
    }

    /// Takes no more work, and closes when the work in flight has ended; that is cancelled after a timeout, unless it is 0. Call number
    /// `call` is done when the pool has closed. Submit the frames for the pool first: later ones are refused.
    #[napi]
    pub fn close(&mut self, call: u32, timeout_ms: u32) -> Result<()> {
        guarded(|| {
            self.is_closed = true;
            let limit = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into()));
            self.mailbox.send(Request::Close { pool: self.id, call: Some(call), limit })
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.is_closed {
            // An error says that the environment has ended, and its pools with it.
            let _ = self.mailbox.send(Request::Close { pool: self.id, call: None, limit: None });
        }
    }
}
