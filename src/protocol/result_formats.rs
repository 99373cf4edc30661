//! Asks for some columns of a result as text. tokio-postgres asks for all columns in binary.
//!
//! Some types have no binary form (aclitem, contrib's seg and isn): the server would refuse the whole statement. The
//! binary form of others does not say enough (a regclass is a number). So `frontend` changes the formats in the Bind
//! message of the statements that were registered by [`ResultFormats::ask`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::engine::lock;

/// The statements of one connection that run in another way than tokio-postgres asks for.
#[derive(Debug, Default)]
pub(crate) struct ResultFormats {
    /// By the statement's name.
    asked: Mutex<HashMap<String, Arc<Wanted>>>,
    is_asked: AtomicBool,
}

/// How a statement is run.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// For each column whether it is text; empty: all are binary.
    pub(crate) text: Vec<bool>,
    /// It is a COPY FROM STDIN.
    pub(crate) loads: bool,
}

impl ResultFormats {
    /// Asks for the statement's columns in these formats until the guard is dropped.
    pub(crate) fn ask(self: &Arc<Self>, name: String, text: Vec<bool>) -> Asked {
        self.register(name, Wanted { text, loads: false })
    }

    /// The statement begins a load, until the guard is dropped: a Flush takes the place of its Sync.
    pub(crate) fn ask_for_load(self: &Arc<Self>, name: String) -> Asked {
        self.register(name, Wanted { text: Vec::new(), loads: true })
    }

    fn register(self: &Arc<Self>, name: String, wanted: Wanted) -> Asked {
        lock(&self.asked).insert(name.clone(), Arc::new(wanted));
        self.is_asked.store(true, Ordering::Relaxed);
        Asked { name, result_formats: self.clone() }
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    pub(crate) fn asked_for(&self, name: &str) -> Option<Arc<Wanted>> {
        self.is_asked().then(|| lock(&self.asked).get(name).cloned()).flatten()
    }
}

/// Keeps a statement registered until it is dropped.
#[derive(Debug)]
pub(crate) struct Asked {
    name: String,
    result_formats: Arc<ResultFormats>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut asked = lock(&self.result_formats.asked);
        asked.remove(&self.name);
        self.result_formats.is_asked.store(!asked.is_empty(), Ordering::Relaxed);
    }
}
