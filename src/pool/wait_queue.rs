//! The tasks that wait for a connection: first come first served, in three queues.
//!
//! Tasks that need a connection to themselves, and long statements, have queues of their own, so that they do not hold
//! up tasks that can share a busy connection. An idle connection goes to the task that has waited longest in any queue.

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

/// A task that has a connection now.
fn without_wait<T: Task>(mut task: T) -> T {
    task.end_waiting();
    task
}

impl<T: Task> WaitQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.alone.len() + self.long.len() + self.sharing.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tasks need a connection to themselves.
    pub(super) fn count_alone(&self) -> usize {
        self.alone.len()
    }

    /// How many long statements wait.
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

    pub(super) fn push_front(&mut self, mut task: T) {
        task.note_waiting();
        self.queue_for(task.sharing()).push_front(task);
    }

    /// The tasks that came last, so many of them, wait if they are still there.
    pub(super) fn note_last(&mut self, count: usize) {
        for queue in [&mut self.alone, &mut self.long, &mut self.sharing] {
            queue.iter_mut().rev().take(count).for_each(Task::note_waiting);
        }
    }

    /// Removes the task that has waited longest. `long`: whether it may be a long statement.
    pub(super) fn pop_oldest(&mut self, long: bool) -> Option<T> {
        let queues = [Some(&mut self.alone), long.then_some(&mut self.long), Some(&mut self.sharing)];
        let waiting = queues.into_iter().flatten().filter(|queue| !queue.is_empty());
        waiting.min_by_key(|queue| queue.front().map(Task::submitted))?.pop_front().map(without_wait)
    }

    /// How the first task that may use a busy connection shares it. Tasks that do not share any more change their
    /// queue.
    pub(super) fn first_sharing(&mut self) -> Option<Sharing> {
        loop {
            match self.sharing.front()?.sharing() {
                sharing @ (Sharing::Last | Sharing::Any) => return Some(sharing),
                moved => {
                    let task = self.sharing.pop_front()?;
                    let queue = self.queue_for(moved);
                    // Later tasks may have gone to this queue at once.
                    let place = queue.partition_point(|other| other.submitted() <= task.submitted());
                    queue.insert(place, task);
                }
            }
        }
    }

    /// Removes the task of [`Self::first_sharing`], which must be called before.
    pub(super) fn pop_sharing(&mut self) -> Option<T> {
        self.sharing.pop_front().map(without_wait)
    }

    /// Removes the tasks for which `why` returns a reason.
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

    /// The earliest [`Task::next_check`].
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.alone.iter().chain(&self.long).chain(&self.sharing).map(Task::next_check).min()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        [&mut self.alone, &mut self.long, &mut self.sharing].map(std::mem::take).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::cluster::route::Route;
    use crate::engine::lock;
    use crate::error::ClientError;
    use crate::pool::session::Session;
    use crate::pool::task::After;

    /// A task that only waits. All tasks share their way of sharing, as statements of the same text do.
    struct Waiting {
        submitted: Instant,
        sharing: Arc<Mutex<Sharing>>,
    }

    impl Task for Waiting {
        fn route(&self) -> Route {
            Route::Primary
        }
        fn sharing(&self) -> Sharing {
            *lock(&self.sharing)
        }
        fn submitted(&self) -> Instant {
            self.submitted
        }
        fn note_waiting(&mut self) {}
        fn end_waiting(&mut self) {}
        fn deadline(&self) -> Instant {
            self.submitted
        }
        fn next_check(&self) -> Instant {
            self.submitted
        }
        fn rejection(&self, _: Instant) -> Option<ClientError> {
            None
        }
        async fn run(self, _: &Arc<Session>) -> After<Self> {
            After::Again(self)
        }
        fn fail(self, _: ClientError) {}
    }

    #[test]
    fn tasks_that_turn_out_to_be_long_keep_their_place() {
        let (start, sharing) = (Instant::now(), Arc::new(Mutex::new(Sharing::Last)));
        let task = |i| Waiting { submitted: start + Duration::from_micros(i), sharing: sharing.clone() };
        let mut queue = WaitQueue::default();
        (0..3).for_each(|i| queue.push_back(task(i)));
        *lock(&sharing) = Sharing::Long;
        (3..6).for_each(|i| queue.push_back(task(i)));
        assert_eq!(queue.first_sharing(), None);
        let order: Vec<Instant> = std::iter::from_fn(|| queue.pop_oldest(true)).map(|task| task.submitted).collect();
        assert_eq!(order, (0..6).map(|i| task(i).submitted).collect::<Vec<_>>());
    }
}
