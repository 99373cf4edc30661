//! The I/O thread: one tokio runtime of one thread for the whole process.
//!
//! All pools of all JavaScript environments (the main one and every worker) share it: no lock is contended, no work is
//! stolen, and a task never runs between two steps of another. The fence depends on that (see
//! `connection::drive`).

use std::future::Future;
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::engine::adaptive_spin::ADAPTIVE_SPIN;
use crate::engine::lock;

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
            // tokio catches a panic inside a task, and ends only that task; dropping its job rejects the promise.
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
