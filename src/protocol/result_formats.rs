//! Asks for some columns of a result as text, which tokio-postgres cannot: it asks for everything in binary.
//!
//! Some types have no binary form (aclitem, contrib's seg and isn), and the server refuses the whole statement then;
//! of others the binary form does not say enough (a regclass is a number). So the formats of the result's columns are
//! changed in the Bind message on its way out (`wire`), of statements for which it was [asked](Formats::ask).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::engine::lock;

/// The statements of one connection that are not run as tokio-postgres has it.
#[derive(Debug, Default)]
pub(crate) struct ResultFormats {
    /// By the statement's name.
    asked: Mutex<HashMap<String, Arc<Wanted>>>,
    is_asked: AtomicBool,
}

/// How a statement is run.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// For each column whether it is text; none: all are binary.
    pub(crate) text: Vec<bool>,
    /// It is a COPY FROM STDIN.
    pub(crate) loads: bool,
}

impl ResultFormats {
    /// From now on the statement's columns come as asked, until what is returned is dropped.
    pub(crate) fn ask(self: &Arc<Self>, name: String, text: Vec<bool>) -> Asked {
        self.want(name, Wanted { text, loads: false })
    }

    /// From now on the statement begins a load: its flight does not end with a Sync.
    pub(crate) fn ask_for_load(self: &Arc<Self>, name: String) -> Asked {
        self.want(name, Wanted { text: Vec::new(), loads: true })
    }

    fn want(self: &Arc<Self>, name: String, wanted: Wanted) -> Asked {
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

/// A statement for which it was asked.
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
