//! One JavaScript environment: the main thread or a worker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use napi::bindgen_prelude::{BufferSlice, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::{Env, Error, Result, Status};
use napi_derive::napi;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::binding::dispatcher::{Dispatcher, Request};
use crate::binding::numbers;
use crate::engine::{CompletionQueue, Engine, Taken, lock};

/// The link of one JavaScript environment (the main thread or a worker) to the I/O thread.
#[napi]
#[derive(Debug)]
pub struct Environment {
    pub(super) mailbox: Arc<Mailbox>,
}

/// Where the objects of an environment send their requests.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) queue: Arc<CompletionQueue>,
    /// Taken at the environment's end, so that the last one joins the I/O thread.
    line: Mutex<Option<Line>>,
    last_pool: AtomicU32,
    last_transaction: AtomicU32,
}

#[derive(Debug)]
struct Line {
    requests: UnboundedSender<Request>,
    /// Kept for its drop: the I/O thread stops with the last environment.
    _engine: Arc<Engine>,
}

impl Mailbox {
    fn close(&self) {
        self.queue.close();
        drop(lock(&self.line).take());
    }

    /// Sends a request to the I/O thread; an error once the environment has ended.
    pub(super) fn send(&self, request: Request) -> Result<()> {
        let sent = lock(&self.line).as_ref().is_some_and(|line| line.requests.send(request).is_ok());
        if sent { Ok(()) } else { Err(Error::new(Status::Closing, "the environment is closing")) }
    }

    pub(super) fn next_pool(&self) -> u32 {
        next(&self.last_pool)
    }

    pub(super) fn next_transaction(&self) -> u32 {
        next(&self.last_transaction)
    }
}

/// The number after the last one; never 0, which means none in a frame.
fn next(last: &AtomicU32) -> u32 {
    match last.fetch_add(1, Ordering::Relaxed).wrapping_add(1) {
        0 => next(last),
        number => number,
    }
}

/// Runs what JavaScript called; a panic of ours becomes an exception there.
pub(super) fn guarded<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| Err(Error::new(Status::GenericFailure, "hyperiondb-client: internal error")))
}

#[napi]
impl Environment {
    /// `wake` is called, on JavaScript's thread, when there is something to take.
    #[napi(constructor)]
    pub fn new(env: Env, wake: Function<'_, (), ()>) -> Result<Self> {
        guarded(|| {
            // Weak: an idle pool does not keep the process alive; lib/core/core-link.js does while work is in flight.
            let wake = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
            let queue = Arc::new(CompletionQueue::new(Box::new(move || {
                wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
            })));
            let engine = Engine::shared().map_err(|error| Error::from_reason(error.to_string()))?;
            let (requests, inbox) = unbounded_channel();
            let announcer = queue.clone();
            engine.spawn(async move { announcer.announce().await });
            engine.spawn(Dispatcher::new(queue.clone(), requests.downgrade()).work(inbox));
            let line = Mutex::new(Some(Line { requests, _engine: engine }));
            let (last_pool, last_transaction) = (AtomicU32::new(0), AtomicU32::new(0));
            let mailbox = Arc::new(Mailbox { queue, line, last_pool, last_transaction });
            env.add_env_cleanup_hook(mailbox.clone(), |mailbox| mailbox.close())?;
            Ok(Self { mailbox })
        })
    }

    /// The numbers in which this add-on talks to JavaScript, and its version, as JSON.
    #[napi]
    pub fn numbers() -> String {
        numbers::table()
    }

    /// Hands in the frames in the first `length` bytes.
    #[napi]
    #[allow(clippy::needless_pass_by_value)]
    pub fn submit(&self, frames: BufferSlice<'_>, length: u32) -> Result<()> {
        guarded(|| {
            let frames = frames.get(..length as usize).ok_or_else(|| Error::from_status(Status::InvalidArg))?;
            self.mailbox.send(Request::Frames(Bytes::copy_from_slice(frames)))
        })
    }

    /// Takes the oldest batch of finished work: 1 = one was written to `target`, 0 = there is none, a negative number =
    /// it needs a buffer of that many bytes.
    #[napi]
    pub fn take(&self, mut target: BufferSlice<'_>) -> Result<i64> {
        guarded(|| {
            Ok(match self.mailbox.queue.take_into(&mut target) {
                Taken::Nothing => 0,
                Taken::Batch => 1,
                Taken::NeedsBytes(bytes) => -(bytes as i64),
            })
        })
    }
}
