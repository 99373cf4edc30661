//! The I/O thread, and the queues between it and JavaScript.
//!
//! One thread per process runs a tokio `current_thread` runtime that all pools of all JavaScript environments (the
//! main one and every worker) share: no locks are contended, no work is stolen, and a task never runs between two
//! steps of another. The fence depends on that (see `cluster::conn`).
//!
//! JavaScript hands work over by [`Engine::spawn`] and an ordinary channel; finished work goes back through a
//! [`CompletionQueue`], one for each environment. How long the thread stays awake between them is `pulse`'s.

mod adaptive_spin;
mod completion;
mod packed;

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use adaptive_spin::AdaptiveSpin;
pub(crate) use completion::{
    BATCH_WORDS, CompletionQueue, HEAD_WORDS, Kind, MESSAGE_ANEW, MESSAGE_STRUCTURE, Message, Taken,
};
pub(crate) use packed::Packed;

/// The I/O thread's. To beat whenever JavaScript hands in work, or is woken to take some.
pub(crate) static ADAPTIVE_SPIN: AdaptiveSpin = AdaptiveSpin::new();

/// Locks a mutex whether or not a panic happened under it: all our critical sections leave their data valid.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Microseconds since the first call.
pub(crate) fn clock() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_micros() as u64
}

/// A number from 0 to 1, for delays that shall differ.
pub(crate) fn random() -> f64 {
    // The seeds of the standard library's hash maps: random for each process, and different each time.
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Pauses between attempts, with decorrelated jitter: each is drawn anew, up to three times as long as the one before, so that
/// those who failed together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_millis(500);

    pub(crate) fn next(&mut self) -> Duration {
        let spread = (self.0 * 3).saturating_sub(Self::FIRST);
        self.0 = (Self::FIRST + spread.mul_f64(random())).min(Self::LONGEST);
        self.0
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

/// The running I/O thread. It ends when the last [`Arc`] to it is dropped.
#[derive(Debug)]
pub(crate) struct Engine {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

static RUNNING: Mutex<Weak<Engine>> = Mutex::new(Weak::new());

impl Engine {
    /// The process's engine, started if it does not run.
    pub(crate) fn shared() -> std::io::Result<Arc<Self>> {
        let mut running = lock(&RUNNING);
        if let Some(engine) = running.upgrade() {
            return Ok(engine);
        }
        let engine = Arc::new(Self::start()?);
        *running = Arc::downgrade(&engine);
        Ok(engine)
    }

    fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("hyperiondb-io".into()).spawn(move || {
            // A panic inside a task is caught by tokio and ends that task only; its job's drop tells JavaScript.
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = ADAPTIVE_SPIN.stay_awake() => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Runs a future on the I/O thread.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(future));
    }
}

impl Drop for Engine {
    /// Joins the thread, so that no code of ours runs after the last environment has gone (napi-rs #3443).
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
