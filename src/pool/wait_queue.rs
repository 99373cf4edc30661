//! What waits for a connection: first come first served, in three queues.
//!
//! Work that needs a connection to itself stands in a queue of its own, so that it does not hold up work that can go
//! behind what already runs; so do statements that take long. A connection that comes free goes to whoever has waited
//! longest in any queue.

use std::collections::VecDeque;
use std::time::Instant;

use crate::pool::task::{Sharing, Task};

#[derive(Debug)]
pub(super) struct WaitQueue<T> {
    alone: VecDeque<T>,
    long: VecDeque<T>,
    sharing: VecDeque<T>,
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        Self { alone: VecDeque::new(), long: VecDeque::new(), sharing: VecDeque::new() }
    }
}

impl<T: Task> WaitQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.alone.len() + self.long.len() + self.sharing.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many need a connection to themselves.
    pub(super) fn count_alone(&self) -> usize {
        self.alone.len()
    }

    /// How many take long.
    pub(super) fn count_long(&self) -> usize {
        self.long.len()
    }

    fn queue_for(&mut self, sharing: Sharing) -> &mut VecDeque<T> {
        match sharing {
            Sharing::Alone => &mut self.alone,
            Sharing::Long => &mut self.long,
            Sharing::Last | Sharing::Any => &mut self.sharing,
        }
    }

    pub(super) fn push_back(&mut self, task: T) {
        self.queue_for(task.sharing()).push_back(task);
    }

    pub(super) fn push_front(&mut self, task: T) {
        self.queue_for(task.sharing()).push_front(task);
    }

    /// Who has waited longest; of those that take long only if they may.
    pub(super) fn pop_oldest(&mut self, long: bool) -> Option<T> {
        let queues = [Some(&mut self.alone), long.then_some(&mut self.long), Some(&mut self.sharing)];
        let waiting = queues.into_iter().flatten().filter(|queue| !queue.is_empty());
        waiting.min_by_key(|queue| queue.front().map(Task::submitted))?.pop_front()
    }

    /// How the first one shares that may go behind others. (A task's way may have changed while it waited.)
    pub(super) fn first_sharing(&mut self) -> Option<Sharing> {
        loop {
            match self.sharing.front()?.sharing() {
                sharing @ (Sharing::Last | Sharing::Any) => return Some(sharing),
                moved => {
                    let task = self.sharing.pop_front();
                    self.queue_for(moved).extend(task);
                }
            }
        }
    }

    /// The one that [`Self::first_sharing`] is about.
    pub(super) fn pop_sharing(&mut self) -> Option<T> {
        self.sharing.pop_front()
    }

    /// Takes out those for which `why` has a reason, each with its reason.
    pub(super) fn remove_with_reason<R>(&mut self, mut why: impl FnMut(&T) -> Option<R>) -> Vec<(T, R)> {
        let mut taken = Vec::new();
        for queue in [&mut self.alone, &mut self.long, &mut self.sharing] {
            for task in std::mem::take(queue) {
                match why(&task) {
                    Some(reason) => taken.push((task, reason)),
                    None => queue.push_back(task),
                }
            }
        }
        taken
    }

    /// When the first of them wants to be looked at.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.alone.iter().chain(&self.long).chain(&self.sharing).map(Task::next_check).min()
    }

    /// Takes all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        [&mut self.alone, &mut self.long, &mut self.sharing].map(std::mem::take).into_iter().flatten()
    }
}
