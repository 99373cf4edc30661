//! The JavaScript side of the core: one `Channel` class, which lib/core/core-link.js wraps.
//!
//! - `mod` (this file): the class and the wake-up, all that knows N-API
//! - `frames`: the work JavaScript hands in, as bytes
//! - `numbers`: the numbers in which JavaScript and the core talk
//! - `options`: a pool's options, as JSON
//! - `desk`: takes the frames on the I/O thread and gives them to the pools
//!
//! JavaScript submits a buffer of frames once per microtask and takes batches of finished work when it is woken. Both
//! are plain copies: no N-API object outlives a call, so there is nothing to leak and nothing that needs `unsafe`.

mod dispatcher;
mod frames;
mod numbers;
mod options;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use napi::bindgen_prelude::{BufferSlice, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::{Env, Error, Result, Status};
use napi_derive::napi;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::binding::dispatcher::{Dispatcher, PoolHandle, Request};
use crate::engine::{CompletionQueue, Engine, Taken, lock};

/// The connection between one JavaScript environment and the I/O thread.
#[napi]
#[derive(Debug)]
pub struct Channel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<CompletionQueue>,
    /// Taken at the environment's end, so that the last one joins the thread.
    line: Mutex<Option<Line>>,
    pools: Mutex<HashMap<u32, PoolHandle>>,
}

#[derive(Debug)]
struct Line {
    mail: UnboundedSender<Request>,
    /// Kept for its end: the thread stops with the last environment.
    _engine: Arc<Engine>,
}

impl Shared {
    fn close(&self) {
        self.queue.close();
        let line = lock(&self.line).take();
        lock(&self.pools).clear();
        drop(line);
    }

    fn send(&self, mail: Request) -> Result<()> {
        let sent = lock(&self.line).as_ref().is_some_and(|line| line.mail.send(mail).is_ok());
        if sent { Ok(()) } else { Err(Error::new(Status::Closing, "the environment is closing")) }
    }
}

/// Runs what JavaScript called; a panic of ours becomes an exception there.
fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Error::new(Status::GenericFailure, "hyperiondb-client: internal error")))
}

#[napi]
impl Channel {
    /// `wake` is called, on JavaScript's thread, when there is something to take.
    #[napi(constructor)]
    pub fn new(env: Env, wake: Function<'_, (), ()>) -> Result<Self> {
        guarded(|| {
            let wake = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
            // Weak: an idle pool does not keep the process alive; lib/core/core-link.js holds it while work is in flight.
            let queue = Arc::new(CompletionQueue::new(Box::new(move || {
                wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
            })));
            let engine = Engine::shared().map_err(|error| Error::from_reason(error.to_string()))?;
            let (mail, inbox) = unbounded_channel();
            let announcer = queue.clone();
            engine.spawn(async move { announcer.announce().await });
            engine.spawn(Dispatcher::new(queue.clone()).work(inbox));
            let line = Mutex::new(Some(Line { mail, _engine: engine }));
            let shared = Arc::new(Shared { queue, line, pools: Mutex::default() });
            env.add_env_cleanup_hook(shared.clone(), |shared| shared.close())?;
            Ok(Self { shared })
        })
    }

    /// The numbers in which this add-on talks to JavaScript, and its version, as JSON.
    #[napi]
    pub fn numbers() -> String {
        numbers::table()
    }

    /// Opens a pool under a number JavaScript chose; the options are JSON as lib/options/options.js makes it.
    #[napi]
    #[allow(clippy::needless_pass_by_value)]
    pub fn open(&self, pool: u32, options: String) -> Result<()> {
        guarded(|| {
            let options = options::parse(&options).map_err(|error| Error::new(Status::InvalidArg, error))?;
            let opened = dispatcher::open(pool, options, &self.shared.queue).map_err(Error::from_reason)?;
            lock(&self.shared.pools).insert(pool, opened.handle.clone());
            self.shared.send(Request::Open(pool, Box::new(opened)))
        })
    }

    /// Hands in the frames in the first `length` bytes.
    #[napi]
    #[allow(clippy::needless_pass_by_value)]
    pub fn submit(&self, frames: BufferSlice<'_>, length: u32) -> Result<()> {
        guarded(|| {
            let frames = frames.get(..length as usize).ok_or_else(|| Error::from_status(Status::InvalidArg))?;
            self.shared.send(Request::Frames(frames.to_vec()))
        })
    }

    /// Takes the oldest batch of finished work: 1 = one was written to `target`, 0 = there is none, a negative number =
    /// it needs a buffer of that many bytes.
    #[napi]
    pub fn take(&self, mut target: BufferSlice<'_>) -> Result<i64> {
        guarded(|| {
            Ok(match self.shared.queue.take_into(&mut target) {
                Taken::Nothing => 0,
                Taken::Batch => 1,
                Taken::NeedsBytes(bytes) => -(bytes as i64),
            })
        })
    }

    /// `[size, inUse, waiting, pipelined]` of a pool.
    #[napi]
    pub fn status(&self, pool: u32) -> Vec<f64> {
        let pools = lock(&self.shared.pools);
        let Some(pool) = pools.get(&pool) else { return vec![0.0; 4] };
        let status = pool.status();
        [status.size as f64, status.in_use as f64, status.waiting as f64, status.pipelined as f64].to_vec()
    }

    /// The nodes of a pool, as JSON.
    #[napi]
    pub fn nodes(&self, pool: u32) -> String {
        let pools = lock(&self.shared.pools);
        pools.get(&pool).map_or_else(|| "[]".to_owned(), PoolHandle::nodes)
    }

    /// Forgets a pool that has ended.
    #[napi]
    pub fn forget(&self, pool: u32) -> Result<()> {
        guarded(|| {
            lock(&self.shared.pools).remove(&pool);
            self.shared.send(Request::Forget(pool))
        })
    }
}
